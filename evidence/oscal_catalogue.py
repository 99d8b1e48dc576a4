"""Reads ids, titles and levels of controls from a catalogue that others publish as OSCAL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

MOST = 5_000  # controls in one catalogue
LONGEST = 300  # characters of a title that are kept
LONGEST_ID = 30  # characters; a longer label is a sentence, as some practices of NIST's SSDF have


class NotOscal(ValueError):
    """A file is no OSCAL catalogue or profile that can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One control. id: as people write it, such as AC-2(1); key: as OSCAL's files refer to it."""

    id: str
    key: str
    title: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """A catalogue: its groups in order, each with its controls."""

    title: str
    version: str
    groups: list[tuple[str, list[Listed]]] = field(default_factory=list)


def read_catalogue(content: bytes, profiles: Sequence[bytes] = ()) -> Published:
    """The controls of an OSCAL catalogue in JSON; those that it calls withdrawn are left out.

    profiles: OSCAL profiles in JSON, least demanding first. A control is of the level of the first
    that names it, from 1, or else of the one in its own property `level`, or of none (0). Raises
    NotOscal.
    """
    catalogue = _part(content, "catalog")
    metadata = catalogue.get("metadata")
    if not isinstance(metadata, dict):
        raise NotOscal("the catalogue has no metadata")
    found = list(_groups(catalogue, ""))
    keys = [str(control.get("id", "")) for _, controls in found for control in controls]
    levels: dict[str, int] = {}
    for level, profile in enumerate(profiles, start=1):
        for key in _named_by(_part(profile, "profile"), keys):
            levels.setdefault(key, level)
    groups = [
        (title, [_listed(control, levels) for control in controls]) for title, controls in found
    ]
    ids = [one.id for _, controls in groups for one in controls]
    if not ids:
        raise NotOscal("the catalogue lists no control")
    if len(ids) > MOST:
        raise NotOscal(f"the catalogue lists {len(ids)} controls; at most {MOST} are taken")
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise NotOscal(f"the catalogue lists the control {twice} twice")
    return Published(
        _text(metadata.get("title"), "title of the catalogue"),
        _text(metadata.get("version"), "version of the catalogue"),
        [(title, controls) for title, controls in groups if controls],
    )


def _part(content: bytes, name: str) -> dict[str, Any]:
    try:
        whole = json.loads(content)
    except ValueError as fault:
        raise NotOscal(f"this is no JSON: {fault}") from fault
    part = whole.get(name) if isinstance(whole, dict) else None
    if not isinstance(part, dict):
        raise NotOscal(f'this is no OSCAL {name} in JSON: there is no object "{name}" at the top')
    return part


def _groups(part: Mapping[str, Any], above: str) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Titles with controls; a group within a group is named by both."""
    own = [control for one in _rows(part, "controls") for control in _with_enhancements(one)]
    if own:
        yield above or "Controls", own
    for group in _rows(part, "groups"):
        title = _text(group.get("title"), "title of a group")
        yield from _groups(group, f"{above} / {title}"[-LONGEST:] if above else title)


def _with_enhancements(control: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if _property(control, "status").lower() != "withdrawn":
        yield control
    for inner in _rows(control, "controls"):
        yield from _with_enhancements(inner)


def _listed(control: Mapping[str, Any], levels: Mapping[str, int]) -> Listed:
    key = _text(control.get("id"), "id of a control")
    label = _property(control, "label")
    if not label or len(label) > LONGEST_ID:
        label = key
    said = _property(control, "level").lower().removeprefix("level").strip()
    level = int(said) if said.isdecimal() and len(said) < 3 else 0
    title = _text(control.get("title"), f"title of the control {key}")
    if title.casefold() in (key.casefold(), label.casefold()):
        title = _statement(control) or title
    return Listed(label[:60], key, title, levels.get(key, level))


def _statement(control: Mapping[str, Any]) -> str:
    """What the control demands, where its title only repeats its id, as in NIST's SSDF."""
    for part in _rows(control, "parts"):
        prose = part.get("prose")
        if part.get("name") == "statement" and isinstance(prose, str) and prose.strip():
            return _text(prose, "statement")
    return ""


def _property(of: Mapping[str, Any], name: str) -> str:
    """The value of a property; of several, the one without a class, which is the plain one."""
    found = [one for one in _rows(of, "props") if one.get("name") == name]
    found.sort(key=lambda one: one.get("class") is not None)
    return str(found[0].get("value", "")).strip() if found else ""


def _named_by(profile: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Which of the catalogue's controls a profile takes: all, by id or by pattern, less others."""
    named: list[str] = []
    for one in _rows(profile, "imports"):
        taken = keys if "include-all" in one else _chosen(one, "include-controls", keys)
        left_out = set(_chosen(one, "exclude-controls", keys))
        named += [key for key in taken if key not in left_out]
    return named


def _chosen(one: Mapping[str, Any], how: str, keys: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    for choice in _rows(one, how):
        chosen += [key for key in choice.get("with-ids", []) if isinstance(key, str)]
        for match in _rows(choice, "matching"):
            chosen += [key for key in keys if fnmatchcase(key, str(match.get("pattern", "")))]
    return chosen


def _rows(of: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = of.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NotOscal(f"{name} is no list of objects")
    return rows


def _text(value: Any, what: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or "\0" in text:
        raise NotOscal(f"the {what} is missing")
    return text[:LONGEST]
