"""Ways out of the sandbox, each tried inside and, as a control that it works, outside."""

import ctypes
import dataclasses
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.sandbox import Ended, Job, Limits, engine
from agent.sandbox.bubblewrap import Bubblewrap

PROGRAM = Path(__file__).with_name("probes.py")
LIMITS = Limits(wall_s=120, memory_mb=512, processes=24, disk_mb=16, tmp_mb=4)
# bubblewrap shares the machine's kernel, and with it what tells one machine from another.
KNOWN_OF_THE_WEAKER = {
    "tell_the_machine_by_its_kernel",
    "tell_the_machine_by_its_start",
    "tell_the_machine_by_its_mounts",
}
INSIDE = {
    "usr": "/usr",
    "root": "/",
    "etc": "/etc",
    "environment": "/environment",
    "python": "/opt/python",
    "inputs": "/job",
    "ours": "/countersign",
    "dev": "/dev",
    "mount": "/usr",
}


def _answering(family: int, kind: int, address: Any) -> Iterator[Any]:
    """A server of this machine that answers "!" to whatever it is told."""
    with socket.socket(family, kind) as server:
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen(16)
        server.settimeout(0.2)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    if kind == socket.SOCK_DGRAM:
                        _, sender = server.recvfrom(10)
                        server.sendto(b"!", sender)
                    else:
                        with server.accept()[0] as caller:
                            caller.settimeout(2)
                            caller.recv(10)
                            caller.sendall(b"!")
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            stop.set()
            thread.join()


def _device_of_usr() -> str:
    """What the file system with /usr in it is called in a list of mounts."""
    mounts = [line.split()[:2] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {place: device for device, place in mounts if place in {"/", "/usr"}}.popitem()[1]


@pytest.fixture(scope="module")
def machine() -> Iterator[dict[str, Any]]:
    """Things of this machine that a job must not reach, and what the probes know about them."""
    mark, secret = f"mark-{secrets.token_hex(8)}", secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="machine-") as folder:
        canary = Path(folder) / "canary"
        canary.write_text(secret)
        servers = [
            _answering(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0)),
            _answering(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            _answering(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            _answering(socket.AF_UNIX, socket.SOCK_STREAM, f"{folder}/socket"),
            _answering(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + mark),
        ]
        tcp, tcp6, udp, unix, _ = [next(server) for server in servers]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.connect(("192.0.2.1", 9))  # sends nothing: only chooses an address of ours
            address = asked.getsockname()[0]
        shared = secrets.randbelow(2**30) + 1
        libc = ctypes.CDLL(None, use_errno=True)
        segment = libc.shmget(shared, 4096, 0o1666)
        assert segment >= 0
        in_shm = Path("/dev/shm") / mark
        in_shm.write_text(secret)
        process = subprocess.Popen(
            [sys.executable, "-c", f"input() # {mark}"],
            stdin=subprocess.PIPE,
            cwd=folder,
            env={"SECRET": secret},
        )
        runs = Path(folder) / "runs"
        runs.mkdir()
        (runs / "one").touch()
        try:
            yield {
                "canary": str(canary),
                "checkout": str(Path(__file__).resolve().parents[3]),
                "runs": str(runs),
                "process": process.pid,
                "mark": mark,
                "secret": secret,
                "shared": shared,
                "tcp": tcp[1],
                "tcp6": tcp6[1],
                "udp": udp[1],
                "unix": unix,
                "address": address,
                "release": os.uname().release,
                "name": os.uname().nodename,
                "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                "device": _device_of_usr(),
                # The session's keyring; a process that has none gets the user's.
                "keyring": libc.syscall(250, 0, -3, 1),
                "disk_mb": LIMITS.disk_mb,
                "tmp_mb": LIMITS.tmp_mb,
                "processes": LIMITS.processes,
            }
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            in_shm.unlink()
            libc.shmctl(segment, 0, None)
            for server in servers:
                server.close()


def _tried(sandbox: Any, machine: dict[str, Any], restored: bool = False) -> dict[str, str]:
    context = json.dumps(machine | {"places": INSIDE}).encode()
    files = {"probes.py": PROGRAM.read_bytes()}
    job = Job(("python", "probes.py", "/job/context.json"), files, limits=LIMITS)
    outcome = sandbox.run(dataclasses.replace(job, inputs={"context.json": context}))
    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 0), outcome.stderr
    assert outcome.restored == restored
    return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def runs() -> Path:
    return Path(tempfile.mkdtemp(prefix="runs-"))


@pytest.fixture(scope="module")
def control(machine: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same program without a sandbox, as root, in a mount namespace for what it mounts."""
    folder = tmp_path_factory.mktemp("control")
    places = {name: str(folder) for name in INSIDE} | {"usr": str(folder), "mount": "/mnt"}
    (folder / "context.json").write_text(json.dumps(machine | {"places": places}))
    script = 'mount -t tmpfs none /mnt && exec "$@"'
    alone = ["unshare", "--mount", "--uts", "--propagation", "private", "--", "sh", "-c", script]
    kept_open = os.open(machine["canary"], os.O_RDONLY)
    try:
        ran = subprocess.run(
            [*alone, "sh", sys.executable, str(PROGRAM), "context.json"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "SECRET": machine["secret"]},
            pass_fds=(kept_open,),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(kept_open)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_each_probe_works_where_there_is_no_sandbox(control):
    """Needs root: most of them are nothing that an ordinary user could do."""
    assert len(control) >= 67
    assert {name: said for name, said in control.items() if said != "worked"} == {}


def test_no_probe_gets_out_of_gvisor(control, machine, runs):
    tried = _tried(dataclasses.replace(engine(), runs=runs), machine)

    assert tried.keys() == control.keys()
    assert {name: said for name, said in tried.items() if not said.startswith("held")} == {}


def test_no_probe_gets_out_of_a_restored_gvisor(control, machine, runs, tmp_path):
    warm = dataclasses.replace(engine(), runs=runs, snapshots=tmp_path)
    tried = _tried(warm, machine, restored=True)

    assert tried.keys() == control.keys()
    assert {name: said for name, said in tried.items() if not said.startswith("held")} == {}


def test_no_probe_gets_out_of_bubblewrap_but_it_sees_the_kernel(control, machine, runs):
    store = engine().store
    tried = _tried(Bubblewrap(Path("/usr/bin/bwrap"), store, runs), machine)

    assert tried.keys() == control.keys()
    got_out = {name for name, said in tried.items() if not said.startswith("held")}
    assert got_out == KNOWN_OF_THE_WEAKER
