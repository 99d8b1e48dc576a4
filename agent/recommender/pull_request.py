"""The title with the body of the pull request that proposes a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.markdown import bullets, escaped, fact_ids, table

TITLE_LIMIT = 69


def pull_request_text(
    constraints: Constraints,
    catalogue: Catalogue,
    scored: Mapping[str, Any],
    *,
    task_id: str,
    requested_by: str,
    paths: list[str],
) -> tuple[str, str]:
    """Title (under 70 characters) and body (why, evidence, risk, tests, references).

    task_id: its first eight characters end the title. paths: files of the pull request.
    """
    return (
        _title(constraints, task_id),
        "\n\n".join(
            block
            for block in [
                "## Why",
                *_why(constraints, catalogue, scored, requested_by),
                "## Evidence",
                *_evidence(catalogue, scored),
                "## Risk and rollback",
                *_risk(scored),
                "## Test plan",
                *_tests(catalogue, scored),
                "## References",
                *_references(catalogue, scored, paths, task_id),
            ]
            if block
        )
        + "\n",
    )


def _title(constraints: Constraints, task_id: str) -> str:
    mark = f" [T-{task_id[:8]}]"
    start = "docs: adopt stack for "
    room = TITLE_LIMIT - len(start) - len(mark)
    name = " ".join(constraints.title.split())
    if len(name) > room:
        name = name[: room - 1].rstrip() + "…"
    return f"{start}{name}{mark}"


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"


def _why(
    constraints: Constraints, catalogue: Catalogue, scored: Mapping[str, Any], requested_by: str
) -> list[str]:
    decided = [layer for layer in scored["layers"] if layer["winner"]]
    lines = [
        f"{escaped(requested_by)} asked for a stack for “{escaped(constraints.title)}”. "
        f"{len(decided)} of {len(scored['layers'])} layers are decided below; each has its own "
        "decision record with status “proposed”.",
    ]
    if constraints.building:
        lines.append(f"> {escaped(constraints.building)}")
    lines.append(
        table(
            ("Layer", "Primary", "Alternatives", "Lead"),
            (
                (
                    layer["title"],
                    _name(catalogue, layer["winner"]),
                    ", ".join(_name(catalogue, name) for name in layer["alternatives"]) or "—",
                    layer["confidence"]["level"],
                )
                for layer in scored["layers"]
            ),
        )
    )
    return lines


def _evidence(catalogue: Catalogue, scored: Mapping[str, Any]) -> list[str]:
    rows = []
    for layer in scored["layers"]:
        if not layer["ranked"]:
            continue
        figures = {figure["label"]: figure for figure in layer["ranked"][0]["figures"]}
        shown = [figures[label] for label in ("Latency", "Cost", "Support")]
        rows.append(
            (
                layer["ranked"][0]["name"],
                *(figure["text"] for figure in shown),
                fact_ids(fact for figure in shown for fact in figure["facts"]),
            )
        )
    detail = table(("Item", "Latency", "Cost", "Support", "Facts"), rows)
    reasons = bullets(
        f"{layer['title']}: {row['sentence']}" for layer in scored["layers"] for row in layer["why"]
    )
    return [
        "Every figure names the fact it rests on; sources and dates are in "
        "`docs/stack/recommendation.json`. “unknown” is never counted as 0.",
        _folded("Figures of the primary choices", detail),
        _folded("What set each choice apart", reasons),
    ]


def _risk(scored: Mapping[str, Any]) -> list[str]:
    close = [
        layer["title"] for layer in scored["layers"] if layer["confidence"]["level"] == "toss-up"
    ]
    open_layers = [layer["title"] for layer in scored["layers"] if layer["winner"] is None]
    to_verify = [
        f"{row['sentence']} (`{row['fact']}`)"
        for layer in scored["layers"]
        if layer["ranked"]
        for row in layer["ranked"][0]["needs_verification"]
    ]
    lines = [
        "Documents only: merging changes no running system, reverting the merge takes everything "
        "back. The way back of each layer is in `docs/stack/rollback.md`.",
    ]
    if close:
        lines.append(f"Close to a draw, so read the alternatives: {', '.join(close)}.")
    if open_layers:
        lines.append(f"No option left, so a person must decide: {', '.join(open_layers)}.")
    if to_verify:
        lines.append(
            _folded(f"{len(to_verify)} points to verify before adopting", bullets(to_verify))
        )
    return lines


def _tests(catalogue: Catalogue, scored: Mapping[str, Any]) -> list[str]:
    tests = [
        f"`{test.file}::{test.name}`"
        for layer in scored["layers"]
        if layer["winner"]
        for test in catalogue.layer(layer["layer"]).tests
    ]
    return [
        f"{len(tests)} red tests to write first, in `docs/stack/test-plan.md`.",
        _folded("Names of the tests", bullets(tests)),
    ]


def _references(
    catalogue: Catalogue, scored: Mapping[str, Any], paths: list[str], task_id: str
) -> list[str]:
    return [
        bullets(
            [
                f"Task {task_id}",
                f"Catalogue {catalogue.digest[:12]}, facts read on {scored['today']}",
                "NIST SSDF 1.1, OWASP ASVS 5.0, SLSA 1.2: `docs/stack/control-mapping.md`",
            ]
        ),
        _folded(f"{len(paths)} files", bullets(f"`{path}`" for path in paths)),
    ]


def _name(catalogue: Catalogue, technology: str | None) -> str:
    return catalogue.technologies[technology].name if technology else "open"
