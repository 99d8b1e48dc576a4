"""The command countersign-witness: make a key, then serve."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from countersign_witness.keys import KeyFault, PublicKey, make_key, read_key
from countersign_witness.memory import Memory
from countersign_witness.server import Server
from countersign_witness.witness import Witness


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="countersign-witness", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="make the witness's key and print its public half")
    serve = commands.add_parser("serve", help="cosign until it is stopped")
    for command in (key, serve):
        command.add_argument("--home", type=Path, required=True, help="folder of key and memory")
        command.add_argument("--name", required=True, help="such as witness.example.org/w1")
    serve.add_argument("--logs", type=Path, required=True, help="file with one log key a line")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8045)
    given = parser.parse_args(arguments)
    try:
        return _make(given) if given.command == "key" else _serve(given)
    except (KeyFault, OSError, ValueError) as fault:
        print(f"countersign-witness: {fault}", file=sys.stderr)
        return 2


def _make(given: argparse.Namespace) -> int:
    given.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    print(make_key(given.home / "witness.pem", given.name).public)
    return 0


def _serve(given: argparse.Namespace) -> int:
    key = read_key(given.home / "witness.pem", given.name)
    written = [line.strip() for line in given.logs.read_text().splitlines()]
    logs = [PublicKey.parse(line) for line in written if line and not line.startswith("#")]
    witness = Witness(key, logs, Memory(given.home / "seen.sqlite"))
    with Server((given.host, given.port), witness) as server:
        signal.signal(signal.SIGTERM, _stop)
        address = f"http://{given.host}:{server.server_address[1]}"
        print(f"{key.public}\ncosigns {len(witness.logs)} logs at {address}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
