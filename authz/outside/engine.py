"""What every server for relations has to be able to do, and how it is reached."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import urllib3

from authz.graph import Edge, Ref

PATIENCE = urllib3.Timeout(connect=2, read=10)  # seconds


class EngineFault(Exception):
    """The server did not answer, or not with what its description promises."""


class Question(NamedTuple):
    """Whether the subject holds a permission (or stands in a relation) on an object."""

    subject: Ref
    held: str
    on: Ref


@dataclass(frozen=True)
class Place:
    """Where a server keeps a tenant's tuples. store: what the server calls it, if it has such."""

    tenant_id: UUID
    store: str = ""


class Engine(Protocol):
    """One server. Every method raises EngineFault when the server cannot do it."""

    def prepare(self, tenant_id: UUID) -> Place:
        """Tell the server the model, and make room for a tenant without any tuple."""

    def write(self, place: Place, put: Sequence[Edge], drop: Sequence[Edge]) -> str:
        """Take tuples in and out; doing it twice is doing it once. Returns the server's token for
        the state after it, empty if it has none."""

    def check_many(self, place: Place, questions: Sequence[Question], token: str) -> list[bool]:
        """Answers in the order of the questions, no older than the state that the token names."""

    def objects_with(
        self, place: Place, subject: Ref, held: str, type: str, token: str, most: int
    ) -> set[UUID] | None:
        """Every object of a type that the subject holds it on, no older than the state that the
        token names; None when there are more than `most`, or nobody can say that these are all."""

    def clear(self, place: Place) -> None:
        """Forget every tuple of the tenant."""


class Api:
    """JSON over HTTP to one server, with its secret in the header."""

    def __init__(self, address: str, secret: str) -> None:
        self._address = address.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON object. Raises EngineFault for any other answer."""
        return _object(path, self._send("POST", path, body) or b"{}")

    def post_for_many(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The JSON objects of an answer that has one in each line. Raises EngineFault."""
        return [_object(path, line) for line in self._send("POST", path, body).splitlines() if line]

    def delete(self, path: str) -> None:
        """Remove what is at the path. Raises EngineFault."""
        self._send("DELETE", path, None)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        try:
            answer = _POOL.request(
                method,
                self._address + path,
                body=None if body is None else json.dumps(body),
                headers=self._headers,
                timeout=PATIENCE,
                redirect=False,
                # Another try is for the caller, who knows what has happened meanwhile.
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise EngineFault(f"{path}: {type(error).__name__}: {error}") from error
        if not 200 <= answer.status < 300:
            raise EngineFault(f"{path}: {answer.status}: {answer.data[:300]!r}")
        return answer.data


_POOL = urllib3.PoolManager(maxsize=8)


def _object(path: str, text: bytes) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError as error:
        raise EngineFault(f"{path}: the answer is no JSON") from error
    if not isinstance(said, dict):
        raise EngineFault(f"{path}: the answer is no object")
    return said


def portions[T](many: Sequence[T], most: int) -> Iterable[Sequence[T]]:
    """`many` in parts of at most so many."""
    return (many[start : start + most] for start in range(0, len(many), most))
