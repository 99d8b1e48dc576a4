"""The recommendation form: what was typed, what it means, what is wrong with it."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.http import QueryDict

from agent.recommender import BadConstraints, Catalogue, Constraints
from agent.recommender.brief import Reading

# A form as typed: field -> text, or a list of texts for ticked boxes, or (ranks) a mapping.
Typed = dict[str, Any]

TEXTS = (
    "title",
    "building",
    "requests_per_second",
    "data_gb",
    "latency_budget_ms",
    "skills",
    "already_run",
    "leaving",
    "run_by",
    "hosting",
    "regions",
    "licence_policy",
    "monthly_budget_usd",
    "must_haves",
    "must_nots",
    "horizon_months",
)
TICKED = ("compliance", "layers")
# Not part of the constraints: where the answer goes, which example the form started from, a brief
# that constraints are read from.
AROUND = ("repository", "example", "brief")

LISTED = ("skills", "already_run", "leaving", "regions", "must_haves", "must_nots")

LABELS = {
    "title": "Title",
    "building": "What is being built",
    "requests_per_second": "Requests per second",
    "data_gb": "Data size",
    "latency_budget_ms": "Latency budget",
    "skills": "Team skills",
    "already_run": "What runs already",
    "leaving": "To be replaced",
    "run_by": "Who runs it",
    "hosting": "Hosting",
    "regions": "Regions",
    "licence_policy": "Licence policy",
    "monthly_budget_usd": "Monthly budget",
    "compliance": "Compliance targets",
    "must_haves": "Must-haves",
    "must_nots": "Must-nots",
    "priorities": "Priorities",
    "layers": "Layers in scope",
    "horizon_months": "Horizon",
    "repository": "Repository",
}
UNITS = {
    "requests_per_second": "requests/s",
    "data_gb": "GB",
    "latency_budget_ms": "ms at the 95th percentile",
    "monthly_budget_usd": "US dollars a month",
    "horizon_months": "months",
}
WORDS = {
    "any": "Any",
    "managed": "Managed services",
    "self_hosted": "Self-hosted",
    "air_gapped": "Air-gapped (no internet)",
    "permissive_only": "Permissive only (MIT, Apache-2.0 …)",
    "copyleft_ok": "Open source, copyleft too",
    "osi_only": "OSI-approved only",
    "nobody": "Nobody has time for it",
    "small_team": "A small team, beside other work",
    "dedicated_team": "A team of its own",
    "ssdf": "NIST SSDF",
    "asvs_l2": "OWASP ASVS L2+",
    "slsa_l3": "SLSA L3",
}


def typed_in(sent: QueryDict) -> Typed:
    """The form as a browser sent it, nothing changed, nothing left out."""
    typed: Typed = {name: sent.get(name, "") for name in (*TEXTS, *AROUND)}
    typed |= {name: sent.getlist(name) for name in TICKED}
    typed["ranks"] = {
        name.removeprefix("rank_"): str(sent[name])
        for name in sent
        if name.startswith("rank_") and sent[name]
    }
    return typed


def typed_as(example: Mapping[str, Any]) -> Typed:
    """The form as somebody would fill it in to ask for `example` (fields of Constraints)."""
    typed: Typed = {name: _text(example.get(name)) for name in (*TEXTS, *AROUND)}
    typed |= {name: list(example.get(name, ())) for name in TICKED}
    typed["ranks"] = _ranks(example.get("priorities", ()))
    return typed


def with_readings(typed: Typed, chosen: list[str]) -> Typed:
    """The form with the readings that somebody ticked ("field|value") added to what it says.

    Lists grow, a priority is ranked last, anything else is replaced. What is not a field of the
    form is left out.
    """
    filled = {**typed, "ranks": dict(typed["ranks"])}
    for row in chosen:
        name, _, value = row.partition("|")
        if name == "priorities":
            filled["ranks"].setdefault(value, str(len(filled["ranks"]) + 1))
        elif name in TICKED:
            filled[name] = list(dict.fromkeys([*filled[name], value]))
        elif name in LISTED:
            said = [item.strip() for item in filled[name].split(",") if item.strip()]
            filled[name] = ", ".join(dict.fromkeys([*said, value]))
        elif name in TEXTS:
            filled[name] = value
    if typed["brief"] and not filled["building"].strip():
        filled["building"] = typed["brief"].strip()[:4000]
    return filled


def reading_rows(readings: Iterable[Reading], catalogue: Catalogue) -> list[dict[str, str]]:
    """Readings for a page: what the box sends, what it would set, which words it rests on."""
    return [
        {
            "sends": f"{row.field}|{row.value}",
            "label": LABELS[row.field],
            "value": _said(row, catalogue),
            "words": row.words,
            "sentence": row.sentence,
        }
        for row in readings
    ]


def _said(row: Reading, catalogue: Catalogue) -> str:
    if row.field == "priorities":
        return _criterion(catalogue, row.value)
    if row.field in UNITS:
        return f"{row.value} {UNITS[row.field]}"
    known = catalogue.technologies.get(row.value)
    return known.name if known else WORDS.get(row.value, row.value)


def read(typed: Typed, catalogue: Catalogue) -> Constraints:
    """What the form asks for. Raises BadConstraints with a message per field."""
    errors, fields = {}, _fields(typed)
    try:
        fields["priorities"] = _priorities(typed)
    except ValueError as problem:
        errors["priorities"] = str(problem)
    try:
        constraints = Constraints.parse(fields, catalogue=catalogue)
    except BadConstraints as bad:
        errors = bad.errors | errors
    if errors:
        raise BadConstraints(errors)
    return constraints


def readable(typed: Typed, catalogue: Catalogue) -> tuple[Constraints, dict[str, str]]:
    """As much of a half-filled form as makes sense already, with what is wrong with the rest."""
    try:
        return read(typed, catalogue), {}
    except BadConstraints as bad:
        fields = _fields(typed)
        if "priorities" not in bad.errors:
            fields["priorities"] = _priorities(typed)
        sound = {name: said for name, said in fields.items() if name not in bad.errors}
        sound.setdefault("title", "Untitled")
        return Constraints.parse(sound, catalogue=catalogue), bad.errors


def moved(typed: Typed, criterion: str, by: int) -> Typed:
    """The form with one priority a place further up (-1) or down (+1).

    Moving up what has no rank yet ranks it last; moving the last one down takes its rank away.
    """
    try:
        order = _priorities(typed)
    except ValueError:
        return typed
    if criterion not in order:
        order = [*order, criterion] if by < 0 else order
    elif by > 0 and order[-1] == criterion:
        order.pop()
    else:
        place = order.index(criterion)
        order.insert(max(place + by, 0), order.pop(place))
    return {**typed, "ranks": _ranks(order)}


def priority_rows(typed: Typed, catalogue: Catalogue) -> list[dict[str, str]]:
    """The criteria in the order of their ranks, those without one last."""
    rows = [
        {
            "id": criterion.id,
            "title": criterion.title,
            "question": criterion.question,
            "rank": typed["ranks"].get(criterion.id, ""),
        }
        for criterion in catalogue.criteria.values()
    ]
    return sorted(rows, key=lambda row: int(row["rank"]) if row["rank"].isdecimal() else 1_000)


def as_read(constraints: Constraints, catalogue: Catalogue) -> list[tuple[str, str]]:
    """What was asked for in words: (label, value with its unit), only what was given."""
    said = []
    for name, value in constraints.to_json().items():
        if name in ("title", "building", "layers") or value in (None, "", []):
            continue
        if name == "priorities":
            shown = ", ".join(
                f"{place}. {_criterion(catalogue, criterion)}"
                for place, criterion in enumerate(value, start=1)
            )
        elif isinstance(value, list):
            shown = ", ".join(WORDS.get(str(item), str(item)) for item in value)
        elif name in UNITS:
            shown = f"{value:,g} {UNITS[name]}"
        else:
            shown = WORDS.get(value, str(value))
        said.append((LABELS[name], shown))
    return said


def _criterion(catalogue: Catalogue, criterion: str) -> str:
    known = catalogue.criteria.get(criterion)
    return known.title if known else criterion


def _fields(typed: Typed) -> dict[str, Any]:
    return {name: typed[name] for name in (*TEXTS, *TICKED)}


def _priorities(typed: Typed) -> list[str]:
    ranks: dict[str, str] = typed["ranks"]
    for rank in ranks.values():
        if not rank.strip().isdecimal():
            raise ValueError(
                f"“{rank}” is not a rank; expected 1 for what matters most, then 2, 3."
            )
    return sorted(ranks, key=lambda criterion: int(ranks[criterion]))


def _ranks(order: Any) -> dict[str, str]:
    return {criterion: str(place) for place, criterion in enumerate(order, start=1)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return str(value)
