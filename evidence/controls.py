"""Says for which controls a pack holds evidence, by rules, and how strong it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "schemas" / "controls"
PER_PR, SNAPSHOT, UPLOAD = "proved per PR", "configuration snapshot", "organisational upload"
PARTLY, NONE = "shown for some PRs", "none"
STRENGTHS = (PER_PR, SNAPSHOT, UPLOAD, PARTLY, NONE)  # strongest first
SNAPSHOT_ACTION = "configuration.snapshot"


class RuleFault(ValueError):
    """A file of controls or rules cannot be used; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Control:
    """One line of a framework. level: 0 where the framework has none."""

    framework: str
    id: str
    wording: str
    group: str
    level: int = 0

    @property
    def name(self) -> str:
        return f"{self.framework}:{self.id}"


@dataclass(frozen=True, slots=True)
class Framework:
    """A published set of controls, with our one-line wording."""

    id: str
    title: str
    version: str
    source: str
    licence: str
    controls: tuple[Control, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What has to be there for a control to be shown; see schemas/controls/rules.yaml."""

    id: str
    says: str
    per: str
    strength: str
    controls: tuple[str, ...]
    entries: tuple[Mapping[str, str], ...] = ()
    files: tuple[str, ...] = ()
    filled: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What coverage is judged by. digest: SHA-256 (hex) over all of it."""

    frameworks: Mapping[str, Framework]
    rules: tuple[Rule, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document that people accepted as evidence, still good on the day that is asked about.

    references: where it is to be found, as in a row of coverage().
    """

    title: str
    owner: str
    valid_until: str
    controls: tuple[str, ...]  # names, framework:id
    references: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pack holds of one pull request: entries of its run, files below its folder."""

    folder: str
    entries: Sequence[tuple[int, Mapping[str, Any]]]  # index, leaf
    files: Mapping[str, bytes]


@cache
def frameworks(folder: Path = FOLDER) -> dict[str, Framework]:
    """Every framework in the folder, by id. Raises RuleFault."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == "rules.yaml":
            continue
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            controls = tuple(
                Control(said["id"], row["id"], row["wording"], group["title"], row.get("level", 0))
                for group in said["groups"]
                for row in group["controls"]
            )
            framework = Framework(
                said["id"],
                said["title"],
                said["version"],
                said["source"],
                said["licence"],
                controls,
            )
        except (KeyError, TypeError) as fault:
            raise RuleFault(f"{path.name}: {fault} is missing or malformed") from fault
        if len({control.id for control in controls}) != len(controls):
            raise RuleFault(f"{path.name}: a control stands there twice")
        found[framework.id] = framework
    return found


@cache
def rules(folder: Path = FOLDER) -> tuple[Rule, ...]:
    """The rules of the folder, each about controls that exist. Raises RuleFault."""
    known = {control.name for one in frameworks(folder).values() for control in one.controls}
    found = []
    for row in yaml.safe_load((folder / "rules.yaml").read_text(encoding="utf-8"))["rules"]:
        rule = Rule(
            row["id"],
            row["says"],
            row["per"],
            row["strength"],
            tuple(row["controls"]),
            tuple(row.get("entries", ())),
            tuple(row.get("files", ())),
            row.get("filled", ""),
            row.get("facts", {}),
        )
        if rule.per not in ("pull request", "log") or rule.strength not in STRENGTHS:
            raise RuleFault(f"rule {rule.id}: per {rule.per!r}, strength {rule.strength!r}")
        if unknown := sorted(set(rule.controls) - known):
            raise RuleFault(f"rule {rule.id} is about {unknown[0]}, which no framework has")
        if not (rule.entries or rule.files or rule.facts):
            raise RuleFault(f"rule {rule.id} asks for nothing, so it would always hold")
        found.append(rule)
    return tuple(found)


def rules_digest(folder: Path = FOLDER) -> str:
    """SHA-256 (hex) over frameworks and rules, so that a pack names what it was judged by."""
    digest = sha256()
    for path in sorted(folder.glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def shipped() -> Known:
    """The frameworks and rules that come with the product."""
    return Known(frameworks(), rules(), rules_digest())


def with_own(own: Iterable[tuple[Framework, Mapping[str, Sequence[str]]]]) -> Known:
    """What comes with the product, and frameworks of a tenant's own.

    Each with the rules that show its controls: id of a control -> ids of rules. A rule that is no
    longer there shows nothing.
    """
    known = shipped()
    found, more = dict(known.frameworks), dict[str, list[str]]()
    digest = sha256(known.digest.encode())
    for framework, mapped in own:
        found[framework.id] = framework
        ids = {control.id for control in framework.controls}
        for control, names in mapped.items():
            for rule in names if control in ids else ():
                more.setdefault(rule, []).append(f"{framework.id}:{control}")
        said = [
            framework.id,
            framework.title,
            framework.version,
            [[control.id, control.wording, control.level] for control in framework.controls],
            {control: sorted(names) for control, names in mapped.items()},
        ]
        digest.update(json.dumps(said, sort_keys=True).encode() + b"\0")
    if len(found) == len(known.frameworks):
        return known
    extended = tuple(
        replace(rule, controls=(*rule.controls, *more.get(rule.id, ()))) for rule in known.rules
    )
    return Known(found, extended, digest.hexdigest())


def coverage(
    pull_requests: Sequence[Seen],
    snapshot: tuple[int, Mapping[str, Any]] | None = None,
    *,
    only: Collection[str] = (),
    known: Known | None = None,
    documents: Iterable[Document] = (),
) -> list[dict[str, Any]]:
    """A row for each control: the strongest evidence that a rule or a document is, or none.

    snapshot: index and facts of the newest configuration snapshot. only: ids of frameworks; empty
    means all. known: judged by; what comes with the product when left out. Each reference is an
    entry or a file, with its path as in the pack.
    """
    known = known or shipped()
    shown = _shown(known.rules, pull_requests, snapshot)
    _add_documents(shown, documents)
    possible = strongest_possible(known)
    rows = []
    for framework in known.frameworks.values():
        if only and framework.id not in only:
            continue
        for control in framework.controls:
            strength, evidence, note = shown.get(control.name, (NONE, [], ""))
            can_be = possible[control.name]
            rows.append(
                {
                    "framework": framework.title,
                    "id": control.id,
                    "title": control.wording,
                    "strength": strength,
                    "evidence": evidence,
                    "note": note or ("" if evidence else f"would need: {can_be}"),
                }
            )
    return rows


def strongest_possible(known: Known | None = None) -> dict[str, str]:
    """For each control (framework:id) the strongest evidence that any rule could find."""
    known = known or shipped()
    best = {control.name: UPLOAD for one in known.frameworks.values() for control in one.controls}
    for rule in known.rules:
        for name in rule.controls:
            if STRENGTHS.index(rule.strength) < STRENGTHS.index(best[name]):
                best[name] = rule.strength
    return best


def matching(rule: Rule, entries: Sequence[tuple[int, Mapping[str, Any]]]) -> list[int] | None:
    """Indexes of the entries that a rule asks for; None when one of its demands is not met."""
    found = []
    for demand in rule.entries:
        index = _first(demand, entries)
        if index is None:
            return None
        found.append(index)
    return found


_Shown = tuple[str, list[dict[str, Any]], str]


def _shown(
    by_rules: Iterable[Rule],
    pull_requests: Sequence[Seen],
    snapshot: tuple[int, Mapping[str, Any]] | None,
) -> dict[str, _Shown]:
    best: dict[str, _Shown] = {}
    for rule in by_rules:
        found = (
            _by_pull_request(rule, pull_requests)
            if rule.per == "pull request"
            else _by_snapshot(rule, snapshot)
        )
        if found is None:
            continue
        for name in rule.controls:
            known = best.get(name)
            if known is None or STRENGTHS.index(found[0]) < STRENGTHS.index(known[0]):
                best[name] = found
    return best


def _add_documents(shown: dict[str, _Shown], documents: Iterable[Document]) -> None:
    """Let documents count where the log itself shows nothing stronger."""
    found: dict[str, list[Document]] = {}
    for document in documents:
        for name in document.controls:
            found.setdefault(name, []).append(document)
    for name, ones in found.items():
        known = shown.get(name)
        if known is not None and STRENGTHS.index(known[0]) <= STRENGTHS.index(UPLOAD):
            continue
        note = "; ".join(f"{one.title} ({one.owner}, good until {one.valid_until})" for one in ones)
        shown[name] = UPLOAD, [dict(one) for each in ones for one in each.references], note


def _by_pull_request(rule: Rule, pull_requests: Sequence[Seen]) -> _Shown | None:
    evidence: list[dict[str, Any]] = []
    holds = 0
    for seen in pull_requests:
        references = _references(rule, seen)
        if references is not None:
            holds += 1
            evidence += references
    if not holds:
        return None
    if holds < len(pull_requests):
        note = f"{rule.says}; for {holds} of {len(pull_requests)} pull requests"
        return PARTLY, evidence, note
    return rule.strength, evidence, rule.says


def _references(rule: Rule, seen: Seen) -> list[dict[str, Any]] | None:
    indexes = matching(rule, seen.entries)
    if indexes is None:
        return None
    paths = [
        path for path in sorted(seen.files) for wanted in rule.files if fnmatchcase(path, wanted)
    ]
    if rule.files and not paths:
        return None
    if rule.filled and not all(json.loads(seen.files[path]).get(rule.filled) for path in paths):
        return None
    references: list[dict[str, Any]] = [{"entry": index} for index in indexes]
    return references + [{"file": f"{seen.folder}/{path}"} for path in paths]


def _by_snapshot(rule: Rule, snapshot: tuple[int, Mapping[str, Any]] | None) -> _Shown | None:
    if snapshot is None:
        return None
    index, facts = snapshot
    for path, wanted in rule.facts.items():
        value: Any = facts
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        met = bool(value) if wanted == "filled" else isinstance(value, list) and wanted in value
        if not met:
            return None
    return rule.strength, [{"entry": index}], rule.says


def _first(
    demand: Mapping[str, str], entries: Iterable[tuple[int, Mapping[str, Any]]]
) -> int | None:
    rows = list(entries)
    others = {
        leaf["actor"]["id"] for _, leaf in rows if leaf["action"] == demand.get("differs_from")
    }
    if "differs_from" in demand and not others:
        return None
    for index, leaf in rows:
        if (
            leaf["action"] == demand["action"]
            and leaf["phase"] == demand["phase"]
            and leaf["actor"]["type"] == demand["actor"]
            and leaf["outcome"] == "ok"
            and leaf["actor"]["id"] not in others
        ):
            return index
    return None
