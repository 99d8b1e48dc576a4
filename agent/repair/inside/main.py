"""Where the program begins."""

import os
import sys

import pytest

from .clock import ROOT, wind
from .outcomes import OPTIONS
from .server import Server
from .suites import suites


def serve() -> int:
    """Collect, then answer frames on stdin until there are no more."""
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    server = Server(reader, writer)
    arguments = [
        *OPTIONS,
        "-q",
        "--continue-on-collection-errors",
        *sys.argv[2:],
    ]
    code = pytest.main(arguments, plugins=[server])
    if not server.items:
        server.say({"tests": [], "uncollected": server.noted.uncollected, "exit": int(code)})
    return 0


def main() -> int:
    """What was asked for on the command line."""
    wind()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))
    return suites() if sys.argv[1] == "suites" else serve()
