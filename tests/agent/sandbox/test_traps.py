"""What a job sends back is hostile: traps for this machine, each of which catches a simpler reader.

Every case gives two answers to the same question, "did it get us?": ours, which must be no, and
that of the obvious way of doing it, which must be yes, or else the trap proves nothing.
"""

import errno
import io
import json
import os
import re
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.sandbox import Limits, collecting, frames, logs
from agent.sandbox.collecting import END, FILE, FRAME, REFUSED

SECRET = b"a secret of this machine"
LIMIT = 1_000

# Collecting: a folder that somebody hostile has written ------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.xml").write_bytes(SECRET)
    (tmp_path / "work" / "sub").mkdir(parents=True)
    return tmp_path / "work"


def _link(folder: Path) -> str:
    (folder / "report.xml").symlink_to("../secret.xml")
    return "report.xml"


def _absolute_link(folder: Path) -> str:
    (folder / "report.xml").symlink_to(folder.parent / "secret.xml")
    return "report.xml"


def _link_to_a_link(folder: Path) -> str:
    (folder / "sub" / "b").symlink_to("../../secret.xml")
    (folder / "report.xml").symlink_to("sub/b")
    return "report.xml"


def _linked_folder(folder: Path) -> str:
    (folder / "out").symlink_to("..")
    return "out/secret.xml"


def _folder_linked_to_the_root(folder: Path) -> str:
    (folder / "out").symlink_to("/")
    return f"out{folder.parent}/secret.xml"


def _upwards(folder: Path) -> str:
    return "../secret.xml"


def _upwards_from_below(folder: Path) -> str:
    return "sub/../../secret.xml"


def _absolute(folder: Path) -> str:
    return str(folder.parent / "secret.xml")


def _hard_link(folder: Path) -> str:
    os.link(folder.parent / "secret.xml", folder / "report.xml")
    return "report.xml"


def _descriptor_of_ours(folder: Path) -> str:
    (folder / "report.xml").symlink_to(f"/proc/self/fd/{_KEPT.fileno()}")
    return "report.xml"


def _folder_of_ours(folder: Path) -> str:
    (folder / "out").symlink_to("/proc/self/cwd")
    os.chdir(folder.parent)
    return "out/secret.xml"


def _environment_of_ours(folder: Path) -> str:
    (folder / "report.xml").symlink_to("/proc/self/environ")
    return "report.xml"


_KEPT = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with the process
_KEPT.write(SECRET)


@pytest.mark.parametrize("stepwise", [False, True], ids=["openat2", "step by step"])
@pytest.mark.parametrize(
    "set_up",
    [
        _link,
        _absolute_link,
        _link_to_a_link,
        _linked_folder,
        _folder_linked_to_the_root,
        _upwards,
        _upwards_from_below,
        _absolute,
        _hard_link,
        _descriptor_of_ours,
        _folder_of_ours,
        _environment_of_ours,
    ],
)
def test_no_name_leads_to_a_file_that_is_not_the_jobs(folder, set_up, stepwise, monkeypatch):
    monkeypatch.chdir(folder)
    path = set_up(folder)
    _KEPT.seek(0)
    if stepwise:
        monkeypatch.setattr(collecting, "open_beneath", collecting.open_step_by_step)

    with pytest.raises(collecting.Rejected):
        _read(folder, path)

    naive = (folder / path).read_bytes()
    assert naive == SECRET or b"PATH=" in naive


def _read(folder: Path, path: str) -> bytes:
    opened = os.open(folder, os.O_RDONLY)
    try:
        return collecting.read_beneath(opened, os.fsencode(path), LIMIT)
    finally:
        os.close(opened)


def test_a_pipe_does_not_keep_us_waiting(folder):
    os.mkfifo(folder / "report.xml")

    with pytest.raises(collecting.Rejected, match="plain"):
        _read(folder, "report.xml")

    naive = threading.Thread(target=(folder / "report.xml").read_bytes)
    naive.start()
    naive.join(0.1)
    waited = naive.is_alive()
    (folder / "report.xml").write_bytes(b"")  # lets it go
    naive.join()
    assert waited


def test_a_device_is_not_read(folder):
    (folder / "sub").rmdir()
    # The real thing takes root; what matters is that no kind but a plain file is read.
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)
        listening.bind("report.xml")
        os.chdir(here)
        with pytest.raises(collecting.Rejected):
            _read(folder, "report.xml")

    assert stat.S_ISSOCK((folder / "report.xml").stat().st_mode)


def test_a_folder_with_the_name_of_a_report_is_not_read(folder):
    (folder / "report.xml").mkdir()

    with pytest.raises(collecting.Rejected, match="plain"):
        _read(folder, "report.xml")

    assert list(folder.glob("*.xml"))


def test_a_terabyte_of_nothing_is_not_read(folder):
    with (folder / "report.xml").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(collecting.Rejected, match="1099511627776 bytes"):
        _read(folder, "report.xml")

    with (folder / "report.xml").open("rb") as naive:
        assert len(naive.read(LIMIT + 1)) > LIMIT


def test_a_file_that_grows_while_it_is_read_is_left(folder, monkeypatch):
    path = folder / "report.xml"
    path.write_bytes(b"x")
    honest = os.fstat

    def grown(descriptor: int) -> os.stat_result:
        facts = honest(descriptor)
        path.write_bytes(b"x" * (LIMIT + 1))
        return facts

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(collecting.Rejected, match="grew"):
        _read(folder, "report.xml")

    assert path.stat().st_size > LIMIT


def _collected(folder: Path, *patterns: str, files: int = 100, size: int = LIMIT) -> frames.Report:
    out = io.BytesIO()
    collecting.collect(str(folder), patterns, files, size, out)
    report = frames.Report(Limits(artifacts=files, artifact_bytes=size))
    report.feed(b"ready\nexit 0\n" + out.getvalue())
    assert (report.complete, report.broken) == (True, "")
    return report


def test_a_tree_of_three_thousand_folders_is_left_in_time():
    here = os.getcwd()
    # In memory: on a disk, taking such a tree away lasts seconds.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        os.chdir(folder)
        try:
            for _ in range(3_000):
                os.mkdir("d")
                os.chdir("d")
            Path("report.xml").write_bytes(b"x")
            assert _collected(Path(folder), "**/*.xml").artifacts == {}
            with pytest.raises(OSError, match="name too long"):
                (Path(folder) / ("d/" * 3_000 + "report.xml")).read_bytes()
            Path("report.xml").unlink()
            for _ in range(3_000):  # from below: no name from above is short enough
                os.chdir("..")
                os.rmdir("d")
        finally:
            os.chdir(here)


def test_more_entries_than_anybody_reads_are_not_walked(folder, monkeypatch):
    monkeypatch.setattr(collecting, "ENTRIES", 50)
    for number in range(200):
        (folder / f"{number}.xml").touch()

    assert len(_collected(folder, "*.xml", files=1_000).artifacts) <= 50
    assert len(list(folder.glob("*.xml"))) == 200


def test_a_name_that_is_not_utf8_is_named_but_not_brought(folder):
    Path(os.fsdecode(os.fsencode(folder) + b"/r\xff.xml")).write_bytes(b"x")

    report = _collected(folder, "*.xml")

    assert (report.artifacts, len(report.rejected)) == ({}, 1)
    with pytest.raises(UnicodeEncodeError):
        json.dumps(os.listdir(folder), ensure_ascii=False).encode()


def test_more_files_than_allowed_are_left(folder):
    for number in range(10):
        (folder / f"{number}.xml").write_bytes(b"x")

    report = _collected(folder, "*.xml", files=3)

    assert (len(report.artifacts), len(report.rejected)) == (3, 7)
    assert len(list(folder.glob("*.xml"))) > 3


def test_more_bytes_than_allowed_are_left(folder):
    for number in range(10):
        (folder / f"{number}.xml").write_bytes(b"x" * 300)

    report = _collected(folder, "*.xml")

    assert (len(report.artifacts), len(report.rejected)) == (3, 7)
    assert sum(path.stat().st_size for path in folder.glob("*.xml")) > LIMIT


def test_a_file_behind_a_linked_folder_is_not_found(folder):
    (folder / "out").symlink_to("..")

    assert _collected(folder, "**/*.xml").artifacts == {}
    assert list(folder.glob("out/*.xml"))


def _race(folder: Path, read: Callable[[], bytes], enough: int) -> tuple[int, int]:
    """How often a reader was tried and how often it read the secret, while names are swapped."""
    swapping = (
        "import os, sys, time\n"
        f"os.chdir({str(folder)!r})\n"
        "until = time.monotonic() + 300\n"
        "while time.monotonic() < until:\n"
        "    for target in ('own', 'link'):\n"
        "        try: os.rename(target + '.kept', 'report.xml')\n"
        "        except OSError: pass\n"
        "        os.link('own', 'own.tmp'); os.unlink('own.tmp')\n"
        "        if target == 'own': open('own.kept', 'wb').write(b'own')\n"
        "        else: os.symlink('../secret.xml', 'link.kept')\n"
    )
    (folder / "own").write_bytes(b"own")
    (folder / "own.kept").write_bytes(b"own")
    (folder / "link.kept").symlink_to("../secret.xml")
    hostile = subprocess.Popen([sys.executable, "-c", swapping], stderr=subprocess.DEVNULL)
    tried = leaked = 0
    try:
        while tried < enough:
            tried += 1
            try:
                leaked += read() == SECRET
            except (OSError, collecting.Rejected):
                continue
    finally:
        hostile.kill()
        hostile.wait()
    return tried, leaked


@pytest.mark.parametrize("stepwise", [False, True], ids=["openat2", "step by step"])
def test_names_that_are_swapped_while_we_look_leak_nothing(folder, stepwise, monkeypatch):
    if stepwise:
        monkeypatch.setattr(collecting, "open_beneath", collecting.open_step_by_step)

    assert _race(folder, lambda: _read(folder, "report.xml"), 12_000) == (12_000, 0)


def test_names_that_are_swapped_do_fool_a_reader_that_looks_first(folder):
    def looks_first() -> bytes:
        path = folder / "report.xml"
        if path.is_symlink():
            raise OSError(errno.ELOOP, "a link")
        return path.read_bytes()

    _, leaked = _race(folder, looks_first, 20_000)

    assert leaked > 0


# Frames: what comes out of the third descriptor --------------------------------------------------

SMALL = Limits(artifacts=2, artifact_bytes=100)
STARTED = b"ready\nexit 0\n"


def _frame(path: bytes, content: bytes = b"x", kind: bytes = FILE) -> bytes:
    return FRAME.pack(kind, len(path), len(content)) + path + content


def _believed(data: bytes) -> dict[str, bytes]:
    """The obvious reader: it believes lengths, paths and order."""
    found, data = {}, data[len(STARTED) :]
    while data:
        _, name, size = FRAME.unpack_from(data)
        path = data[FRAME.size : FRAME.size + name].decode(errors="surrogateescape")
        found[path] = data[FRAME.size + name : FRAME.size + name + size]
        data = data[FRAME.size + name + size :]
    return found


@pytest.mark.parametrize(
    "hostile",
    [
        _frame(b"/etc/cron.d/job"),
        _frame(b"../../up"),
        _frame(b"a/../../up"),
        _frame(b"a//b"),
        _frame(b"./a"),
        _frame(b""),
        _frame(b"a\0b"),
        _frame(b"a/"),
        _frame(b"name\xff"),
        _frame(b"a", b"one") + _frame(b"a", b"two"),
        _frame(b"a") + _frame(b"b") + _frame(b"c"),
        _frame(b"a", b"x" * 60) + _frame(b"b", b"x" * 60),
        _frame(b"a", b"x" * 101),
        _frame(b"n" * 2_000),
        _frame(b"a", kind=b"?"),
        _frame(b"a", b"x" * 5_000, REFUSED),
        FRAME.pack(FILE, 1, 2**63) + b"a",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_a_frame_that_breaks_the_agreement_is_not_believed(hostile):
    naive = _believed(STARTED + hostile)
    report = frames.Report(SMALL)
    for at in range(0, len(hostile) + len(STARTED), 7):  # as cut up as pipes cut it
        report.feed((STARTED + hostile)[at : at + 7])

    bad = [path for path in report.artifacts if path.encode() not in {b"a", b"b"}]
    assert (bad, len(report.artifacts) <= SMALL.artifacts) == ([], True)
    assert sum(map(len, report.artifacts.values())) <= SMALL.artifact_bytes
    assert report.broken or report.rejected
    assert len(report._held) < 5_000
    assert naive, "the obvious reader takes it"


@pytest.mark.parametrize(
    "hostile",
    [
        b"exit 0\n",
        b"ready \nexit 0\n",
        b"ready\nready\n",
        b"ready\nexit 0 0\n",
        b"ready\nexit -1\n",
        b"ready\nexit 256\n",
        b"ready\nexit \xd9\xa0\n",
        b"ready\nexit 99999999999999999999\n",
        b"ready\nexit\n",
        b"x" * 1_000,
        b"ready\n" + b"x" * 1_000,
        b"\0\n",
    ],
)
def test_a_line_that_breaks_the_agreement_ends_the_listening(hostile):
    report = frames.Report(SMALL)
    report.feed(hostile)
    report.feed(STARTED + _frame(b"a"))

    assert report.broken
    assert (report.exit_code, dict(report.artifacts)) == (None, {})
    naive = re.search(rb"exit (\S+)|ready|x|\0", hostile)
    assert naive, "a reader that searches for its words finds one"


def test_what_follows_the_end_is_not_read():
    report = frames.Report(SMALL)
    report.feed(STARTED + FRAME.pack(END, 0, 0) + _frame(b"a"))

    assert (report.complete, dict(report.artifacts)) == (True, {})
    assert "a" in _believed(STARTED + FRAME.pack(END, 0, 0) + _frame(b"a"))


def test_a_frame_without_its_end_is_not_an_artifact():
    report = frames.Report(SMALL)
    report.feed(STARTED + _frame(b"a", b"x" * 50)[:-1])

    assert (report.complete, dict(report.artifacts)) == (False, {})
    assert "a" in _believed(STARTED + _frame(b"a", b"x" * 50)[:-1])


def test_refusals_without_end_do_not_fill_our_memory():
    report = frames.Report(SMALL)
    report.feed(STARTED)
    for number in range(5_000):
        report.feed(_frame(str(number).encode(), b"no", REFUSED))

    assert len(report.rejected) == collecting.REJECTED
    assert len(_believed(STARTED + b"".join(_frame(b"%d" % n) for n in range(5_000)))) == 5_000


# Logs: what is kept and shown --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[2J\x1b[Hgone", "gone"),
        (b"\x1b[8mhidden\x1b[28m", "hidden"),
        (b"\x1b]0;a new title\x07text", "text"),
        (b"\x1b]8;;https://evil.example\x1b\\safe.example\x1b]8;;\x1b\\", "safe.example"),
        (b"\x1b]52;c;cm0gLXJm\x07paste", "paste"),
        (b"\x1b]0;never ends\nnext", "\nnext"),
        (b"\x1bP0;1|17/ab\x1b\\text", "text"),
        (b"\xc2\x9b31mred", "red"),
        (b"\xc2\x9d0;title\xc2\x9ctext", "text"),
        ("if admin\u202e)toor(\u202c:".encode(), "if admin)toor(:"),
        ("a\u2066b\u2069c".encode(), "abc"),
        ("pass\u200bword\u200d\ufeff".encode(), "password"),
        ("one\u2028two".encode(), "onetwo"),
        (b"1 failed\r9 passed", "1 failed\n9 passed"),
        (b"fail\x08\x08\x08\x08pass", "failpass"),
        (b"nul\0bell\x07", "nulbell"),
        (b"\xff\xfe broken \xc3", "\ufffd\ufffd broken \ufffd"),
        ("\U000e0041\U000e0042tag".encode(), "tag"),
        (b"kept\tand\r\nkept", "kept\tand\nkept"),
    ],
)
def test_a_log_shows_what_it_says_and_nothing_else(written, shown):
    assert logs.cleaned(written) == shown
    assert written.decode(errors="replace") != shown or shown.startswith("\ufffd")


def test_a_long_log_keeps_its_beginning_and_its_end():
    said = logs.cleaned(b"begin" + b"x" * 1_000_000 + b"end", limit=1_000)

    assert said.startswith("beginxxx")
    assert said.endswith("xxxend")
    assert "999008 bytes left out" in said
    assert len(said) < 1_100


def test_escape_sequences_without_end_cost_no_time():
    hostile = (b"\x1b]" + b"\x1b[" * 50 + secrets.token_bytes(50)) * 2_000

    assert "\x1b" not in logs.cleaned(hostile, limit=len(hostile))
