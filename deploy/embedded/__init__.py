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

import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from deploy.embedded.places import (
    CHECKOUT,
    CannotStart,
    default_home,
    existing_servers_folder,
    explained,
    find_place,
    locked,
    path_beside,
    postgres_program,
    require_space,
)
from deploy.embedded.postgres import start_postgres
from deploy.embedded.processes import running, stop_server
from deploy.embedded.state import (
    SUPERUSER,
    database_url,
    load_state,
    port_is_free,
    save_state,
    write_environment,
)
from deploy.embedded.valkey import start_valkey

__all__ = [
    "CHECKOUT",
    "CannotStart",
    "adopt_secrets_key",
    "default_home",
    "destroy",
    "environment",
    "port_is_free",
    "postgres_program",
    "run",
    "start",
    "status",
    "stop",
    "superuser_url",
]


def start(home: Path | None = None) -> dict[str, str]:
    """Make both servers run, and return what `var/env` then holds.

    The first start makes the database, its roles and all passwords. A server that runs already is
    left alone. Raises CannotStart with a sentence for the reader; what was there is then untouched.
    """
    home = (home or default_home()).resolve()
    try:
        with locked(home):
            place = find_place(home)
            require_space(place)
            state = load_state(place)
            start_valkey(place, state)
            start_postgres(place, state)
            return write_environment(place, state)
    except OSError as error:
        raise explained(error, home) from error


def stop(home: Path | None = None) -> None:
    """Stop both servers of this folder, and no others; nothing happens when none runs."""
    # SIGINT is PostgreSQL's "fast" shutdown: clients are sent away, nothing is lost.
    _stop((home or default_home()).resolve(), signal.SIGINT)


def destroy(home: Path) -> None:
    """Stop both servers of a throw-away folder and remove all that they kept."""
    home = home.resolve()
    # SIGQUIT is its "immediate" one: nothing is written any more, as nothing will be read.
    _stop(home, signal.SIGQUIT)
    for folder in (home, path_beside(home)):
        shutil.rmtree(folder, ignore_errors=True)


def _stop(home: Path, how: signal.Signals) -> None:
    if not home.is_dir():
        return
    try:
        with locked(home):
            servers = existing_servers_folder(home)
            stop_server("PostgreSQL", servers / "postgres", "postmaster.pid", how)
            stop_server("Valkey", servers / "valkey", "valkey.pid", signal.SIGTERM)
    except OSError as error:
        raise explained(error, home) from error


def status(home: Path | None = None) -> dict[str, int | None]:
    """Process number of each server, None for one that does not run."""
    servers = existing_servers_folder((home or default_home()).resolve())
    return {
        "postgres": running(servers / "postgres", "postmaster.pid"),
        "valkey": running(servers / "valkey", "valkey.pid"),
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
    servers = existing_servers_folder((home or default_home()).resolve())
    state = json.loads((servers / "servers.json").read_text())
    return database_url(state, SUPERUSER, "superuser", database)


def adopt_secrets_key(home: Path, key: str) -> dict[str, str]:
    """Use the key that customers' secrets were sealed with elsewhere; returns the new `env`."""
    with locked(home):
        place = find_place(home)
        state = load_state(place)
        state["passwords"]["secrets_key"] = key
        save_state(place, state)
        return write_environment(place, state)


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
