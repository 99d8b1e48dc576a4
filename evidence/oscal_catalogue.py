"""Reads ids, titles and levels of controls from a catalogue that others publish as OSCAL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from evidence.oscal_files import NotOscal, read_oscal

MOST = 5_000  # controls in one catalogue
MOST_IMPORTS = 100  # in one profile; NIST's have one
MOST_PATTERNS = 1_000  # in one profile, each tried on every control; NIST's have none
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
    if len(keys) > MOST:
        raise NotOscal(f"the catalogue lists {len(keys)} controls; at most {MOST} are taken")
    listed = dict(zip(keys, (one for _, controls in found for one in controls), strict=True))
    levels: dict[str, int] = {}
    for level, (profile, name) in enumerate(zip(profiles, called[1:], strict=True), start=1):
        try:
            chosen = _named_by(read_oscal(profile, "profile", name), listed)
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


type _Controls = Mapping[str, Mapping[str, Any]]  # of the catalogue, by OSCAL's own id


def _named_by(profile: Mapping[str, Any], controls: _Controls) -> set[str]:
    """Which of the catalogue's controls a profile takes: all, by id or by pattern, less others."""
    imports = _rows(profile, "imports")
    if len(imports) > MOST_IMPORTS:
        raise NotOscal(f"it has {len(imports)} imports; at most {MOST_IMPORTS} are taken")
    ways = [
        choice
        for one in imports
        for how in ("include-controls", "exclude-controls")
        for choice in _rows(one, how)
    ]
    patterns = sum(len(_rows(choice, "matching")) for choice in ways)
    if patterns > MOST_PATTERNS:
        raise NotOscal(f"it has {patterns} patterns; at most {MOST_PATTERNS} are taken")
    named: set[str] = set()
    for one in imports:
        everything = "include-all" in one
        taken = set(controls) if everything else _chosen(one, "include-controls", controls)
        named |= taken - _chosen(one, "exclude-controls", controls)
    return named


def _chosen(one: Mapping[str, Any], how: str, controls: _Controls) -> set[str]:
    chosen: set[str] = set()
    with_all_within: set[str] = set()
    for choice in _rows(one, how):
        ids = choice.get("with-ids", [])
        if not isinstance(ids, list):
            raise NotOscal(f'"with-ids" of "{how}" is no list; expected the ids of controls in one')
        named = {key for key in ids if isinstance(key, str)}
        for match in _rows(choice, "matching"):
            pattern = str(match.get("pattern", ""))
            named |= {key for key in controls if fnmatchcase(key, pattern)}
        chosen |= named
        if _takes_children(choice, how):
            with_all_within |= named & controls.keys()
    for key in with_all_within:
        inner = _with_enhancements(controls[key])
        chosen |= {str(control.get("id", "")) for control in inner}
    return chosen


def _takes_children(choice: Mapping[str, Any], how: str) -> bool:
    """Whether whatever stands within a named control, at any depth, is chosen along with it."""
    said = choice.get("with-child-controls", "no")
    if said not in ("yes", "no"):
        raise NotOscal(
            f'"with-child-controls" of "{how}" is {str(said)[:40]!r}; expected "yes" or "no"'
        )
    return bool(said == "yes")


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
