"""What is remembered between starts: ports, passwords, and the files made from them."""

import base64
import json
import os
import secrets
import shlex
import socket
from pathlib import Path
from typing import Any

from deploy.embedded.places import CannotStart, Place

SUPERUSER = "postgres"


def load_state(place: Place) -> dict[str, Any]:
    """Ports and passwords of this folder, made up on its first start."""
    path = place.servers / "servers.json"
    if path.exists():
        state: dict[str, Any] = json.loads(path.read_text())
        if "secrets_key" not in state["passwords"]:
            state["passwords"]["secrets_key"] = _new_key()
            save_state(place, state)
        return state
    if place.postgres.is_dir():
        raise CannotStart(
            f"{place.postgres} holds a database, but {path.name} with its passwords is gone."
            " Bring it back from a backup, or move the database away to begin with an empty one."
        )
    names = ("superuser", "owner", "app", "auditor", "valkey", "secret_key")
    passwords = {name: secrets.token_urlsafe(32) for name in names}
    state = {"passwords": {**passwords, "secrets_key": _new_key()}, "ports": {}}
    save_state(place, state)
    return state


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def save_state(place: Place, state: dict[str, Any]) -> None:
    write_private(place.servers / "servers.json", json.dumps(state, indent=1) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; readers see the old text or the new one."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def choose_port(place: Place, state: dict[str, Any], server: str) -> int:
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
        save_state(place, state)
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


def write_environment(place: Place, state: dict[str, Any]) -> dict[str, str]:
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
        "DATABASE_URL": database_url(state, "portal_app", "app"),
        "DATABASE_OWNER_URL": database_url(state, "portal_owner", "owner"),
        "DATABASE_AUDITOR_URL": database_url(state, "portal_auditor", "auditor"),
        "DATABASE_ROLE": "app",
        "DATABASE_POOL_SIZE": "0",
        "REDIS_URL": f"redis://:{passwords['valkey']}@127.0.0.1:{ports['valkey']}/0",
        "DATA_DIR": str(data),
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json",
        "TASK_VISIBILITY_SECONDS": "30",
    }
    write_private(place.home / "env", as_shell(values))
    write_private(place.home / "env.evidence", as_shell({"KEYS_DIR": str(keys)}))
    return values


def as_shell(values: dict[str, str]) -> str:
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join(["# Written by deploy/embedded at each start.", *lines, ""])


def database_url(
    state: dict[str, Any], role: str, password: str, database: str = "countersign"
) -> str:
    secret, port = state["passwords"][password], state["ports"]["postgres"]
    return f"postgresql://{role}:{secret}@127.0.0.1:{port}/{database}"
