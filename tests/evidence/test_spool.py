"""The spool: what was acknowledged is on disk, whoever dies; what is not right is seen."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest

from evidence import spool as spools
from evidence.spool import (
    FIRST,
    MAGIC,
    Spool,
    SpoolFault,
    read_frames,
    rest_of,
    spool_in,
    writer_is_gone,
)

ACME, GLEX = UUID(int=1), UUID(int=2)
ROOT = Path(__file__).parents[2]


def _files(folder):
    return sorted(folder.glob("*.spool"))


def _said(folder):
    return [record.said for path in _files(folder) for record in read_frames(path)]


def test_records_are_numbered_and_chained_for_each_tenant_by_itself(tmp_path):
    spool = Spool(tmp_path)

    spool.append([(ACME, {"n": 0}), (GLEX, {"n": 1}), (ACME, {"n": 2})])

    (path,) = _files(tmp_path)
    first, other, second = read_frames(path)
    assert [(r.said["tenant"], r.said["seq"]) for r in (first, other, second)] == [
        (str(ACME), 0),
        (str(GLEX), 0),
        (str(ACME), 1),
    ]
    assert (first.said["prev"], other.said["prev"]) == (FIRST, FIRST)
    assert second.said["prev"] == first.digest
    assert rest_of(path, second.end) == ""


def test_a_record_is_written_and_synced_before_the_caller_goes_on(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.append([(ACME, {"n": 0})])
    seen, real = [], os.fdatasync

    def watched(handle):
        seen.append([one["n"] for one in _said(tmp_path)])
        real(handle)

    monkeypatch.setattr(spools.os, "fdatasync", watched)
    spool.append([(ACME, {"n": 1}), (ACME, {"n": 2})])

    assert seen == [[0, 1, 2]]


def test_threads_that_wait_together_share_a_sync_and_lose_nothing(tmp_path, monkeypatch):
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(spools.os, "fdatasync", lambda fd: (syncs.append(fd), real(fd)))
    spool = Spool(tmp_path)
    begin = threading.Barrier(16)

    def work(number):
        begin.wait()
        for step in range(40):
            spool.append([(ACME, {"n": number, "step": step})])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    said = _said(tmp_path)
    assert [one["seq"] for one in said] == list(range(640))
    assert {(one["n"], one["step"]) for one in said} == {
        (n, s) for n in range(16) for s in range(40)
    }
    assert 0 < len(syncs) < 640


def test_a_full_disk_is_a_no_and_leaves_a_hole_in_the_numbers(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.append([(ACME, {"n": 0})])

    def full(_handle, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(spools.os, "write", full)
        with pytest.raises(SpoolFault, match="No space left"):
            spool.append([(ACME, {"n": 1})])
    spool.append([(ACME, {"n": 2})])

    assert [(one["n"], one["seq"]) for one in _said(tmp_path)] == [(0, 0), (2, 2)]
    assert len(_files(tmp_path)) == 2


def test_after_a_failed_sync_nobody_who_waited_is_told_that_it_is_on_disk(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.append([(ACME, {"n": 0})])
    real, failed = os.fdatasync, threading.Event()

    def fails_once(handle):
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(spools.os, "fdatasync", fails_once)
    with spool._writing:
        spool._write([(ACME, {"n": 1}), (ACME, {"n": 2})])
        waiting = spool._written
    with pytest.raises(OSError, match="Input/output"):
        spool._sync(waiting - 1)
    # Another record makes a new file, which can be synced; the old promise stays broken.
    spool.append([(ACME, {"n": 3})])
    with pytest.raises(OSError, match="given up"):
        spool._sync(waiting)


def test_an_unusable_folder_is_a_no(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    with pytest.raises(SpoolFault):
        Spool(blocked / "spool").append([(ACME, {})])


def test_a_full_file_is_followed_by_another_in_the_same_chain(tmp_path, monkeypatch):
    monkeypatch.setattr(spools, "ROTATE_AT", 500)
    spool = Spool(tmp_path)

    for n in range(10):
        spool.append([(ACME, {"n": n})])

    assert len(_files(tmp_path)) > 2
    assert [one["seq"] for one in _said(tmp_path)] == list(range(10))
    *older, newest = _files(tmp_path)
    assert all(writer_is_gone(path) for path in older)
    assert not writer_is_gone(newest)


@pytest.mark.parametrize("cut", [1, 5, 8, 20])
def test_an_end_that_was_cut_off_is_torn_and_everything_before_it_is_read(tmp_path, cut):
    spool = Spool(tmp_path)
    spool.append([(ACME, {"n": 0}), (ACME, {"n": 1})])
    (path,) = _files(tmp_path)
    first, _ = read_frames(path)

    path.write_bytes(path.read_bytes()[: first.end + cut])

    assert [one["n"] for one in _said(tmp_path)] == [0]
    assert rest_of(path, first.end) == "torn"


@pytest.mark.parametrize("at", [-3, 30])
def test_a_flipped_bit_is_damage(tmp_path, at):
    spool = Spool(tmp_path)
    spool.append([(ACME, {"n": 0})])
    (path,) = _files(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[at] ^= 1
    path.write_bytes(whole)

    assert _said(tmp_path) == []
    assert rest_of(path, len(MAGIC)) == "damaged"


def test_a_child_of_a_fork_writes_into_a_chain_of_its_own(tmp_path):
    spool_in(tmp_path).append([(ACME, {"who": "parent"})])

    child = os.fork()
    if child == 0:
        spool_in(tmp_path).append([(ACME, {"who": "child"})])
        os._exit(0)
    os.waitpid(child, 0)
    spool_in(tmp_path).append([(ACME, {"who": "parent"})])

    said = _said(tmp_path)
    assert len({one["writer"] for one in said}) == 2
    assert sorted((one["who"], one["seq"]) for one in said) == [
        ("child", 0),
        ("parent", 0),
        ("parent", 1),
    ]
    spool_in(tmp_path).close()


WRITE_AND_TELL = """
import os, sys
from pathlib import Path
from uuid import UUID
from evidence.spool import Spool
spool = Spool(Path(sys.argv[1]))
n = 0
while True:
    spool.append([(UUID(int=1), {"n": n})])
    os.write(1, b"%d\\n" % n)
    n += 1
"""


def test_a_killed_process_loses_no_record_that_it_had_acknowledged(tmp_path):
    for _ in range(5):
        folder = tmp_path / os.urandom(4).hex()
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_AND_TELL, str(folder)], cwd=ROOT, stdout=subprocess.PIPE
        )
        told = [writer.stdout.readline() for _ in range(50)]
        writer.kill()
        told += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()

        acknowledged = [int(line) for line in told if line.endswith(b"\n")]
        on_disk = [
            json.loads(record.body)["n"] for p in _files(folder) for record in read_frames(p)
        ]
        assert on_disk[: len(acknowledged)] == acknowledged
        (path,) = _files(folder)
        assert writer_is_gone(path)
