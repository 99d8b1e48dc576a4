"""What is kept to be used again: what goes, what stays, and runs that start beside the clean-up."""

import dataclasses
import fcntl
import os
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.sandbox import Ended, Job, engine, environments, preparing, reuse
from agent.sandbox.reuse import Held, sweep
from tests.agent.package_registry import wheel

DAY = 86_400
KIB = 1024
MAIN = "def main():\n    print('hello from a package')\n"
WHEELS = {"greeting-1.0-py3-none-any.whl": wheel("greeting", "1.0", MAIN)}


def _thing(place, used_days_ago, size=64 * KIB):
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"x" * size)
    (place / "link").symlink_to("/usr")
    _used(place, used_days_ago)


def _used(place, days_ago):
    at = time.time() - days_ago * DAY
    os.utime(place, (at, at))


def _sweep(folder, **also):
    return sweep([folder], **{"unused_s": 30 * DAY, "most_bytes": 2**40, "needed": (), **also})


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_nobody_has_used_for_long_goes_and_what_is_needed_stays(tmp_path):
    for name, days in {"old": 31, "needed": 99, "young": 29}.items():
        _thing(tmp_path / name, days)
    (tmp_path / "file").write_bytes(b"x" * 9_000)
    _used(tmp_path / "file", 31)

    swept = _sweep(tmp_path, needed={"needed"})

    assert _names(tmp_path) == ["needed", "young"]
    assert (swept.deleted, swept.kept) == (2, 2)
    assert swept.freed >= 64 * KIB + 9_000
    assert swept.size >= 2 * 64 * KIB


def test_above_the_limit_the_oldest_use_goes_first_and_recent_use_never(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    _thing(one / "third", 3)
    _thing(other / "second", 2)
    _thing(one / "fourth", 4)
    _thing(other / "just now", 0)
    both = [one, other, tmp_path / "never made"]
    room = {"unused_s": 30 * DAY, "needed": ()}

    swept = sweep(both, most_bytes=3 * 80 * KIB, **room)

    assert (_names(one), _names(other)) == (["third"], ["just now", "second"])
    assert (swept.deleted, swept.kept) == (1, 3)
    assert sweep(both, most_bytes=0, **room).kept == 1
    assert _names(other) == ["just now"]
    # A day without use may be told to be too long, but not what a running step has just used.
    assert sweep(both, most_bytes=0, unused_s=0, needed=()).kept == 1


def test_what_is_held_stays_until_it_is_let_go(tmp_path):
    _thing(tmp_path / "held", 99)
    held = Held.at(tmp_path / "held")
    _used(tmp_path / "held", 99)  # holding it says that it is used

    assert _sweep(tmp_path).deleted == 0
    assert held.place.is_dir()
    del held
    assert _sweep(tmp_path).deleted == 1
    assert Held.at(tmp_path / "held") is None


def test_what_is_used_while_others_are_deleted_stays(tmp_path):
    place = tmp_path / "thing"
    _thing(place, 99)
    [seen] = reuse._things(tmp_path, time.time())

    Held.at(place)  # and let go at once

    assert not reuse._delete(seen)
    assert (place / "file").exists()
    [seen] = reuse._things(tmp_path, time.time())
    assert reuse._delete(seen)


def test_what_is_moved_away_before_it_is_held_counts_as_gone(tmp_path, monkeypatch):
    place, lock = tmp_path / "thing", fcntl.flock
    _thing(place, 99)

    def too_late(descriptor, how):
        place.rename(tmp_path / ".going-1")
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)

    assert Held.at(place) is None


def test_what_was_left_half_made_or_half_deleted_goes_after_a_day(tmp_path):
    _thing(tmp_path / ".making-1", 2)
    _thing(tmp_path / ".going-1", 2)
    _thing(tmp_path / ".making-2", 0)
    (tmp_path / ".half").write_bytes(b"x")
    _used(tmp_path / ".half", 2)

    _sweep(tmp_path)

    assert _names(tmp_path) == [".making-2"]


@contextmanager
def _all_swept_all_the_time(folders, monkeypatch):
    """Deletes whatever nobody holds, over and over; gives a list of how much went."""
    monkeypatch.setattr(reuse, "RECENT_S", -DAY)
    over, went, problems = threading.Event(), [], []

    def work():
        try:
            while not over.is_set():
                went.append(sweep(folders, unused_s=-DAY, most_bytes=0, needed=()).deleted)
        except Exception as problem:  # noqa: BLE001  # raised below
            problems.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield went
    finally:
        over.set()
        thread.join()
    assert problems == []


def test_whoever_holds_a_thing_finds_it_whole_beside_the_clean_up(tmp_path, monkeypatch):
    place, made = tmp_path / "thing", 0
    with _all_swept_all_the_time([tmp_path], monkeypatch) as went:
        for _ in range(500):
            while (held := Held.at(place)) is None:
                made += 1
                half = Path(tempfile.mkdtemp(dir=tmp_path, prefix=".making-"))
                (half / "one").write_text("1")
                (half / "two").write_text("2")
                half.rename(place)
            assert [(place / name).read_text() for name in ("one", "two")] == ["1", "2"]
            del held
            while sum(went) < made and made < 20:  # let it win now and then
                time.sleep(0.001)

    assert made >= 20
    assert sum(went) in {made, made - 1}


@pytest.mark.slow
def test_runs_that_start_beside_the_clean_up_find_their_environment_or_make_it_anew(
    tmp_path, monkeypatch
):
    runs = Path(tempfile.mkdtemp(prefix="runs-"))
    sandbox = dataclasses.replace(engine(), store=tmp_path / "environments", runs=runs)
    sandbox = dataclasses.replace(sandbox, snapshots=tmp_path / "snapshots")
    folders = [sandbox.store, sandbox.snapshots]
    test = {"test_a.py": b"import greeting\n\n\ndef test_a():\n    assert greeting\n"}
    with _all_swept_all_the_time(folders, monkeypatch) as went:
        for _ in range(2):
            environment = preparing.from_wheels(WHEELS, engine=sandbox)
            said = sandbox.run(Job(("greeting",), {}, environment=environment))
            assert said.stdout == b"hello from a package\n", said.stderr
            command = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
            tested = sandbox.run(Job(command, test, environment=environment))
            assert (tested.ended, tested.exit_code) == (Ended.EXITED, 0), tested.stdout
            assert tested.restored
            place = environment.path
            del environment, said, tested
            _until_gone(place)

    assert sum(went) >= 4  # two environments, two snapshots


def _until_gone(place, patience=60):
    end = time.monotonic() + patience
    while place.exists():
        assert time.monotonic() < end, "never deleted"
        time.sleep(0.01)


def test_an_environment_that_is_used_again_is_marked_as_used_and_held(tmp_path):
    store = tmp_path / "environments"
    place = environments.installed(["pluggy"], store).path
    _used(place, 99)

    again = environments.installed(["pluggy"], store)

    assert time.time() - place.stat().st_mtime < DAY
    _used(place, 99)
    assert _sweep(store).deleted == 0
    del again
    assert _sweep(store).deleted == 1
