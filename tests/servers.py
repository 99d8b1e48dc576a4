"""The servers of one test run: PostgreSQL and Valkey of its own, with tables made by bootstrap.

Making the tables takes 15 s of a core, so they are made once for each state of the code that makes
them, in var/test/tables-<digest>, and each run begins with a copy of those empty tables.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from deploy import embedded
from deploy.embedded import places

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "var" / "test"
HOME = RUNS / str(os.getpid())


def start() -> dict[str, str]:
    """Start servers for this process alone, and return their environment."""
    RUNS.mkdir(parents=True, exist_ok=True)
    with (RUNS / "lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        tables = RUNS / f"tables-{_digest()}"
        for folder in RUNS.iterdir():
            if folder.is_dir() and folder != tables and not _in_use(folder):
                embedded.destroy(folder)
        if not tables.exists():
            _make(tables)
        _copy(tables, HOME)
    embedded.start(HOME)
    # What bootstrap does at each deployment; finds all tables made.
    _bootstrap(HOME)
    return embedded.environment(HOME, evidence=True)


def end() -> None:
    """Stop the servers of this process and remove all that they kept."""
    if HOME.exists():
        embedded.destroy(HOME)


def _in_use(folder: Path) -> bool:
    return folder.name.isdigit() and Path(f"/proc/{folder.name}").exists()


def _digest() -> str:
    """Of all code that can have a say in how tables look, and of the server's version."""
    digest = hashlib.sha256((ROOT / "requirements-dev.lock").read_bytes())
    folders = [ROOT / "tenants", *sorted(ROOT.glob("*/migrations")), ROOT / "deploy" / "postgres"]
    for folder in folders:
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.sql")]):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _make(tables: Path) -> None:
    unfinished = tables.with_suffix(".part")
    embedded.destroy(unfinished)
    embedded.start(unfinished)
    try:
        _bootstrap(unfinished)
    finally:
        embedded.stop(unfinished)
    _copy(unfinished, tables)
    embedded.destroy(unfinished)


def _bootstrap(home: Path) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "bootstrap"],
        cwd=ROOT,
        env={
            **os.environ,
            **embedded.environment(home, evidence=True),
            "DATABASE_ROLE": "owner",
            "LOG_LEVEL": "WARNING",
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _copy(source: Path, target: Path) -> None:
    """Give `target` the database of `source`, whose servers do not run, and its passwords."""
    target.mkdir(parents=True)
    target.chmod(0o755)
    of, to = places.existing_servers_folder(source), places.find_place(target).servers
    # cp keeps owners, which shutil does not; a copy on write where the disk can.
    subprocess.run(
        ["cp", "-a", "--reflink=auto", of / "postgres", of / "servers.json", to], check=True
    )
