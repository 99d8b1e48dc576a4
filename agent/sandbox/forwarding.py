"""Gives a program in the sandbox a proxy on its loopback, which is a socket file of the machine.

Runs in the sandbox (python forwarding.py SOCKET COMMAND...), so it imports nothing of ours.
"""

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy in both directions until both have ended."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # the other side is gone: so are we
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


def serve(listening: socket.socket, path: str) -> None:
    """Connect each caller to the socket file."""

    def answer(caller: socket.socket) -> None:
        with caller, socket.socket(socket.AF_UNIX) as out:
            out.connect(path)
            relay(caller, out)

    while True:
        caller, _ = listening.accept()
        threading.Thread(target=answer, args=(caller,), daemon=True).start()


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server, sys.argv[1]), daemon=True).start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        proxied = {**os.environ, "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy}
        sys.exit(subprocess.run(sys.argv[2:], env=proxied, check=False).returncode)
