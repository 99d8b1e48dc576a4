"""What a tool is: a contract (arguments, result, permission) and the function that keeps it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator

from agent.bugs import BugReport
from agent.code_index import Hit
from agent.errors import NothingLeftToTry
from agent.forge import Forge, Person, Repository
from agent.gateway import Answer, Question
from agent.outputs import FETCHED, FILE, PATCHED, WRITTEN_TESTS
from agent.packages import Shelf, Wheel, nowhere
from agent.recommender import Catalogue, Constraints
from agent.registry import Registry, RegistryFault, kept
from agent.retrieval.citing import Cited, Search
from agent.sandbox import Engine, Environment
from authz.permissions import Permission
from evidence.store import Store

SOURCE_FILES = 2_000
SOURCE_BYTES = 20 * 1024 * 1024


class BadArguments(Exception):
    """The call does not keep to the tool's contract; the message says what to do instead.

    Comes back to whoever called as an observation, and stays on record as a refusal.
    """


@dataclass(frozen=True)
class Cost:
    """What a call may take at most. wall_s: seconds; usd: US dollars."""

    wall_s: float = 30
    tokens: int = 0
    usd: float = 0


def never() -> bool:
    """Nobody has cancelled."""
    return False


def plainly(files: Mapping[str, bytes]) -> Environment | None:
    """Everything runs with the plain Python of the product."""
    return None


def unheard(output: bytes) -> None:
    """Nobody listens to what a tool prints while it runs."""


@dataclass(frozen=True)
class Bench:
    """Everything a tool may touch while it works for one task.

    asked: the task's constraints, as its kind reads them. earlier: name -> sha256 of what the
    steps before left in the store. cancelled: whether to stop at once. say: takes what is printed
    while the tool runs. flaky: tests of the repository that count for nothing. ask: puts a question
    to a language model; None when none may be asked.
    """

    tenant_id: UUID
    task_id: UUID
    task_name: str  # as people refer to it, "T-1a2b3c4d"
    kind: str
    asked_at: datetime
    asked: Mapping[str, Any]
    branch: str
    base_branch: str
    base_sha: str
    repository: Repository
    forge: Forge
    store: Store
    catalogue: Catalogue
    agent: Person
    requester: Person
    sandbox: Callable[[], Engine]
    # What the tests of a tree run with; None is the plain Python of the product.
    environment: Callable[[Mapping[str, bytes]], Environment | None] = plainly
    packages: Path = Path()  # folder with wheels and codemods of this installation
    registry: Registry | None = None  # where packages may be fetched from
    fetched: Path = Path()  # folder of what was fetched, by digest
    earlier: Mapping[str, str] = field(default_factory=dict)
    flaky: frozenset[str] = frozenset()
    search: Search = field(
        default=lambda question, names, most: ()
    )  # passages of the project's documents
    # Pieces of the repository's code, best first; None while the commit is not in the index.
    code: Callable[[str, int], Sequence[Hit] | None] = field(default=lambda question, most: None)
    records: Sequence[Cited] = ()  # its decision records, one row each
    cancelled: Callable[[], bool] = never
    say: Callable[[bytes], None] = unheard
    ask: Callable[[Question], Answer] | None = None

    @cached_property
    def constraints(self) -> Constraints:
        """What a recommendation has to keep to."""
        return Constraints.from_json(self.asked)

    @cached_property
    def report(self) -> BugReport:
        """What is wrong, of a bugfix."""
        return BugReport.from_json(self.asked)

    def has(self, name: str) -> bool:
        """Whether an earlier step left something under `name`."""
        return name in self.earlier

    def read(self, name: str) -> bytes:
        """What an earlier step left under `name`. Raises Missing or Damaged."""
        return self.store.get(self.tenant_id, self.earlier[name])

    def read_json(self, name: str) -> dict[str, Any]:
        """read() for what an earlier step left as JSON."""
        found: dict[str, Any] = json.loads(self.read(name))
        return found

    def files(self) -> dict[str, bytes]:
        """The files of the pull request as rendered: path -> content."""
        return {
            name.removeprefix(FILE): self.read(name)
            for name in sorted(self.earlier)
            if name.startswith(FILE)
        }

    @cached_property
    def base_files(self) -> dict[str, bytes]:
        """Every file of the repository at the commit that the task began on."""
        paths = self.forge.list_files(self.repository, self.base_sha)
        if len(paths) > SOURCE_FILES:
            raise NothingLeftToTry(
                f"the repository has {len(paths)} files; up to {SOURCE_FILES} fit in the sandbox"
            )
        files = self.forge.read_files(self.repository, self.base_sha, paths)
        size = sum(map(len, files.values()))
        if size > SOURCE_BYTES:
            raise NothingLeftToTry(
                f"the repository has {size:,} bytes; up to {SOURCE_BYTES:,} fit in the sandbox"
            )
        return files

    def changed(self) -> dict[str, bytes]:
        """What the pull request would change by now: written tests, patched files."""
        texts: dict[str, str] = {}
        for name in (WRITTEN_TESTS, PATCHED):
            if self.has(name):
                texts |= self.read_json(name)
        return {path: text.encode() for path, text in texts.items()}

    def shelf(
        self,
        files: Mapping[str, bytes],
        elsewhere: Callable[[str], Sequence[Wheel]] = nowhere,
    ) -> Shelf:
        """The wheels for a tree: its own, those of the installation, what this task fetched.

        Raises NothingLeftToTry when something that was fetched is gone.
        """
        rows = self.read_json(FETCHED)["fetched"] if self.has(FETCHED) else ()
        try:
            return Shelf.of(files, self.packages, kept(rows, self.fetched), elsewhere)
        except RegistryFault as gone:
            raise NothingLeftToTry(str(gone)) from gone

    def tree(self, which: str) -> dict[str, bytes]:
        """Files to run something on: "base" is the repository with the test that was asked for,
        "patched" has the patches too."""
        files = dict(self.base_files)
        names = (WRITTEN_TESTS, PATCHED) if which == "patched" else (WRITTEN_TESTS,)
        for name in names:
            if self.has(name):
                files |= {path: text.encode() for path, text in self.read_json(name).items()}
        return files


@dataclass(frozen=True)
class Observation:
    """What a tool saw. outputs: name -> bytes to keep; ok=False is something to put right.

    result: as the contract describes it. log: what was printed, already made readable.
    flaky: tests that were seen to pass and fail on the same code. denied: it wanted something that
    it may not have, and did not get it.
    """

    said: str
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    ok: bool = True
    result: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    flaky: tuple[str, ...] = ()
    denied: bool = False


def nothing_of_models(arguments: Mapping[str, Any]) -> Cost:
    """What a tool that asks no model may take at most."""
    return Cost()


def one_time_limit(arguments: Mapping[str, Any]) -> Cost:
    """What a tool that runs once in the sandbox may take at most."""
    return Cost(wall_s=float(arguments.get("timeout", 60)) + 10)


@dataclass(frozen=True)
class Tool:
    """One row of the table.

    arguments, result: JSON Schema 2020-12 of an object. most: the most that a call can take.
    records: arguments that the ledger repeats before the call, and results that it repeats after.
    """

    run: Callable[[Bench, Mapping[str, Any]], Observation]
    permission: Permission
    says: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    most: Callable[[Mapping[str, Any]], Cost] = nothing_of_models
    records: frozenset[str] = frozenset()

    def recorded(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """What the ledger repeats of a call's arguments or result."""
        return {name: said[name] for name in sorted(self.records & said.keys())}

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Raise BadArguments unless a call keeps to the contract."""
        found = sorted(
            Draft202012Validator(self.arguments).iter_errors(dict(arguments)),
            key=lambda error: list(map(str, error.path)),
        )
        if found:
            where = ".".join(map(str, found[0].path)) or "the call"
            raise BadArguments(f"{where}: {found[0].message}"[:500])

    def check_result(self, result: Mapping[str, Any]) -> None:
        """Raise ValueError when the tool itself breaks its contract: a bug of ours."""
        error = next(Draft202012Validator(self.result).iter_errors(dict(result)), None)
        if error is not None:
            raise ValueError(f"a tool broke its own contract: {error.message[:500]}")


def takes(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """JSON Schema of an object with just these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def gives(**properties: Any) -> dict[str, Any]:
    """JSON Schema of an object that has all these properties."""
    return takes(tuple(properties), **properties)


def text(describes: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": describes, **more}


def number(describes: str, **more: Any) -> dict[str, Any]:
    return {"type": "number", "description": describes, **more}


def whole(describes: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "description": describes, **more}


def listed(of: Mapping[str, Any], describes: str, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": dict(of), "description": describes, **more}


def as_json(value: Any) -> bytes:
    # Order is kept: layers are decided in the catalogue's order, later ones seeing earlier choices.
    return json.dumps(value, ensure_ascii=False).encode()
