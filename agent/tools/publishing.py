"""Puts the work on the code host as a draft, then reads back what really stands there."""

import json
from collections.abc import Mapping
from typing import Any

from agent import changes, proof
from agent.forge import Check
from agent.outputs import CHANGE, CHECKS, DIFF, FILE, PROOF, PULL_REQUEST, SARIF, TESTS, TEXT
from agent.tools.contract import (
    BadArguments,
    Bench,
    Observation,
    Tool,
    as_json,
    gives,
    listed,
    takes,
    text,
    whole,
)
from agent.tools.recommending import checked_files
from authz.permissions import Permission

RECOMMENDATION, BUGFIX = "recommendation", "bugfix"


def open_pr(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Publishes the branch, opens the pull request as a draft. The same call twice opens one."""
    if arguments.get("branch", bench.branch) != bench.branch:
        raise BadArguments(f"branch: this task may write {bench.branch} and nothing else")
    if not bench.has(TEXT) and not {"title", "body"} <= set(arguments):
        raise BadArguments("title: no earlier step wrote one; give title and body")
    written = bench.read_json(TEXT) if bench.has(TEXT) else {}
    title = arguments.get("title", written.get("title"))
    body = arguments.get("body", written.get("body"))
    if reviewers := arguments.get("reviewers"):
        body += "\nReviewers asked for: " + ", ".join(reviewers) + "\n"
    forge, repository = bench.forge, bench.repository
    files = proposed_files(bench)
    head_sha = forge.publish(
        repository,
        branch=bench.branch,
        base_sha=bench.base_sha,
        changes=files,
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
    return Observation(
        said,
        {
            **{FILE + path: content for path, content in files.items()},
            DIFF: diff,
            PULL_REQUEST: as_json(record),
        },
        result={"pr_number": opened.number, "links": [record["url"]], "head_sha": head_sha},
    )


def proposed_files(bench: Bench) -> dict[str, bytes]:
    """What the pull request is to hold: path -> content."""
    return bench.files() if bench.kind == RECOMMENDATION else bench.changed()


def verify_pull_request(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Reads the pull request back from the forge, checks what really stands there.

    Each file is compared with what was made; the diff must be the one that is kept as evidence;
    documents are linted again, and a repair's proof is judged again. The result is written on the
    pull request, which stops being a draft only when everything holds, and is closed when
    something does not; an upgrade whose tests fail stays a draft.
    """
    opened = bench.read_json(PULL_REQUEST)
    number, head_sha = opened["number"], opened["head_sha"]
    expected = proposed_files(bench)
    standing = bench.forge.read_files(bench.repository, head_sha, sorted(expected))
    current = bench.forge.pull_request(bench.repository, number)
    diff = bench.forge.diff(bench.repository, opened["base_sha"], head_sha)
    also = {
        "the branch holds exactly the files that were rendered": standing == expected,
        "the pull request points at the commit that was published": current.head_sha == head_sha,
        "the diff is the one kept as evidence": diff == bench.read(DIFF),
    }
    if bench.kind == RECOMMENDATION:
        observed = checked_files(bench, standing, "on the pull request", also)
    elif bench.kind == BUGFIX:
        observed = _judged_again(bench, also)
    else:
        observed = _change_judged_again(bench, also)
    checks = [
        Check(name=f"{check['name']}: {check['path']}", ok=check["ok"], detail=check["detail"])
        for check in json.loads(observed.outputs[CHECKS])
    ]
    bench.forge.set_checks(bench.repository, number, head_sha=head_sha, checks=checks)
    if observed.ok and all(check.ok for check in checks):
        bench.forge.mark_ready(bench.repository, number)
    elif not observed.ok:
        bench.forge.close_pull_request(bench.repository, number, reason=observed.said)
    return observed


def _change_judged_again(bench: Bench, also: Mapping[str, bool]) -> Observation:
    """A failing suite keeps the draft a draft, for a person to go on with; what stands on the
    forge has to be what was made all the same."""
    baseline, suite = (bench.read_json(f"{TESTS}{name}") for name in ("baseline", "suite"))
    checks = [
        {"name": point.name, "path": CHANGE, "ok": point.ok, "detail": point.detail}
        for point in changes.judged(baseline, suite, bench.read_json(CHANGE))
    ]
    draft = [check["detail"] for check in checks if not check["ok"]]
    checks += [
        {"name": name, "path": bench.branch, "ok": ok, "detail": "" if ok else "it does not"}
        for name, ok in also.items()
    ]
    broken = [name for name, ok in also.items() if not ok]
    said = (
        "; ".join(f"{name}: it does not" for name in broken)
        or (f"it stays a draft: {draft[0]}" if draft else "")
        or f"{len(checks)} checks passed on the pull request"
    )
    return Observation(said, {CHECKS: as_json(checks)}, ok=not broken)


def _judged_again(bench: Bench, also: Mapping[str, bool]) -> Observation:
    checks = [
        {"name": point.name, "path": PROOF, "ok": point.ok, "detail": point.detail}
        for point in proof.judged(bench.read_json(PROOF))
    ]
    new = [
        result["ruleId"]
        for run in bench.read_json(SARIF)["runs"]
        for result in run["results"]
        if result["baselineState"] == "new" and result["level"] == "error"
    ]
    checks.append(
        {
            "name": "no new weakness of high severity",
            "path": SARIF,
            "ok": not new,
            "detail": ", ".join(new),
        }
    )
    checks += [
        {"name": name, "path": bench.branch, "ok": ok, "detail": "" if ok else "it does not"}
        for name, ok in also.items()
    ]
    failing = [check for check in checks if not check["ok"]]
    said = (
        "; ".join(f"{check['name']}: {check['detail']}" for check in failing[:5])
        if failing
        else f"{len(checks)} checks passed on the pull request"
    )
    return Observation(said, {CHECKS: as_json(checks)}, ok=not failing)


OPEN_PR = Tool(
    open_pr,
    Permission.PULL_REQUEST_OPEN,
    says="Publish the task's branch and open its pull request as a draft. Nothing can merge.",
    arguments=takes(
        title=text("One line; what an earlier step wrote, when left out.", maxLength=200),
        body=text("Markdown; what an earlier step wrote, when left out.", maxLength=60_000),
        branch=text("The task's own branch, when given.", maxLength=200),
        reviewers=listed({"type": "string", "maxLength": 100}, "Who should look.", maxItems=10),
    ),
    result=gives(
        pr_number=whole("On the code host."),
        links=listed({"type": "string"}, "Where it can be looked at."),
        head_sha=text("The commit.", pattern="^[0-9a-f]{40}$"),
    ),
)
VERIFY = Tool(
    verify_pull_request,
    Permission.PULL_REQUEST_OPEN,
    says="Read the pull request back, check it again, take it out of draft or close it.",
    arguments=takes(),
    result={"type": "object"},
)
