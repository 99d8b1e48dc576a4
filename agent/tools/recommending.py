"""The steps of a recommendation, as tools."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent import recommender
from agent.outputs import CHECKS, FILE, TEXT
from agent.recommender import linters
from agent.recommender.adr import adr_path, earlier_records, marked_superseded
from agent.recommender.impact import impact, impact_note, is_worth_weighing
from agent.recommender.pull_request import pull_request_text
from agent.recommender.rendering import STACK, render
from agent.retrieval.citing import contradictions, passages_for
from agent.retrieval.references import references_for
from agent.tools.contract import Bench, Observation, Tool, as_json, takes
from authz.permissions import Permission

Arguments = Mapping[str, Any]
IMPACT = f"{STACK}/impact.md"
WEIGHED = 2000  # files of the repository that are read for the impact


def retrieve_evidence(bench: Bench, arguments: Arguments) -> Observation:
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
    return Observation(said, {"evidence.json": as_json(found)})


def eliminate_options(bench: Bench, arguments: Arguments) -> Observation:
    """Drops what a hard constraint rules out."""
    result = recommender.eliminate(
        bench.constraints, bench.catalogue, bench.read_json("evidence.json"), bench.asked_at.date()
    )
    layers = result["layers"].values()
    dropped = sum(len(layer["eliminated"]) for layer in layers)
    unsure = sum(len(layer["needs_verification"]) for layer in layers)
    said = f"{dropped} options ruled out, {unsure} points that need verification"
    return Observation(said, {"eliminated.json": as_json(result)})


def score_options(bench: Bench, arguments: Arguments) -> Observation:
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
    scored["references"] = references_for(bench.constraints, bench.catalogue, scored)
    scored["contradictions"] = contradictions(scored, bench.catalogue, bench.records)
    said = f"{len(winners)} layers decided: {', '.join(winners)}"
    if scored["contradictions"]:
        said += f"; {len(scored['contradictions'])} against an accepted record"
    return Observation(said, {"scored.json": as_json(scored)})


def render_documents(bench: Bench, arguments: Arguments) -> Observation:
    """Writes the files of the pull request."""
    scored = bench.read_json("scored.json")
    paths = bench.forge.list_files(bench.repository, bench.base_sha)
    closed = _superseded(bench, paths, scored)
    files = _rendered(bench, scored, closed)
    # An earlier record that would not pass today's checks is left as it is, and not linked.
    failing = {
        check.path
        for check in (linters.check_files({**files, **closed}, bench.catalogue) if closed else ())
        if not check.ok
    }
    if failing & set(closed):
        closed = {path: record for path, record in closed.items() if path not in failing}
        files = _rendered(bench, scored, closed)
    files |= closed
    rows = impact(_weighed(bench, paths), scored, bench.catalogue)
    files[IMPACT] = impact_note(rows, bench.repository.name, bench.catalogue)
    size = sum(map(len, files.values()))
    said = f"{len(files)} files written, {size:,} bytes"
    title, body = pull_request_text(
        bench.constraints,
        bench.catalogue,
        scored,
        task_id=str(bench.task_id),
        requested_by=bench.requester.name,
        paths=list(files),
    )
    outputs = {FILE + path: content for path, content in files.items()}
    return Observation(said, {**outputs, TEXT: as_json({"title": title, "body": body})})


def _rendered(
    bench: Bench, scored: dict[str, Any], closed: Mapping[str, bytes]
) -> dict[str, bytes]:
    today = bench.asked_at.date()
    return render(
        bench.constraints,
        bench.catalogue,
        scored,
        request_id=str(bench.task_id),
        requested_by=bench.requester.name,
        today=today,
        supersedes={
            layer["layer"]: earlier_records(closed, layer["layer"], today)
            for layer in scored["layers"]
        },
    )


def _superseded(bench: Bench, paths: Sequence[str], scored: Mapping[str, Any]) -> dict[str, bytes]:
    """Earlier records of the layers that are decided anew, each with its link to the new one."""
    today = bench.asked_at.date()
    by = {
        path: adr_path(layer["layer"], today)
        for layer in scored["layers"]
        for path in earlier_records(paths, layer["layer"], today)
    }
    records = bench.forge.read_files(bench.repository, bench.base_sha, list(by)) if by else {}
    return {
        path: marked
        for path, record in records.items()
        if (marked := marked_superseded(record, by[path])) is not None
    }


def _weighed(bench: Bench, paths: Sequence[str]) -> dict[str, bytes]:
    """The files of the repository that a change of the stack may touch."""
    wanted = [path for path in paths if is_worth_weighing(path)]
    return bench.forge.read_files(bench.repository, bench.base_sha, wanted[:WEIGHED])


def check_files(bench: Bench, arguments: Arguments) -> Observation:
    """Runs every file through its own linter; one that fails stops the pull request."""
    return checked_files(bench, bench.files(), "rendered")


def checked_files(
    bench: Bench, files: Mapping[str, bytes], where: str, also: Mapping[str, bool] | None = None
) -> Observation:
    """What the linters say of `files`, together with what else was looked at."""
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
    return Observation(said, {CHECKS: as_json(checks)}, ok=not failing)


def _step(run: Any, says: str) -> Tool:
    return Tool(run, Permission.TASK_RUN, says, takes(), {"type": "object"})


TOOLS: dict[str, Tool] = {
    "retrieve_evidence": _step(retrieve_evidence, "Collect what is known about every candidate."),
    "eliminate_options": _step(eliminate_options, "Drop what a hard constraint rules out."),
    "score_options": _step(score_options, "Rank what is left by the priorities given."),
    "render_documents": _step(render_documents, "Write the documents of the pull request."),
    "check_files": _step(check_files, "Run every written file through its linter."),
}
