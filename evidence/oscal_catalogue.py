"""Reads ids, titles and levels of controls from a catalogue that others publish as OSCAL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from evidence.oscal_files import NotOscal, read_oscal

MOST = 5_000  # controls in one catalogue
LONGEST = 300  # characters of a title that are kept
LONGEST_ID = 30  # characters; a longer label is a sentence, as some practices of NIST's SSDF have


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


def read_catalogue(
    content: bytes, profiles: Sequence[bytes] = (), *, names: Sequence[str] = ()
) -> Published:
    """The controls of an OSCAL catalogue; those that it calls withdrawn are left out.

    profiles: OSCAL profiles, least demanding first. A control is of the level of the first that
    names it, from 1, or else of the one in its own property `level`, or of none (0). names: what
    the files are called, the catalogue first. Each may be JSON, YAML or XML. Raises NotOscal.
    """
    called = [*names, *[""] * (1 + len(profiles) - len(names))]
    catalogue = read_oscal(content, "catalog", called[0])
    metadata = catalogue.get("metadata")
    if not isinstance(metadata, dict):
        raise NotOscal("the catalogue has no metadata; expected its title and version there")
    found = list(_groups(catalogue, ""))
    keys = [str(control.get("id", "")) for _, controls in found for control in controls]
    levels: dict[str, int] = {}
    for level, (profile, name) in enumerate(zip(profiles, called[1:], strict=True), start=1):
        try:
            chosen = _named_by(read_oscal(profile, "profile", name), keys)
        except NotOscal as fault:
            raise NotOscal(f"the profile {name or level}: {fault}") from fault
        for key in chosen:
            levels.setdefault(key, level)
    groups = [
        (title, [_listed(control, levels) for control in controls]) for title, controls in found
    ]
    ids = [one.id for _, controls in groups for one in controls]
    if not ids:
        raise NotOscal("the catalogue lists no control; expected them in its groups or itself")
    if len(ids) > MOST:
        raise NotOscal(f"the catalogue lists {len(ids)} controls; at most {MOST} are taken")
    for what, all_of in (("control", ids), ("id", keys)):
        if twice := [one for one, times in Counter(all_of).items() if times > 1]:
            raise NotOscal(f"the catalogue lists the {what} {twice[0]} twice; expected it once")
    return Published(
        _text(metadata.get("title"), "title of the catalogue"),
        _text(metadata.get("version"), "version of the catalogue"),
        [(title, controls) for title, controls in groups if controls],
    )


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
        raise NotOscal(f'"{name}" is no list of objects; expected one as OSCAL has it')
    return rows


def _text(value: Any, what: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or "\0" in text:
        raise NotOscal(f"the {what} is missing; expected a text")
    return text[:LONGEST]
