"""Control groups of both versions, as far as one machine can show them."""

import subprocess
import sys

import pytest

from agent.sandbox import cgroups

VERSION_1 = """\
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
VERSION_2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_where_the_groups_are_is_read_from_the_mounts():
    first, second = cgroups._mounts(VERSION_1), cgroups._mounts(VERSION_2)

    assert str(first["memory"]) == "/sys/fs/cgroup/memory"
    assert str(first["cpuacct"]) == "/sys/fs/cgroup/cpu,cpuacct"
    assert {name: str(place) for name, place in second.items()} == {"": "/sys/fs/cgroup"}


def test_the_own_group_is_read_for_both_versions():
    said = "5:pids:/a\n4:cpu,cpuacct:/b\n3:memory:/with:colon\n0::/user.slice/x\n"

    assert cgroups._own(said) == {
        "pids": "/a",
        "cpu": "/b",
        "cpuacct": "/b",
        "memory": "/with:colon",
        "": "/user.slice/x",
    }


@pytest.mark.parametrize(
    ("version", "file", "text", "starved"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 1\noom_kill 0\n", False),
        (2, "memory.events", "low 0\nhigh 9\nmax 9\noom 1\noom_kill 2\n", True),
        (2, "memory.events", "low 0\nhigh 9\nmax 9\noom 1\noom_kill 0\n", False),
    ],
)
def test_want_of_memory_is_read_from_the_counter(tmp_path, version, file, text, starved):
    (tmp_path / file).write_text(text)

    assert cgroups.Group(version, (tmp_path,)).killed_by_memory() is starved


def test_version_2_bounds_memory_swap_and_processes():
    assert cgroups._bounds(2, 10, 7) == {
        "memory.max": "10485760",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "7",
    }


def test_a_group_ends_everything_in_it_and_is_gone():
    """On this machine's own groups; needs root with version 1, a delegated group with version 2."""
    under = cgroups.hierarchies()
    assert under is not None
    group = cgroups.make(under, "test-of-groups", memory_mb=64)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    for folder in group.folders:
        (folder / "cgroup.procs").write_text(str(sleeper.pid))
    assert list(group.processes()) == [sleeper.pid]

    group.kill()

    assert sleeper.wait(10) == -9
    assert [folder for folder in group.folders if folder.exists()] == []
    assert group.peak_mb() is None
