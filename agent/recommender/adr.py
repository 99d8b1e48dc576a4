"""One decision record per layer, in the shape of MADR 4."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.recommender.catalogue import Catalogue
from agent.recommender.constraints import Constraints
from agent.recommender.figures import risk_sentence
from agent.recommender.markdown import bullets, document, escaped, fact_ids, table

GOOD, BAD = 0.65, 0.4
DRIVERS = 4


def adr_path(layer_id: str, today: dt.date) -> str:
    """Where the record of a layer is kept in the customer's repository."""
    return f"docs/adr/{today:%Y%m%d}-{layer_id}.md"


def earlier_records(paths: Iterable[str], layer_id: str, today: dt.date) -> list[str]:
    """Records of the layer that earlier recommendations left in the repository, oldest first.

    paths: of all files of the repository. Records that people wrote under names of their own are
    not among them; what they say otherwise is shown as a contradiction.
    """
    named = re.compile(rf"docs/adr/\d{{8}}-{re.escape(layer_id)}\.md")
    return sorted(
        path for path in paths if named.fullmatch(path) and path != adr_path(layer_id, today)
    )


def marked_superseded(record: bytes, by: str) -> bytes | None:
    """An earlier record with its status and a link to the record at `by`, which takes its place.

    None when it is superseded already, or has no front matter that states a status.
    """
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return None
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if front is None or not re.search(r"^status: (?!superseded)\w+$", front[1], re.MULTILINE):
        return None
    name = by.rsplit("/", 1)[-1]
    said = re.sub(
        r"^status: \w+$", f"status: superseded\nsuperseded-by: {name}", front[1], flags=re.MULTILINE
    )
    return f"---\n{said}\n---\n{text[front.end() :]}".encode()


def adr(
    constraints: Constraints,
    catalogue: Catalogue,
    layer: Mapping[str, Any],
    *,
    request_id: str,
    requested_by: str,
    today: dt.date,
    passages: Sequence[Mapping[str, Any]] = (),
    references: Sequence[Mapping[str, Any]] = (),
    against: Sequence[Mapping[str, Any]] = (),
    supersedes: Sequence[str] = (),
) -> bytes:
    """The record of one layer's decision, as Markdown with front matter.

    supersedes: paths of earlier records of the layer, in the same folder.

    passages: what the customer's own documents say about the layer; against: accepted records
    that chose something else. Both as agent.retrieval.citing gives them. references: what public
    sources say of the options shown, as agent.retrieval.references gives them.
    """
    rows = {row["technology"]: row for row in layer["ranked"]}
    shown = [rows[name] for name in [layer["winner"], *layer["alternatives"]] if name]
    return document(
        [
            "---\nstatus: proposed\n"
            f"date: {today.isoformat()}\n"
            f"decision-makers: {_quoted([requested_by])}\n{_in_front(supersedes)}---",
            f"# {_title(layer, rows)}",
            "## Context and Problem Statement",
            f"{layer['decides']} The request “{escaped(constraints.title)}” needs an answer for "
            f"the layer “{layer['title']}”.",
            f"In its own words: {escaped(constraints.building)}" if constraints.building else "",
            "## Decision Drivers",
            bullets(_drivers(catalogue, layer)),
            "## Considered Options",
            bullets(
                [row["name"] for row in shown] or ["None: every option was ruled out, see below"]
            ),
            _ruled_out(catalogue, layer),
            "## Decision Outcome",
            *_outcome(layer, rows),
            _contradicted(against),
            "## Pros and Cons of the Options",
            _figures(shown),
            *(block for row in shown for block in _option(catalogue, row)),
            "## More Information",
            "Every option is ranked in [options](../stack/options.md), the tests to write first "
            "are in the [test plan](../stack/test-plan.md), the way back is in "
            "[rollback](../stack/rollback.md). Sources of the fact ids: "
            "[recommendation.json](../stack/recommendation.json). "
            f"Request {escaped(request_id)}, catalogue {catalogue.digest[:12]}.",
            _in_its_place(supersedes),
            _own_documents(passages),
            _public_references(references),
        ]
    )


def _in_front(supersedes: Sequence[str]) -> str:
    names = [path.rsplit("/", 1)[-1] for path in supersedes]
    return f"supersedes: {_quoted(names)}\n" if names else ""


def _in_its_place(supersedes: Sequence[str]) -> str:
    names = [path.rsplit("/", 1)[-1] for path in supersedes]
    if not names:
        return ""
    return f"It takes the place of {', '.join(f'[{name}]({name})' for name in names)}."


def _contradicted(against: Sequence[Mapping[str, Any]]) -> str:
    """Accepted records that say otherwise; empty when there are none."""
    if not against:
        return ""
    rows = [f"`{_place(row)}`, {escaped(row['title'])}: {row['sentence']}" for row in against]
    return "### Against an accepted record\n\n" + bullets(rows)


def _own_documents(passages: Sequence[Mapping[str, Any]]) -> str:
    """Quotations, which inform the reader and changed no score."""
    if not passages:
        return ""
    rows = [f"`{_place(row)}`: “{escaped(row['excerpt'])}”" for row in passages]
    said = "Passages of your own documents that speak about it (quoted; they changed no score):"
    return said + "\n\n" + bullets(rows)


def _public_references(references: Sequence[Mapping[str, Any]]) -> str:
    """What sources say that anybody can look up, with the facts that were read there."""
    if not references:
        return ""
    rows = [
        f"{escaped(row['source'])}, {escaped(row['locator'])}, {row['as_of']}: "
        f"{escaped(row['text'])} ({fact_ids(row['facts'])})."
        for row in references
    ]
    said = "Public references about the options above (what a program read there, as facts):"
    return said + "\n\n" + bullets(rows)


def _place(row: Mapping[str, Any]) -> str:
    path = "".join(each for each in str(row["path"]) if each.isprintable() and each not in "`|<>")
    return f"{path}:{row['line']}"


def _quoted(names: list[str]) -> str:
    """Names as a YAML list on one line, with nothing that a page could take for markup."""
    return json.dumps(names).replace("<", "\\u003c").replace(">", "\\u003e")


def _title(layer: Mapping[str, Any], rows: Mapping[str, Any]) -> str:
    if layer["winner"] is None:
        return f"Leave “{layer['title']}” open"
    return f"Use {rows[layer['winner']]['name']} for “{layer['title']}”"


def _drivers(catalogue: Catalogue, layer: Mapping[str, Any]) -> list[str]:
    heaviest = sorted(layer["weights"], key=lambda criterion: -layer["weights"][criterion])
    return [
        f"{catalogue.criteria[criterion].title} ({layer['weights'][criterion]:.0%}): "
        f"{catalogue.criteria[criterion].question}"
        for criterion in heaviest[:DRIVERS]
    ]


def _ruled_out(catalogue: Catalogue, layer: Mapping[str, Any]) -> str:
    if not layer["eliminated"]:
        return ""
    names = dict.fromkeys(
        catalogue.technologies[row["technology"]].name for row in layer["eliminated"]
    )
    return (
        f"Ruled out, with constraint and fact in [options](../stack/options.md): "
        f"{', '.join(names)}."
    )


def _outcome(layer: Mapping[str, Any], rows: Mapping[str, Any]) -> list[str]:
    if layer["winner"] is None:
        return [f"No option is left. {layer['short']}", "### Consequences", "Relax a constraint."]
    winner = rows[layer["winner"]]
    to_verify = winner["needs_verification"]
    consequences = [f"Good, because {_because(row)}" for row in layer["why"][:2]]
    consequences += [f"Bad, because {_because(row)}" for row in layer["against"][:2]]
    if to_verify:
        more = f" and {len(to_verify) - 1} more" if len(to_verify) > 1 else ""
        consequences.append(
            f"Neutral, because it has to be verified (`{to_verify[0]['fact']}`{more} in the test "
            f"plan): {to_verify[0]['sentence']}"
        )
    turns = " ".join(row["sentence"] for row in layer["what_would_change_it"])
    chosen = f"Chosen option: “{winner['name']}”. {layer['confidence']['sentence']}"
    return [
        " ".join(part for part in (chosen, layer["short"]) if part),
        f"What would change it: {turns or 'no change of a single weight would.'}",
        "### Consequences",
        bullets(consequences or ["Neutral, because nothing sets the options apart"]),
    ]


def _because(row: Mapping[str, Any]) -> str:
    ids = fact_ids(row["facts"][:3])
    sentence = str(row["sentence"])
    return sentence[0].lower() + sentence[1:] + (f" ({ids})" if ids else "")


def _option(catalogue: Catalogue, row: Mapping[str, Any]) -> list[str]:
    worth = row["criteria"]
    good = [key for key in worth if worth[key]["value"] >= GOOD and worth[key]["missing"] < 1]
    bad = [key for key in worth if worth[key]["value"] <= BAD and worth[key]["missing"] < 1]
    unknown = [key for key in worth if worth[key]["missing"] >= 1]

    def listed(criteria: list[str]) -> str:
        return ", ".join(
            f"{catalogue.criteria[key].title.lower()} {worth[key]['value'] * 100:.0f}"
            for key in criteria
        )

    names = ", ".join(catalogue.criteria[key].title.lower() for key in unknown)
    lines = [
        f"Good, because {listed(good)} of 100" if good else "",
        f"Bad, because {listed(bad)} of 100" if bad else "",
        f"Neutral, because unknown: {names}" if unknown else "",
    ]
    if row["dominated_by"]:
        better = catalogue.technologies[row["dominated_by"]].name
        lines.append(f"Bad, because {better} is at least as good on every criterion")
    return [
        f"### {row['name']} ({row['total'] * 100:.1f} of 100)",
        bullets([line for line in lines if line] or ["Neutral, because nothing stands out"]),
    ]


def _figures(shown: list[Mapping[str, Any]]) -> str:
    """One row per option and kind of figure, each with its facts."""
    if not shown:
        return ""
    return table(
        ("Option", "Latency", "Cost", "Risk", "Facts"),
        (
            (
                row["name"],
                *(figure["text"] for figure in row["figures"][:2]),
                risk_sentence(row["figures"]),
                fact_ids(fact for figure in row["figures"] for fact in figure["facts"]),
            )
            for row in shown
        ),
    )
