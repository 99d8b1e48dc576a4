"""Has a language model read a brief, for the person who pasted it to confirm."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent import queue
from agent.errors import ModelUnavailable
from agent.gateway import Answer, Asker, Material, Question, ask, is_offered, plain
from agent.models import BriefReading, ModelCall, Repository
from agent.places import catalogue
from agent.recommender import Catalogue
from agent.recommender.brief import Reading, sentences
from agent.recommender.constraints import (
    COMPLIANCE_TARGETS,
    HOSTING,
    LICENCE_POLICIES,
    MAXIMUM_ITEM_LENGTH,
    RUN_BY,
)
from authz.change import change
from authz.errors import BadRequest
from authz.permissions import Permission
from tenants.actor import Actor
from tenants.models import User

LONGEST_BRIEF = 20_000  # characters
CHOICES: dict[str, tuple[str, ...]] = {
    "hosting": HOSTING[1:],
    "licence_policy": LICENCE_POLICIES[1:],
    "run_by": RUN_BY[1:],
    "compliance": COMPLIANCE_TARGETS,
    "regions": ("eu", "uk", "us"),
}
NUMBERS = (
    "requests_per_second",
    "data_gb",
    "latency_budget_ms",
    "monthly_budget_usd",
    "horizon_months",
)
TECHNOLOGIES = ("skills", "already_run", "leaving", "must_haves", "must_nots")
FIELDS = (*CHOICES, *NUMBERS, *TECHNOLOGIES, "priorities", "layers")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "readings": {
            "type": "array",
            "maxItems": 40,
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string", "enum": list(FIELDS)},
                    "value": {"type": "string", "maxLength": MAXIMUM_ITEM_LENGTH},
                    "words": {"type": "string", "maxLength": 300},
                },
                "required": ["field", "value", "words"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["readings"],
    "additionalProperties": False,
}


def is_possible() -> bool:
    """Whether the pinned tenant lets a model read briefs, and has one."""
    return is_offered(ModelCall.Purpose.BRIEF)


def ask_for_reading(text: str, *, repository: Repository, owner: User, by: Actor) -> None:
    """Have a model read a brief, by a job. What was read before is forgotten.

    Raises Denied; BadRequest when there is nothing to read, or too much.
    """
    if not 1 <= len(text.strip()) <= LONGEST_BRIEF:
        raise BadRequest({"brief": f"must have 1 to {LONGEST_BRIEF:,} characters"})
    with change(by, Permission.MODEL_ASK, on=repository) as facts:
        BriefReading.objects.filter(user=owner).delete()
        reading = BriefReading.objects.create(user=owner, repository=repository, text=text)
        facts.about = reading
        facts["step"] = "reading of a brief asked for"
        transaction.on_commit(partial(queue.read_brief, reading.pk))


def read(reading_id: UUID) -> None:
    """Read what waits to be read. Safe to run twice; no model's answer is an answer too."""
    row: BriefReading | None = (
        BriefReading.objects.select_related("user", "repository")
        .filter(pk=reading_id, state=BriefReading.State.WAITING)
        .first()
    )
    if row is None:
        return
    by = row.user.actor("job")
    asker = Asker(by, row.repository, row.user_id, row.repository.project_id)
    known = catalogue()
    try:
        found, model = by_model(row.text, known, partial(ask, asker=asker))
    except ModelUnavailable as why:
        said: dict[str, Any] = {"state": BriefReading.State.NOT_READ, "reason": str(why)[:500]}
    else:
        said = {
            "state": BriefReading.State.READ,
            "readings": [asdict(one) for one in found],
            "model": model,
        }
    with change(by, Permission.MODEL_ASK, on=row.repository) as facts:
        # Unless another brief was given meanwhile.
        BriefReading.objects.filter(pk=row.pk, state=BriefReading.State.WAITING).update(**said)
        facts.about = row
        facts.update(step="brief read", state=said["state"], readings=len(said.get("readings", [])))


def reading_of(user: User) -> BriefReading | None:
    """The brief of this person that a model was to read last."""
    found: BriefReading | None = BriefReading.objects.filter(user=user).first()
    return found


def is_overdue(reading: BriefReading) -> bool:
    """Whether no worker seems to take it."""
    waited = timezone.now() - reading.asked_at
    return reading.state == BriefReading.State.WAITING and waited.total_seconds() > 180


def by_model(
    text: str, known: Catalogue, asks: Callable[[Question], Answer]
) -> tuple[list[Reading], str]:
    """What a model reads in `text`, and which model. Raises ModelUnavailable.

    Only what stands in the catalogue or in the form's own lists, and only with words that occur in
    the text; the rest of what it says is left out.
    """
    brief = Material("What the team wrote", text, is_prose=True)
    # Words that people do not see in it say nothing.
    text = plain(brief)
    answer = asks(
        Question(
            ModelCall.Purpose.BRIEF,
            "brief",
            (Material("What may be said", _vocabulary(known)), brief),
            SCHEMA,
            most_out=3_000,
            check=lambda came: _wrong(came, text, known),
        )
    )
    return _readings(answer, text, known)[0], f"{answer.provider}, {answer.model}"


def _vocabulary(known: Catalogue) -> str:
    rows = [f"{name}: one of {', '.join(values)}" for name, values in CHOICES.items()]
    rows += [f"{name}: a whole number" for name in NUMBERS]
    rows += [f"{name}: the name of a technology" for name in TECHNOLOGIES]
    rows.append(f"must_haves: or one of {', '.join(known.capabilities)}")
    rows.append(f"priorities: one of {', '.join(known.criteria)}")
    rows.append(f"layers: one of {', '.join(layer.id for layer in known.layers)}")
    return "\n".join(rows)


def _wrong(answer: Answer, text: str, known: Catalogue) -> str:
    found, refused = _readings(answer, text, known)
    return "" if found or not refused else "; ".join(refused)[:600]


def _readings(answer: Answer, text: str, known: Catalogue) -> tuple[list[Reading], list[str]]:
    """Readings that can stand, and why the others cannot."""
    found: dict[tuple[str, str], Reading] = {}
    refused = []
    for row in answer.document["readings"]:
        said = {name: answer.redacted.restored(row[name]) for name in ("field", "value", "words")}
        sentence = _sentence_with(text, said["words"])
        value = _value(said["field"], said["value"], known)
        if not sentence:
            refused.append(f"the words {said['words'][:80]!r} do not stand in the text")
        elif value is None:
            refused.append(f"{said['value'][:80]!r} is no value of {said['field']}")
        else:
            reading = Reading(said["field"], value, said["words"], sentence[:500])
            found.setdefault((reading.field, reading.value), reading)
    return list(found.values()), refused


def _sentence_with(text: str, words: str) -> str:
    """The sentence of the text in which these words stand; empty when none does."""
    wanted = _squeezed(words)
    if len(wanted) < 2:
        return ""
    return next((one for one in sentences(text) if wanted in _squeezed(one)), "")


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().lower()


def _value(field: str, said: str, known: Catalogue) -> str | None:
    """What the form would take for it, or None."""
    plain = said.strip().lower()
    if field in CHOICES:
        return plain if plain in CHOICES[field] else None
    if field in NUMBERS:
        number = plain.replace(",", "")
        return number if number.isdecimal() and 0 < int(number) < 10**9 else None
    lists: Mapping[str, object] = {
        "priorities": known.criteria,
        "layers": {layer.id: layer for layer in known.layers},
        "must_haves": known.capabilities,
    }.get(field, {})
    if plain in lists:
        return plain
    if field in TECHNOLOGIES and (technology := known.find(said)):
        return technology.id
    return None
