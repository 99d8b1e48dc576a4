"""Clean runs: each in a fork on a tree that is laid anew."""

import base64
import json
import os
import sys
from pathlib import Path

import pytest
from _pytest.config import get_config

from .clock import ROOT, tick
from .outcomes import OPTIONS, Outcomes

LOG_FILE = "/tmp/log"  # noqa: S108  # nobody else is in this sandbox
LOG = 200_000  # bytes of a run's output that are kept


def suites() -> int:
    """Make the runs of /job/runs.json one after the other, each in a fork on a clean tree.

    Before a run the tree is laid anew: the job's files, with those of the run in place of its own.
    Nothing of the tree is imported before the fork. One JSON line for each run on stdout; what
    pytest prints goes there, too, as a text.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = Path(__file__).parent.parent
    first = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files_below(ROOT)}
    get_config()  # imports the parts of pytest once, not in each fork
    for run in json.loads((job / "runs.json").read_text()):
        changed = {path: base64.b64decode(text) for path, text in run["files"].items()}
        lay(first | changed)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            log = os.open(LOG_FILE, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            noted = Outcomes(run["limit"])
            tick()
            pytest.main([*OPTIONS, "-q", *run["tests"]], plugins=[noted])
            sys.stdout.flush()
            told = {"tests": noted.tests, "late": noted.late}
            with os.fdopen(write, "w", encoding="utf-8") as back:
                json.dump(told, back)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as back:
            text = back.read()
        os.waitpid(child, 0)
        log_text = Path(LOG_FILE).read_bytes()[-LOG:].decode("utf-8", "replace")
        if text:
            print(json.dumps({"name": run["name"], "log": log_text, **json.loads(text)}), file=out)
        out.flush()
    return 0


def files_below(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file()]


def lay(files: dict[str, bytes]) -> None:
    """Make the workspace hold these files and no others."""
    for path in files_below(ROOT):
        if path.relative_to(ROOT).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = ROOT / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
