"""A local forge with the repositories of two tenants."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.forge import Person, Repository
from agent.forge.local import LocalForge


@pytest.fixture(scope="session")
def acme() -> Repository:
    return Repository(UUID("0195b4a0-0000-7000-8000-00000000ac3e"), "order-desk")


@pytest.fixture(scope="session")
def globex() -> Repository:
    return Repository(UUID("0195b4a0-0000-7000-8000-00000000910b"), "ledger-api")


@pytest.fixture(scope="session")
def start() -> dict[str, Any]:
    """How the repositories of both tenants begin."""
    return {
        "files": {
            "README.md": b"# Order desk\n",
            "src/orders.py": b"one\ntwo\nthree\n",
            "docs/old name.md": b"".join(b"line %d\n" % number for number in range(40)),
            "logo.png": b"\x89PNG\x00\x01\x02",
        },
        "author": Person("Ada Lindqvist", "ada@acme.example"),
        "when": datetime(2026, 11, 23, 5, tzinfo=UTC),
        "message": "chore: start",
    }


@pytest.fixture
def by_agent() -> dict[str, Any]:
    """Who commits, when, on whose behalf."""
    return {
        "message": "docs: decide",
        "author": Person("Countersign agent", "agent@countersign.example"),
        "co_author": Person("Ada Lindqvist", "ada@acme.example"),
        "when": datetime(2026, 11, 23, 6, tzinfo=UTC),
    }


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory,
    acme: Repository,
    globex: Repository,
    start: dict[str, Any],
) -> Path:
    """The repositories as every test finds them; made once, because copying is quicker."""
    forge = LocalForge(tmp_path_factory.mktemp("prepared"))
    forge.create_repository(acme, **start)
    secret = {"files": {**start["files"], "secret.txt": b"of globex"}}
    forge.create_repository(globex, **(start | secret))
    return forge.root


@pytest.fixture
def forge(tmp_path: Path, prepared: Path) -> LocalForge:
    return LocalForge(shutil.copytree(prepared, tmp_path / "forge"))


@pytest.fixture
def base(forge: LocalForge, acme: Repository) -> str:
    return forge.head(acme, "main")


@pytest.fixture
def publish(
    forge: LocalForge, acme: Repository, base: str, by_agent: dict[str, Any]
) -> Callable[..., str]:
    def publish(changes: Mapping[str, bytes | None], branch: str = "t-1", **other: Any) -> str:
        facts = {"base_sha": base, **by_agent, **other}
        return forge.publish(acme, branch=branch, changes=changes, **facts)

    return publish


@pytest.fixture
def git(forge: LocalForge, acme: Repository) -> Callable[..., str]:
    """Plain git in the repository of acme, as a person at a shell would run it."""

    def git(*arguments: str, cwd: Path | None = None, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=Bo", "-c", "user.email=bo@acme.example", *arguments],
            cwd=cwd or forge.clone_url(acme),
            input=stdin,
            env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            check=False,
        )
        return done.stdout.decode(errors="replace").strip()

    return git


@pytest.fixture
def everything(forge: LocalForge) -> Callable[[], dict[str, bytes]]:
    """Every file below the forge's root, to see that a refusal left nothing behind."""

    def everything() -> dict[str, bytes]:
        files = (path for path in forge.root.rglob("*") if path.is_file())
        return {str(path.relative_to(forge.root)): path.read_bytes() for path in files}

    return everything
