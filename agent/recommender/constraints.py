"""What a person asks the recommender for, checked and immutable."""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.recommender.catalogue import Catalogue

HOSTING = ("any", "managed", "self_hosted", "air_gapped")
LICENCE_POLICIES = ("any", "permissive_only", "copyleft_ok", "osi_only")
RUN_BY = ("any", "nobody", "small_team", "dedicated_team")
COMPLIANCE_TARGETS = ("ssdf", "asvs_l2", "slsa_l3")
MAXIMUM_ITEMS = 80  # all layers of the catalogue can be asked for at once
MAXIMUM_ITEM_LENGTH = 80


class BadConstraints(ValueError):
    """The request cannot be worked on. `errors` maps each field to what to do about it."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))


@dataclass(frozen=True, slots=True)
class Constraints:
    """One recommendation request.

    skills: languages and tools the team knows. already_run: technologies or platforms the
    organisation runs. leaving: those of them that it is not content with. run_by: who will keep
    it running. latency_budget_ms: 95th percentile. must_haves: capability ids or technologies.
    priorities: criteria ids, most important first. layers: ids in scope, empty for all. Numbers
    that were not given are None.
    """

    title: str
    building: str = ""
    skills: tuple[str, ...] = ()
    already_run: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    run_by: str = "any"
    requests_per_second: float | None = None
    data_gb: float | None = None
    latency_budget_ms: float | None = None
    hosting: str = "any"
    regions: tuple[str, ...] = ()
    licence_policy: str = "any"
    monthly_budget_usd: float | None = None
    compliance: tuple[str, ...] = ()
    must_haves: tuple[str, ...] = ()
    must_nots: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    horizon_months: int = 36

    @classmethod
    def parse(
        cls, mapping: Mapping[str, Any], *, catalogue: Catalogue | None = None
    ) -> Constraints:
        """Read a request as a form or the API sends it.

        Lists may also be text separated by commas or lines, numbers may be text; blanks count
        as not given. With `catalogue`, the names of layers, criteria, must-haves and must-nots
        are checked against it as well. Raises BadConstraints naming every bad field at once.
        """
        errors: dict[str, str] = {}
        known = {field.name for field in fields(cls)}
        for name in sorted(set(mapping) - known):
            errors[str(name)] = f"Unknown field; expected one of {', '.join(sorted(known))}."
        read: dict[str, Any] = {}
        for name, reader in _READERS.items():
            try:
                read[name] = reader(mapping.get(name))
            except ValueError as problem:
                errors[name] = str(problem)
        if catalogue is not None:
            errors |= _unknown_names(read, catalogue)
        if errors:
            raise BadConstraints(errors)
        return cls(**read)

    def to_json(self) -> dict[str, Any]:
        """The request as plain lists, text and numbers; `from_json` reads it back unchanged."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Constraints:
        """Read back what `to_json` wrote. Raises BadConstraints like `parse`."""
        return cls.parse(stored)


def plain(name: str) -> str:
    """`name` in small letters without spaces or marks, so that "Node.js" and "nodejs" meet."""
    kept = re.sub(r"[^a-z0-9+#]", "", name.lower())
    return kept or name.lower()


def _text(limit: int, *, required: bool = False) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value is not None and not isinstance(value, str):
            raise ValueError("Expected text; write it in a sentence.")
        text: str = (value or "").strip()
        if required and not text:
            raise ValueError("Missing; give a short title, such as “Customer portal”.")
        if len(text) > limit:
            raise ValueError(f"Expected at most {limit} characters, got {len(text)}; shorten it.")
        if any(
            unicodedata.category(each) in ("Cc", "Cs") and each not in "\r\n\t" for each in text
        ):
            raise ValueError("Contains a control character; remove it.")
        return text

    return read


def _items(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = re.split(r"[,\n]", value)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise ValueError("Expected a list of names; separate them with commas.")
    found: list[str] = []
    for item in value:
        if not isinstance(item, str):
            raise ValueError("Expected names; remove what is not text.")
        name = " ".join(item.split())
        if len(name) > MAXIMUM_ITEM_LENGTH:
            raise ValueError(
                f"Expected names of at most {MAXIMUM_ITEM_LENGTH} characters; "
                f"shorten “{name[:20]}…”."
            )
        if any(character in name for character in "|<>`[]{}\\") or not name.isprintable():
            raise ValueError(f"“{name}” is not a name; use letters, digits, dots and dashes.")
        if name and name not in found:
            found.append(name)
    if len(found) > MAXIMUM_ITEMS:
        raise ValueError(f"Expected at most {MAXIMUM_ITEMS} names; keep the most important ones.")
    return tuple(found)


def _subset(allowed: tuple[str, ...]) -> Callable[[Any], tuple[str, ...]]:
    def read(value: Any) -> tuple[str, ...]:
        chosen = _items(value)
        for item in chosen:
            if item not in allowed:
                raise ValueError(f"“{item}” is not offered; choose from {', '.join(allowed)}.")
        return chosen

    return read


def _choice(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value is None or value == "":
            return allowed[0]
        if value not in allowed:
            raise ValueError(f"“{value}” is not offered; choose one of {', '.join(allowed)}.")
        return str(value)

    return read


def _number(highest: float, unit: str) -> Callable[[Any], float | None]:
    def read(value: Any) -> float | None:
        if value is None or value == "":
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        # nan fails every comparison, so it ends here too.
        if not 0 < number <= highest:
            raise ValueError(
                f"Expected a number above 0 and up to {highest:,.0f} {unit}; or leave it empty."
            )
        return number

    return read


def _months(value: Any) -> int:
    if value is None or value == "":
        return 36
    try:
        months = 0 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        months = 0
    if not 1 <= months <= 120:
        raise ValueError("Expected a whole number of months from 1 to 120; or leave it empty.")
    return months


_READERS: dict[str, Callable[[Any], Any]] = {
    "title": _text(120, required=True),
    "building": _text(4000),
    "skills": _items,
    "already_run": _items,
    "leaving": _items,
    "run_by": _choice(RUN_BY),
    "requests_per_second": _number(10_000_000, "requests per second"),
    "data_gb": _number(10_000_000, "GB"),
    "latency_budget_ms": _number(600_000, "ms"),
    "hosting": _choice(HOSTING),
    "regions": _items,
    "licence_policy": _choice(LICENCE_POLICIES),
    "monthly_budget_usd": _number(100_000_000, "US dollars a month"),
    "compliance": _subset(COMPLIANCE_TARGETS),
    "must_haves": _items,
    "must_nots": _items,
    "priorities": _items,
    "layers": _items,
    "horizon_months": _months,
}


def _unknown_names(read: Mapping[str, Any], catalogue: Catalogue) -> dict[str, str]:
    """What in the request names nothing the catalogue knows, with the nearest name that exists."""
    technologies = set(catalogue.technologies)
    allowed = {
        "layers": {layer.id for layer in catalogue.layers},
        "priorities": set(catalogue.criteria),
        "must_haves": technologies | set(catalogue.capabilities),
        "must_nots": technologies,
    }
    errors: dict[str, str] = {}
    for field, names in allowed.items():
        for item in read.get(field, ()):
            if item in names:
                continue
            if field in ("must_haves", "must_nots") and catalogue.find(item) is not None:
                continue
            near = difflib.get_close_matches(item.lower(), sorted(names), n=1, cutoff=0.5)
            hint = f"did you mean “{near[0]}”?" if near else "choose one from the list."
            errors[field] = f"“{item}” is not in the catalogue; {hint}"
            break
    return errors
