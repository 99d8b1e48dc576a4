"""What an OCI runtime gets to see: a root file system of almost nothing, mounts, limits."""

import io
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.sandbox import collecting, warm
from agent.sandbox.environments import is_of_the_system
from agent.sandbox.job import (
    ENVIRONMENT,
    INPUTS,
    NOBODY,
    OURS,
    PYTHON,
    SEARCH_PATH,
    WORKSPACE,
    Environment,
    Job,
    SandboxUnavailable,
)

_START = Path(__file__).with_name("start.sh")
_OUR_PLACES = [inside.lstrip("/") for inside in (WORKSPACE, INPUTS, ENVIRONMENT, OURS, PYTHON)]
_FOLDERS = ("usr", "etc", "proc", "dev", "sys", "run", "tmp", "var/tmp", *_OUR_PLACES)
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\n"
    f"nobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/usr/sbin/nologin\n",
    "etc/group": f"root:x:0:\nnogroup:x:{NOBODY}:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass(frozen=True)
class Folders:
    """What one run has on this machine. Nothing in it is ever written by the sandbox."""

    root: Path  # root file system
    ours: Path  # start.sh, collector, workspace as tar
    inputs: Path  # what comes to INPUTS


def lay_out(job: Job, environment: Environment, folder: Path) -> Folders:
    """Write everything a run needs below an empty folder."""
    laid = Folders(folder / "root", folder / "ours", folder / "inputs")
    for name in _FOLDERS:
        (laid.root / name).mkdir(parents=True)
    for name, target in _LINKS.items():
        (laid.root / name).symlink_to(target)
    if expected := _expected_place(environment):
        (laid.root / expected).parent.mkdir(parents=True)
        (laid.root / expected).symlink_to(PYTHON)
    for name, text in _FILES.items():
        (laid.root / name).write_text(text)
    laid.ours.mkdir()
    shutil.copyfile(_START, laid.ours / "start.sh")
    shutil.copyfile(collecting.__file__, laid.ours / "collecting.py")
    shutil.copyfile(warm.__file__, laid.ours / "warm.py")
    (laid.ours / "workspace.tar").write_bytes(packed(job.files) if job.files else b"")
    patterns = b"\0".join(pattern.encode(errors="surrogateescape") for pattern in job.collect)
    (laid.ours / "patterns").write_bytes(patterns)
    laid.inputs.mkdir()
    for name, content in job.inputs.items():
        path = laid.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in folder.rglob("*"):  # whatever the worker's umask says: nobody reads them inside
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return laid


def packed(files: Mapping[str, bytes]) -> bytes:
    """The files as a tar, the same bytes for the same files. A script (#!) may be executed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o755 if files[name].startswith(b"#!") else 0o644
            entry.uid = entry.gid = NOBODY
            tar.addfile(entry, io.BytesIO(files[name]))
    return out.getvalue()


def command(job: Job) -> list[str]:
    """What runs as the first process inside."""
    limits = job.limits
    return [
        "/bin/sh",
        f"{OURS}/start.sh",
        str(limits.artifacts),
        str(limits.artifact_bytes),
        *job.command,
    ]


def variables(job: Job) -> dict[str, str]:
    """The whole environment inside."""
    return {
        "PATH": SEARCH_PATH,
        "HOME": "/tmp",  # noqa: S108  # a file system of the sandbox
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **job.variables,
    }


def read_only(laid: Folders, environment: Environment) -> dict[str, Path]:
    """Folders of this machine that are seen inside, by where they are seen. None is writable."""
    seen = {
        "/usr": Path("/usr"),
        ENVIRONMENT: environment.path,
        INPUTS: laid.inputs,
        OURS: laid.ours,
    }
    if not is_of_the_system(environment.python):
        seen[PYTHON] = environment.python
    return seen


def _expected_place(environment: Environment) -> str | None:
    """Where an interpreter looks for its own library, when it cannot be moved. Relative to /."""
    prefix = environment.python
    if is_of_the_system(prefix) or b"$ORIGIN" in (prefix / "bin" / "python3").read_bytes():
        return None
    place = str(prefix).lstrip("/")
    if place.split("/")[0] in {name.split("/")[0] for name in _FOLDERS}:
        raise SandboxUnavailable(f"the Python in {prefix} cannot be used: it only runs from there")
    return place


def hidden(environment: Environment) -> list[str]:
    """Folders inside that are covered with an empty one: packages of the machine's own Python."""
    if is_of_the_system(environment.python):
        return []
    libraries = environment.python.glob("lib/python3*/site-packages")
    return [f"{PYTHON}/{path.relative_to(environment.python)}" for path in libraries]


def configuration(job: Job, laid: Folders, environment: Environment) -> dict[str, Any]:
    """The bundle's config.json: OCI runtime specification 1.0.2, Linux."""
    limits = job.limits
    binds = [bound(*pair) for pair in read_only(laid, environment).items()]
    return {
        "ociVersion": "1.0.2",
        "hostname": "sandbox",
        "root": {"path": str(laid.root), "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": NOBODY, "gid": NOBODY},
            "args": command(job),
            "env": [f"{name}={value}" for name, value in variables(job).items()],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {
                kind: []
                for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
            },
            "rlimits": [
                {"type": name, "soft": value, "hard": value}
                for name, value in resource_limits(job).items()
            ],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            _tmpfs("/tmp", limits.tmp_mb),  # noqa: S108
            _tmpfs("/dev/shm", limits.tmp_mb),  # noqa: S108
            _tmpfs(WORKSPACE, limits.disk_mb),
            *binds,
            *(_tmpfs(inside, 0) for inside in hidden(environment)),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        },
    }


def bound(inside: str, outside: Path) -> dict[str, Any]:
    """A mount of a folder of this machine, read-only."""
    return {
        "destination": inside,
        "type": "bind",
        "source": str(outside),
        "options": ["ro", "rbind", "nosuid", "nodev"],
    }


def resource_limits(job: Job) -> dict[str, int]:
    """Limits of each process inside, by their names in setrlimit(2)."""
    return {
        # The first process and the collector are not the job's.
        "RLIMIT_NPROC": job.limits.processes + 2,
        "RLIMIT_NOFILE": 1_024,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": job.limits.file_bytes,
        "RLIMIT_MEMLOCK": 64 * 1024,
    }


def _tmpfs(inside: str, size_mb: int) -> dict[str, Any]:
    options = ["nosuid", "nodev", "mode=1777", f"size={size_mb}m"]
    if not size_mb:
        options = ["nosuid", "nodev", "ro", "mode=0555", "size=4k"]
    return {"destination": inside, "type": "tmpfs", "source": "tmpfs", "options": options}
