"""The command: python -m deploy.embedded start, stop, status, env, run."""

import argparse
import itertools
import sys
from pathlib import Path

from deploy import embedded
from deploy.embedded.state import as_shell


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.embedded", description=(embedded.__doc__ or "").splitlines()[0]
    )
    parser.add_argument("command", choices=["start", "stop", "status", "env", "run"])
    parser.add_argument("--home", type=Path, help="folder of the servers (default: var/)")
    parser.epilog = "`run` takes a program after --, and gives it what `env` prints."
    ours = list(itertools.takewhile(lambda word: word != "--", sys.argv[1:]))
    program = sys.argv[len(ours) + 2 :]
    arguments = parser.parse_args(ours)
    if (arguments.command == "run") != bool(program):
        parser.error("`run`, and only `run`, takes a program after --")
    home = (arguments.home or embedded.default_home()).resolve()
    try:
        match arguments.command:
            case "start":
                embedded.start(home)
                print(f"PostgreSQL and Valkey run; their addresses are in {home / 'env'}")
            case "stop":
                embedded.stop(home)
            case "status":
                running = embedded.status(home)
                for server, pid in running.items():
                    print(f"{server:9} {f'runs as process {pid}' if pid else 'does not run'}")
                return 0 if all(running.values()) else 3
            case "run":
                return embedded.run(home, program)
            case "env":
                print(as_shell(embedded.environment(home)), end="")
    except embedded.CannotStart as sentence:
        print(sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
