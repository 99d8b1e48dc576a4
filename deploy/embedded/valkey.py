"""The embedded Valkey: its settings, and whether it answers."""

import os
import socket
from typing import Any

from deploy.embedded.places import Place
from deploy.embedded.processes import running, spawn, wait_until
from deploy.embedded.state import choose_port


def start_valkey(place: Place, state: dict[str, Any]) -> None:
    password = state["passwords"]["valkey"]
    if running(place.valkey, "valkey.pid") is not None:
        return
    place.valkey.mkdir(mode=0o700, exist_ok=True)
    if place.user:
        os.chown(place.valkey, place.user.pw_uid, place.user.pw_gid)
    port = choose_port(place, state, "valkey")
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
    process = spawn(
        [place.valkey_program(), "-"], place.valkey, place.log("valkey"), place.user, typed=lines
    )
    wait_until(lambda: _valkey_ready(port, password), "Valkey", process, place, port)


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
