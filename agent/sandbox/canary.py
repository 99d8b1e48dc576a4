"""Tries the wall itself before anything else runs behind it: files, network, identity, secrets."""

import json
import os
import secrets
import socket
import tempfile
from pathlib import Path

from agent.sandbox.job import Ended, Engine, Job, Limits, SandboxUnavailable

# Runs inside. Prints the names of what it must not be able to do, as JSON.
_PROGRAM = """
import json, os, socket, sys
known = json.load(open("/job/known.json"))
def reads(): return open(known["file"]).read() != ""
def connects():
    socket.create_connection(("127.0.0.1", known["port"]), 2).close()
    return True
def leaves():
    with socket.socket() as out:
        out.settimeout(2)
        out.connect(("192.0.2.1", 443))
    return True
def interfaces(): return any(name != "lo" for _, name in socket.if_nameindex())
def writes():
    for place in ("/", "/usr", "/environment", "/job", "/countersign"):
        try: open(place + "/canary", "w").close()
        except OSError: continue
        return True
def root(): return 0 in (os.getuid(), os.getegid()) or bool(set(os.getgroups()) - {os.getgid()})
def secret(): return any(known["secret"] in value for value in os.environ.values())
def processes(): return os.path.exists(f"/proc/{known['process']}/environ")
def kernel(): return known["kernel"] == os.uname().release
worked = []
for name in known["questions"]:
    try: worked += [name] if globals()[name]() else []
    except OSError: pass
print(json.dumps(worked))
"""
_QUESTIONS = {
    "reads": "reads a file of this machine",
    "connects": "reaches a port of this machine",
    "leaves": "reaches another machine",
    "interfaces": "sees a network interface",
    "writes": "writes where it must not",
    "root": "is root or in a group",
    "secret": "sees the worker's environment",
    "processes": "sees a process of this machine",
}
_OF_THE_KERNEL = {"kernel": "runs on this machine's kernel"}


def require_walls(engine: Engine) -> None:
    """Raise SandboxUnavailable unless a job is kept from everything that the canary tries."""
    asked = _QUESTIONS | (_OF_THE_KERNEL if engine.tier == "gvisor" else {})
    with (
        tempfile.NamedTemporaryFile(prefix="canary-") as file,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        secret = secrets.token_hex(16)
        file.write(secret.encode())
        file.flush()
        Path(file.name).chmod(0o644)
        known = {
            "file": file.name,
            "port": server.getsockname()[1],
            "secret": secret,
            # A number that is not in use inside, where there is only a handful.
            "process": os.getpid() if os.getpid() > 100 else os.getppid(),
            "kernel": os.uname().release,
            "questions": list(asked),
        }
        os.environ["COUNTERSIGN_CANARY"] = secret
        try:
            outcome = engine.run(
                Job(
                    ("python", "-I", "-S", "/job/canary.py"),
                    {},
                    inputs={
                        "known.json": json.dumps(known).encode(),
                        "canary.py": _PROGRAM.encode(),
                    },
                    limits=Limits(wall_s=30, memory_mb=256, processes=16, disk_mb=4, tmp_mb=4),
                )
            )
        finally:
            del os.environ["COUNTERSIGN_CANARY"]
    if outcome.ended is not Ended.EXITED or outcome.exit_code != 0:
        said = outcome.stderr.decode(errors="replace").strip()[-500:]
        raise SandboxUnavailable(
            f"the sandbox {engine.tier} does not run here ({outcome.ended})"
            + (f": {said}" if said else "")
        )
    worked = json.loads(outcome.stdout)
    if worked:
        raise SandboxUnavailable(
            f"the sandbox {engine.tier} does not hold: a job "
            + ", ".join(asked[name] for name in worked)
        )
