"""Brings packages of the repository to other versions, with what codemods are known for them."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from agent import packages, recasting
from agent.changes import FORMAT, PACKAGES, UpgradeRequest
from agent.forge import ForgeRefused, policy
from agent.outputs import CHANGE, FETCHED, PATCH, PATCHED
from agent.packages import Resolved, Shelf, Wheel
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
from agent.tools.patching import standing_patches
from authz.permissions import Permission

SHOWN = 20  # versions in a sentence
TRIES = 50  # combinations of versions, newest first
NOTES = 6_000  # characters of a changelog that are kept
RISKS = {"major": 0.6, "minor": 0.35, "patch": 0.2, "backward": 0.5}
ASKED = listed(
    takes(
        ("package",),
        package=text("As the index writes it.", pattern=r"^[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?$"),
        version=text("Exact; the newest that is allowed, when left out or empty.", maxLength=60),
    ),
    "Packages to bring to other versions, together.",
    minItems=1,
    maxItems=PACKAGES,
)


@dataclass(frozen=True)
class Chosen:
    """Where an upgrade leads. steps: (from, to) of each package that was asked for, in order."""

    steps: tuple[tuple[Wheel, Wheel], ...]
    bumped: Mapping[str, str]  # path -> text, only what changes
    before: Resolved
    after: Resolved


def bump_dependency(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Rewrites what declares the packages, then uses of names that have changed since."""
    files = bench.tree("base")
    found = chosen(files, bench.shelf(files), arguments["packages"])
    recast = _Recast(files, found, bench)
    texts = {**found.bumped, **recast.changed}
    for path in texts:
        _require_open(path)
    impact = recasting.imports_of(files, _modules(found))
    report = _report(bench, found, texts, recast, impact)
    moved = [f"{was.name} {was.version} to {to.version}" for was, to in found.steps]
    said = f"{', '.join(moved)}: {len(found.bumped)} files declare it"
    said += f", {sum(row['places'] for row in recast.done)} places changed by codemods"
    return Observation(
        said,
        {PATCHED: as_json(texts), PATCH: standing_patches(files, texts), CHANGE: as_json(report)},
        result={
            "packages": [
                {"package": was.name, "before": str(was.version), "after": str(to.version)}
                for was, to in found.steps
            ],
            "files": sorted(texts),
            "codemods": recast.done,
            "impact": sorted(impact),
        },
    )


def chosen(files: Mapping[str, bytes], shelf: Shelf, asked: Sequence[Mapping[str, Any]]) -> Chosen:
    """The versions to go to, the files that then declare them, what is installed with them.

    Of packages without a version the newest are taken that fit together. Raises BadArguments.
    """
    for one in asked:
        _require_there(files, shelf, one["package"])
    try:
        before = packages.resolved(files, shelf)
    except packages.CannotResolve as conflict:
        raise BadArguments(f"package: {conflict}") from conflict
    current = [before.wheels.get(one["package"]) for one in asked]
    if missing := [one["package"] for one, now in zip(asked, current, strict=True) if now is None]:
        raise BadArguments(f"package: {missing[0]} cannot be installed as it is declared now")
    now = [wheel for wheel in current if wheel is not None]
    ways = [_candidates(shelf, one, was) for one, was in zip(asked, now, strict=True)]
    reasons: list[str] = []
    for wheels in islice(product(*ways), TRIES):
        if late := [w for w in wheels if not packages.runs_here(w, platform.python_version())]:
            reasons.append(f"{late[0].name} {late[0].version} is not for this Python")
            continue
        try:
            return _fitting(files, shelf, asked, tuple(zip(now, wheels, strict=True)), before)
        except packages.CannotResolve as conflict:
            reasons.append(str(conflict))
    stays = ", ".join(f"{was.name} {was.version}" for was in now)
    why = "; ".join(dict.fromkeys(reasons[:3])) or "nothing newer is at hand"
    raise BadArguments(f"version: {stays} cannot be changed: {why}")


def _require_there(files: Mapping[str, bytes], shelf: Shelf, name: str) -> None:
    if not any(one.name == name for one in packages.declared(files)):
        raise BadArguments(f"package: the repository declares no {name}")
    if not shelf.versions(name):
        raise BadArguments(
            f"package: there is no wheel of {name} at hand, neither in the repository nor in the"
            " folder of packages of this installation, nor from a registry"
        )


def _candidates(shelf: Shelf, asked: Mapping[str, Any], was: Wheel) -> list[Wheel]:
    """Versions to go to, newest first. Nothing of them is read yet."""
    name, wanted = asked["package"], asked.get("version", "")
    every = [w for w in shelf.versions(name) if w.version != was.version]
    if not wanted:
        return [w for w in every if w.version > was.version and not w.version.is_prerelease]
    found = [w for w in every if w.version == Version(wanted)]
    if not found:
        there = ", ".join(str(w.version) for w in shelf.versions(name)[:SHOWN])
        raise BadArguments(f"version: there is no {name} {wanted} to go to; at hand are {there}")
    return found


def _fitting(
    files: Mapping[str, bytes],
    shelf: Shelf,
    asked: Sequence[Mapping[str, Any]],
    steps: tuple[tuple[Wheel, Wheel], ...],
    before: Resolved,
) -> Chosen:
    """These versions, if they fit what is declared and each other. Raises CannotResolve."""
    texts: dict[str, str] = {}
    stays = set()
    for one, (_, to) in zip(asked, steps, strict=True):
        said = {**files, **_bytes(texts)}
        bumped = packages.bumped(said, to.name, to, widen=bool(one.get("version")))
        stays |= set() if bumped else {to.name}
        texts |= bumped
    after = packages.resolved({**files, **_bytes(texts)}, shelf)
    for _, to in steps:
        if after.wheels[to.name].version != to.version or to.name in stays:
            raise packages.CannotResolve(
                f"{to.name} {to.version} is not allowed by what the repository declares"
            )
    return Chosen(steps, texts, before, after)


def _modules(found: Chosen) -> list[str]:
    """Names that the packages are imported by."""
    names: set[str] = set()
    for was, to in found.steps:
        names |= {*was.modules, *to.modules} or {to.name.replace("-", "_")}
    return sorted(names)


class _Recast:
    """What codemods change: texts by path, a row for each that did, places for a person."""

    def __init__(self, files: Mapping[str, bytes], found: Chosen, bench: Bench) -> None:
        self._files = {**files, **_bytes(found.bumped)}
        self.changed: dict[str, str] = {}
        self.done: list[dict[str, Any]] = []
        self.left: list[str] = []
        for rule in _rules(bench.packages):
            since = Version(str(rule["since"]))
            for was, to in found.steps:
                if rule["package"] == to.name and was.version < since <= to.version:
                    self._apply(rule)

    def _apply(self, rule: Mapping[str, Any]) -> None:
        for old, new in rule.get("renames", {}).items():
            standing = {**self._files, **_bytes(self.changed)}
            try:
                found = recasting.renamed(standing, recasting.Rename.parse(old, new))
            except recasting.CannotRecast as why:
                self.left.append(f"{old}: {why}")
                continue
            self._note(found, f"{old} to {new}", rule)
            self.left += found.left
        for said in rule.get("keywords", ()):
            standing = {**self._files, **_bytes(self.changed)}
            found = recasting.keyword_renamed(standing, said["of"], said["old"], said["new"])
            self._note(found, f"argument {said['old']} of {said['of']} to {said['new']}", rule)

    def _note(self, found: recasting.Recast, words: str, rule: Mapping[str, Any]) -> None:
        if found.files:
            self.changed |= found.files
            places = sum(found.counts.values())
            row = {"rule": words, "source": str(rule["source"]), "files": sorted(found.files)}
            self.done.append({**row, "places": places})


def _rules(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Codemods of the product, then those of this installation."""
    for place in (SHIPPED, folder / "codemods"):
        for path in sorted(place.glob("*.yaml")) if place.is_dir() else ():
            yield from yaml.safe_load(path.read_text("utf-8")) or ()


SHIPPED = Path(__file__).resolve().parents[2] / "schemas" / "codemods"


def _report(
    bench: Bench,
    found: Chosen,
    texts: Mapping[str, str],
    recast: _Recast,
    impact: Mapping[str, list[int]],
) -> dict[str, Any]:
    steps, before, after = found.steps, found.before.wheels, found.after.wheels
    asked = {was.name for was, _ in steps}
    leaps = [_leap(was.version, to.version) for was, to in steps]
    others = [
        f"{name} {before[name].version} to {wheel.version}"
        if name in before
        else f"{name} {wheel.version} is new"
        for name, wheel in sorted(after.items())
        if name not in asked and before.get(name) != wheel
    ]
    others += [f"{name} is no longer needed" for name in before if name not in after]
    places = sum(map(len, impact.values()))
    risks = [
        f"{_named(to, steps)} is a {leap} step ({was.version} to {to.version})."
        for (was, to), leap in zip(steps, leaps, strict=True)
    ]
    risks.append(
        f"{len(impact)} files use {_them(steps)}, on {places} lines."
        if impact
        else f"No file of the repository imports {_them(steps)}."
    )
    if found.after.missing:
        names = ", ".join(found.after.missing)
        risks.append(f"The tests ran without {names}: no wheel of it is at hand.")
    if recast.left:
        risks.append(f"{len(recast.left)} places name what has changed and were left for a person.")
    first = ", ".join(f"{was.name} {was.version}" for was, _ in steps)
    return {
        "format": FORMAT,
        "kind": bench.kind,
        "title": _title(steps),
        "why": UpgradeRequest.from_json(bench.asked).why,
        "what": [
            *(f"{was.name} {was.version} becomes {to.version}." for was, to in steps),
            *(
                f"Codemod: {row['rule']}, {_places(row['places'])} ({row['source']})."
                for row in recast.done
            ),
            *(f"With it: {said}." for said in others),
            *_origin(bench, found),
        ],
        "files": sorted(texts),
        "risk": max(RISKS[leap] for leap in leaps),
        "risks": risks,
        "rollback": f"Reverting the merge declares {first} again, with"
        " its hash where there was one; nothing else has to be undone. Install anew after it.",
        "notes": [
            {"title": version if len(steps) == 1 else f"{to.name} {version}", "text": said[:NOTES]}
            for was, to in steps
            for version, said in to.notes(was.version)
        ],
        "impact": [{"path": path, "lines": lines} for path, lines in sorted(impact.items())],
        "left": recast.left[:200],
        "stages": [],
        "replaced": [],
        "installed": {name: str(one.version) for name, one in sorted(after.items())},
    }


def _origin(bench: Bench, found: Chosen) -> list[str]:
    """What of it was fetched, and from where: whoever reads has to know whose word it is."""
    if not bench.has(FETCHED):
        return []
    said = bench.read_json(FETCHED)
    files = {row["file"]: row["sha256"] for row in said["fetched"]}
    new = [to for _, to in found.steps if to.file in files]
    return [f"{to.file} came from {said['registry']}, SHA-256 {files[to.file]}." for to in new]


def _title(steps: Sequence[tuple[Wheel, Wheel]]) -> str:
    (was, to), *more = steps
    title = f"Upgrade {to.name} from {was.version} to {to.version}"
    if not more:
        return title
    also = f"{more[0][1].name} to {more[0][1].version}" if len(more) == 1 else f"{len(more)} others"
    return f"{title}, and {also}"


def _named(wheel: Wheel, steps: Sequence[object]) -> str:
    return "It" if len(steps) == 1 else wheel.name


def _them(steps: Sequence[object]) -> str:
    return "it" if len(steps) == 1 else "them"


def _places(number: int) -> str:
    return f"{number} place{'' if number == 1 else 's'}"


def _leap(old: Version, new: Version) -> str:
    if new < old:
        return "backward"
    if new.major != old.major:
        return "major"
    return "minor" if new.minor != old.minor else "patch"


def _require_open(path: str) -> None:
    try:
        policy.check_path(path)
        policy.check_agent_path(path)
    except ForgeRefused as refusal:
        raise BadArguments(f"package: {refusal}") from refusal


def _bytes(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {path: said.encode() for path, said in texts.items()}


BUMP_DEPENDENCY = Tool(
    bump_dependency,
    Permission.TASK_RUN,
    says="Ask for other versions of packages; change names that have changed since.",
    arguments=takes(("packages",), packages=ASKED),
    result=gives(
        packages=listed(
            gives(
                package=text("As the index writes it."),
                before=text("Version."),
                after=text("Version."),
            ),
            "What became what.",
        ),
        files=listed({"type": "string"}, "Changed files."),
        codemods=listed(
            gives(
                rule=text("What became what."),
                source=text("Where that is said."),
                files=listed({"type": "string"}, "Changed files."),
                places=whole("Changed places."),
            ),
            "Rules that changed something.",
        ),
        impact=listed({"type": "string"}, "Files that use one of the packages."),
    ),
)
