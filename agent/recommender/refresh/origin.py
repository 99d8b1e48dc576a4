"""Where a connector reads from: a folder, a file, an address, or a package client."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import yaml

MAXIMUM_BYTES = 64 * 1024 * 1024
TIMEOUT_S = 30
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreachable(Exception):
    """The source did not answer, or its canary did not sing. Nothing was learnt, not even zero."""


class CanaryFailed(Unreachable):
    """The source answered, but a fact that is known for certain does not read as known."""


Fetch = Callable[[str, dict[str, Any] | None], bytes]


@dataclass(frozen=True, slots=True)
class Origin:
    """A place to read from. place: a path or an http(s) address; empty for package clients.

    fetch: how an address is asked, (address, JSON to post or None) -> content. It raises
    Unreachable; FileNotFoundError when the answer is that there is no such thing.
    """

    place: str = ""
    fetch: Fetch | None = None

    @property
    def is_address(self) -> bool:
        return self.place.startswith(("https://", "http://"))

    @property
    def folder(self) -> Path:
        """The folder to read files from. Raises Unreachable when there is none."""
        path = Path(self.place)
        if self.is_address or not path.is_dir():
            raise Unreachable(f"{self.place or 'no folder'} is not a folder")
        return path

    def content(self, below: str = "", send: dict[str, Any] | None = None) -> bytes:
        """What stands at the place, or at `below` under it. send: JSON to post.

        Raises Unreachable; FileNotFoundError when the source answers that there is no such thing.
        """
        if not self.is_address:
            path = Path(self.place) / below if below else Path(self.place)
            if below and not Path(self.place).is_dir():
                raise Unreachable(f"{self.place} is not a folder")
            try:
                return path.read_bytes()
            except FileNotFoundError:
                raise
            except OSError as problem:
                raise Unreachable(f"{path}: {problem.strerror}") from problem
        address = self.place.rstrip("/") + (f"/{below}" if below else "")
        return (self.fetch or _fetched)(address, send)

    def json(self, below: str = "", send: dict[str, Any] | None = None) -> Any:
        """content() read as JSON. Raises Unreachable when it is something else."""
        try:
            return json.loads(self.content(below, send))
        except ValueError as problem:
            raise Unreachable(f"{below or self.place}: the answer is not JSON") from problem

    def yaml(self, below: str = "") -> Any:
        """content() read as YAML. Raises Unreachable when it is something else."""
        return parsed_yaml(self.content(below), below or self.place)


def parsed_yaml(content: bytes, what: str) -> Any:
    """`content` as YAML. Raises Unreachable when it is something else."""
    try:
        return yaml.load(content, Loader=_LOADER)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as problem:
        raise Unreachable(f"{what}: not readable as YAML") from problem


def quoted(name: str) -> str:
    """`name` as one part of an address."""
    return urllib.parse.quote(name, safe="")


def client(arguments: Sequence[str]) -> Any:
    """The JSON that a package client prints. It asks whatever index it is configured for.

    Raises Unreachable when it is not installed, fails, or prints something else.
    """
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=TIMEOUT_S * 2, check=False)
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise Unreachable(f"{arguments[0]}: {' '.join(last) or 'failed'}")
        return json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as problem:
        raise Unreachable(f"{arguments[0]}: {type(problem).__name__}") from problem


def _fetched(address: str, send: dict[str, Any] | None) -> bytes:
    headers = {"User-Agent": "countersign-catalogue", "Accept": "application/json, */*;q=0.5"}
    body = None
    if send is not None:
        body = json.dumps(send).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(address, data=body, headers=headers)  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            content: bytes = answer.read(MAXIMUM_BYTES + 1)
    except urllib.error.HTTPError as problem:
        with problem:
            if problem.code == 404:
                raise FileNotFoundError(address) from problem
            raise Unreachable(f"{address}: status {problem.code}") from problem
    except (OSError, HTTPException) as problem:
        raise Unreachable(f"{address}: {problem}") from problem
    if len(content) > MAXIMUM_BYTES:
        raise Unreachable(f"{address}: more than {MAXIMUM_BYTES} bytes")
    return content
