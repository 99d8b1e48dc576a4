"""The embedded PostgreSQL: its data folder, its settings, its roles."""

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from deploy.embedded.places import CHECKOUT, CannotStart, Place, as_user
from deploy.embedded.processes import (
    SECONDS_TO_STOP,
    processes_in,
    running,
    sentence_about,
    server_environment,
    spawn,
    wait_until,
)
from deploy.embedded.state import SUPERUSER, choose_port, save_state, write_private

ROLES_SQL = CHECKOUT / "deploy" / "postgres" / "roles.sql"

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


def start_postgres(place: Place, state: dict[str, Any]) -> None:
    if not place.postgres.is_dir():
        _initialise_postgres(place, state["passwords"]["superuser"])
    if running(place.postgres, "postmaster.pid") is None:
        _clear_after_crash(place.postgres)
        port = choose_port(place, state, "postgres")
        command = [place.postgres_program("postgres"), "-D", str(place.postgres), "-p", str(port)]
        for name, value in POSTGRES_SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        process = spawn(command, place.postgres, place.log("postgres"), place.user)
        wait_until(lambda: _postgres_ready(place.postgres), "PostgreSQL", process, place, port)
    _apply_roles(place, state)


def _initialise_postgres(place: Place, password: str) -> None:
    """Make the data folder, in another place first: a half-made one must never look finished."""
    unfinished = place.servers / "postgres.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    password_file = place.servers / "initdb.password"
    try:
        write_private(password_file, password)
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
            env=server_environment(),
            **as_user(place.user),
        )
        if made.returncode != 0:
            raise CannotStart(sentence_about(made.stderr, "PostgreSQL", place, None))
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
    while processes_in(data):
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
        env=server_environment()
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
    save_state(place, state)
