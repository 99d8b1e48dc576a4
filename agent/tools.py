"""The table of tools: what each does, which permission it needs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from agent import recommender
from agent.forge import Check, Forge, Person, Repository
from agent.outputs import CHECKS, DIFF, FILE, PULL_REQUEST
from agent.recommender import Catalogue, Constraints, linters
from agent.recommender.impact import impact, impact_note, is_worth_weighing
from agent.recommender.pull_request import pull_request_text
from agent.recommender.rendering import STACK, render
from agent.retrieval.citing import Cited, Search, contradictions, passages_for
from authz.permissions import Permission
from evidence.store import Store

IMPACT = f"{STACK}/impact.md"
WEIGHED = 2000  # files of the repository that are read for the impact


@dataclass(frozen=True)
class Bench:
    """Everything a tool may touch while it works for one task.

    earlier: name -> sha256 of what the steps before left in the store.
    """

    tenant_id: UUID
    task_id: UUID
    task_name: str  # as people refer to it, "T-1a2b3c4d"
    asked_at: datetime
    constraints: Constraints
    branch: str
    base_branch: str
    base_sha: str
    repository: Repository
    forge: Forge
    store: Store
    catalogue: Catalogue
    agent: Person
    requester: Person
    earlier: Mapping[str, str] = field(default_factory=dict)
    search: Search = field(
        default=lambda question, names, most: ()
    )  # passages of the project's documents
    records: Sequence[Cited] = ()  # its decision records, one row each

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


@dataclass(frozen=True)
class Observation:
    """What a tool saw. outputs: name -> bytes to keep; ok=False is something to put right."""

    said: str
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    ok: bool = True


@dataclass(frozen=True)
class Tool:
    """One row of the table."""

    run: Callable[[Bench], Observation]
    permission: Permission


def retrieve_evidence(bench: Bench) -> Observation:
    """Collects the candidates of every layer in scope with the facts known about them."""
    found = recommender.retrieve(bench.constraints, bench.catalogue, bench.asked_at.date())
    options = [option for layer in found["layers"].values() for option in layer["options"]]
    facts = {fact for option in options for fact in option["facts"]}
    passages = passages_for(bench.constraints, bench.catalogue, found["layers"], bench.search)
    found["passages"] = passages
    read = {(row["path"], row["line"]) for rows in passages.values() for row in rows}
    said = (
        f"{len(options)} options in {len(found['layers'])} layers, {len(facts)} sourced facts, "
        f"{len(read)} passages of your own documents"
    )
    return Observation(said, {"evidence.json": _json(found)})


def eliminate_options(bench: Bench) -> Observation:
    """Drops what a hard constraint rules out."""
    result = recommender.eliminate(
        bench.constraints, bench.catalogue, bench.read_json("evidence.json"), bench.asked_at.date()
    )
    layers = result["layers"].values()
    dropped = sum(len(layer["eliminated"]) for layer in layers)
    unsure = sum(len(layer["needs_verification"]) for layer in layers)
    said = f"{dropped} options ruled out, {unsure} points that need verification"
    return Observation(said, {"eliminated.json": _json(result)})


def score_options(bench: Bench) -> Observation:
    """Ranks what is left."""
    scored = recommender.score(
        bench.constraints,
        bench.catalogue,
        bench.read_json("evidence.json"),
        bench.read_json("eliminated.json"),
    )
    winners = [
        bench.catalogue.technologies[layer["winner"]].name
        for layer in scored["layers"]
        if layer["winner"]
    ]
    # Beside the ranking, never in it: what documents say is for people to weigh.
    scored["passages"] = bench.read_json("evidence.json").get("passages", {})
    scored["contradictions"] = contradictions(scored, bench.catalogue, bench.records)
    said = f"{len(winners)} layers decided: {', '.join(winners)}"
    if scored["contradictions"]:
        said += f"; {len(scored['contradictions'])} against an accepted record"
    return Observation(said, {"scored.json": _json(scored)})


def render_documents(bench: Bench) -> Observation:
    """Writes the files of the pull request."""
    files = render(
        bench.constraints,
        bench.catalogue,
        bench.read_json("scored.json"),
        request_id=str(bench.task_id),
        requested_by=bench.requester.name,
        today=bench.asked_at.date(),
    )
    rows = impact(_weighed(bench), bench.read_json("scored.json"), bench.catalogue)
    files[IMPACT] = impact_note(rows, bench.repository.name, bench.catalogue)
    size = sum(map(len, files.values()))
    said = f"{len(files)} files written, {size:,} bytes"
    return Observation(said, {FILE + path: content for path, content in files.items()})


def _weighed(bench: Bench) -> dict[str, bytes]:
    """The files of the repository that a change of the stack may touch."""
    paths = bench.forge.list_files(bench.repository, bench.base_sha)
    wanted = [path for path in paths if is_worth_weighing(path)]
    return bench.forge.read_files(bench.repository, bench.base_sha, wanted[:WEIGHED])


def check_files(bench: Bench) -> Observation:
    """Runs every file through its own linter; one that fails stops the pull request."""
    return _checked(bench, bench.files(), "rendered")


def open_pr(bench: Bench) -> Observation:
    """Publishes the branch, opens the pull request as a draft."""
    forge, repository = bench.forge, bench.repository
    title, body = pull_request_text(
        bench.constraints,
        bench.catalogue,
        bench.read_json("scored.json"),
        task_id=str(bench.task_id),
        requested_by=bench.requester.name,
        paths=list(bench.files()),
    )
    head_sha = forge.publish(
        repository,
        branch=bench.branch,
        base_sha=bench.base_sha,
        changes=bench.files(),
        message=title,
        author=bench.agent,
        co_author=bench.requester,
        when=bench.asked_at,
    )
    opened = forge.open_pull_request(
        repository,
        branch=bench.branch,
        base=bench.base_branch,
        title=title,
        body=body,
        draft=True,
        key=str(bench.task_id),
    )
    diff = forge.diff(repository, opened.base_sha, head_sha)
    record = {
        "number": opened.number,
        "title": opened.title,
        "body": opened.body,
        "branch": opened.head_branch,
        "base_branch": opened.base_branch,
        "base_sha": opened.base_sha,
        "head_sha": head_sha,
        "url": opened.url or forge.clone_url(repository),
    }
    said = f"pull request #{opened.number} on branch {bench.branch}, commit {head_sha[:12]}"
    return Observation(said, {DIFF: diff, PULL_REQUEST: _json(record)})


def verify_pull_request(bench: Bench) -> Observation:
    """Reads the pull request back from the forge, checks what really stands there.

    Each file is linted again and compared with what was rendered; the diff must be the one that
    is kept as evidence. The result is written on the pull request, which stops being a draft only
    when everything holds, and is closed when something does not.
    """
    opened = bench.read_json(PULL_REQUEST)
    number, head_sha = opened["number"], opened["head_sha"]
    expected = bench.files()
    standing = bench.forge.read_files(bench.repository, head_sha, sorted(expected))
    current = bench.forge.pull_request(bench.repository, number)
    diff = bench.forge.diff(bench.repository, opened["base_sha"], head_sha)
    observed = _checked(
        bench,
        standing,
        "on the pull request",
        {
            "the branch holds exactly the files that were rendered": standing == expected,
            "the pull request points at the commit that was published": (
                current.head_sha == head_sha
            ),
            "the diff is the one kept as evidence": diff == bench.read(DIFF),
        },
    )
    checks = [
        Check(name=f"{check['name']}: {check['path']}", ok=check["ok"], detail=check["detail"])
        for check in json.loads(observed.outputs[CHECKS])
    ]
    bench.forge.set_checks(bench.repository, number, head_sha=head_sha, checks=checks)
    if observed.ok:
        bench.forge.mark_ready(bench.repository, number)
    else:
        bench.forge.close_pull_request(bench.repository, number, reason=observed.said)
    return observed


TOOLS: dict[str, Tool] = {
    "retrieve_evidence": Tool(retrieve_evidence, Permission.TASK_RUN),
    "eliminate_options": Tool(eliminate_options, Permission.TASK_RUN),
    "score_options": Tool(score_options, Permission.TASK_RUN),
    "render_documents": Tool(render_documents, Permission.TASK_RUN),
    "check_files": Tool(check_files, Permission.TASK_RUN),
    "open_pr": Tool(open_pr, Permission.PULL_REQUEST_OPEN),
    "verify_pull_request": Tool(verify_pull_request, Permission.PULL_REQUEST_OPEN),
}


def _checked(
    bench: Bench, files: Mapping[str, bytes], where: str, also: Mapping[str, bool] | None = None
) -> Observation:
    checks = [
        {"name": check.name, "path": check.path, "ok": check.ok, "detail": check.detail}
        for check in linters.check_files(files, bench.catalogue)
    ]
    checks += [
        {"name": name, "path": bench.branch, "ok": ok, "detail": "" if ok else "it does not"}
        for name, ok in (also or {}).items()
    ]
    failing = [check for check in checks if not check["ok"]]
    if failing:
        said = "; ".join(f"{c['path']}: {c['name']}: {c['detail']}" for c in failing[:5])
    else:
        said = f"{len(checks)} checks passed on {len(files)} files {where}"
    return Observation(said, {CHECKS: _json(checks)}, ok=not failing)


def _json(value: Any) -> bytes:
    # Order is kept: layers are decided in the catalogue's order, later ones seeing earlier choices.
    return json.dumps(value, ensure_ascii=False).encode()
