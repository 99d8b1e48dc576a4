"""Brings a package of the repository to another version, with what codemods are known for it."""

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from agent import packages, recasting
from agent.changes import FORMAT, UpgradeRequest
from agent.forge import ForgeRefused, policy
from agent.outputs import CHANGE, PATCHED
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
from authz.permissions import Permission

SHOWN = 20  # files of the impact in a sentence
NOTES = 6_000  # characters of a changelog that are kept


def bump_dependency(bench: Bench, arguments: Mapping[str, Any]) -> Observation:
    """Rewrites what declares the package, then uses of names that have changed since."""
    name, wanted = arguments["package"], arguments.get("version", "")
    files = bench.tree("base")
    shelf = Shelf.of(files, bench.packages)
    asked = [one for one in packages.declared(files) if one.name == name]
    if not asked:
        raise BadArguments(f"package: the repository declares no {name}")
    if not shelf.versions(name):
        raise BadArguments(
            f"package: there is no wheel of {name} at hand, neither in the repository nor in the"
            " folder of packages of this installation"
        )
    try:
        before = packages.resolved(files, shelf)
        current = before.wheels.get(name)
        if current is None:
            raise BadArguments(f"package: {name} cannot be installed as it is declared now")
        wheel, bumped, after = _chosen(files, shelf, name, current, wanted)
    except packages.CannotResolve as conflict:
        raise BadArguments(f"package: {conflict}") from conflict
    changed, codemods, left = _recast({**files, **_bytes(bumped)}, name, current, wheel, bench)
    texts = {**bumped, **changed}
    for path in texts:
        _require_open(path)
    modules = sorted({*current.modules, *wheel.modules}) or [name.replace("-", "_")]
    impact = recasting.imports_of(files, modules)
    report = _report(bench, current, wheel, texts, codemods, left, impact, before, after)
    said = f"{name} {current.version} to {wheel.version}: {len(bumped)} files declare it"
    said += f", {sum(row['places'] for row in codemods)} places changed by codemods"
    return Observation(
        said,
        {PATCHED: as_json(texts), CHANGE: as_json(report)},
        result={
            "package": name,
            "before": str(current.version),
            "after": str(wheel.version),
            "files": sorted(texts),
            "codemods": codemods,
            "impact": sorted(impact),
        },
    )


def _chosen(
    files: Mapping[str, bytes], shelf: Shelf, name: str, current: Wheel, wanted: str
) -> tuple[Wheel, dict[str, str], Resolved]:
    """The wheel to go to, the files that then declare it, what is installed with it."""
    every = [w for w in shelf.versions(name) if w.version != current.version]
    if wanted:
        every = [w for w in every if w.version == Version(wanted)]
        if not every:
            there = ", ".join(str(w.version) for w in shelf.versions(name))
            raise BadArguments(
                f"version: there is no {name} {wanted} to go to; at hand are {there}"
            )
    else:
        every = [w for w in every if w.version > current.version and not w.version.is_prerelease]
    reasons = []
    for wheel in every:
        if not packages.runs_here(wheel, platform.python_version()):
            reasons.append(f"{wheel.version} is not for this Python")
            continue
        try:
            bumped = packages.bumped(files, name, wheel, widen=bool(wanted))
            found = packages.resolved({**files, **_bytes(bumped)}, shelf)
        except packages.CannotResolve as conflict:
            reasons.append(str(conflict))
            continue
        if found.wheels[name].version == wheel.version and bumped:
            return wheel, bumped, found
        reasons.append(f"{wheel.version} is not allowed by what the repository declares")
    why = "; ".join(reasons[:3]) or "it is the newest at hand"
    raise BadArguments(f"version: {name} stays at {current.version}: {why}")


def _recast(
    files: Mapping[str, bytes], name: str, current: Wheel, wheel: Wheel, bench: Bench
) -> tuple[dict[str, str], list[dict[str, Any]], list[str]]:
    """Files that codemods change, what each did, and places for a person to look at."""
    changed: dict[str, str] = {}
    done: list[dict[str, Any]] = []
    left: list[str] = []
    for rule in _rules(bench.packages):
        crosses = current.version < Version(str(rule["since"])) <= wheel.version
        if rule["package"] != name or not crosses:
            continue
        for old, new in rule.get("renames", {}).items():
            standing = {**files, **_bytes(changed)}
            try:
                found = recasting.renamed(standing, recasting.Rename.parse(old, new))
            except recasting.CannotRecast as why:
                left.append(f"{old}: {why}")
                continue
            _note(done, changed, found, f"{old} to {new}", rule)
            left += found.left
        for said in rule.get("keywords", ()):
            standing = {**files, **_bytes(changed)}
            found = recasting.keyword_renamed(standing, said["of"], said["old"], said["new"])
            words = f"argument {said['old']} of {said['of']} to {said['new']}"
            _note(done, changed, found, words, rule)
    return changed, done, left


def _note(
    done: list[dict[str, Any]],
    changed: dict[str, str],
    found: recasting.Recast,
    words: str,
    rule: Mapping[str, Any],
) -> None:
    if found.files:
        changed |= found.files
        places = sum(found.counts.values())
        row = {"rule": words, "source": str(rule["source"]), "files": sorted(found.files)}
        done.append({**row, "places": places})


def _rules(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Codemods of the product, then those of this installation."""
    for place in (SHIPPED, folder / "codemods"):
        for path in sorted(place.glob("*.yaml")) if place.is_dir() else ():
            yield from yaml.safe_load(path.read_text("utf-8")) or ()


SHIPPED = Path(__file__).resolve().parents[2] / "schemas" / "codemods"


def _report(
    bench: Bench,
    current: Wheel,
    wheel: Wheel,
    texts: Mapping[str, str],
    codemods: list[dict[str, Any]],
    left: list[str],
    impact: Mapping[str, list[int]],
    before: Resolved,
    after: Resolved,
) -> dict[str, Any]:
    asked = UpgradeRequest.from_json(bench.asked)
    leap = _leap(current.version, wheel.version)
    others = [
        f"{name} {before.wheels[name].version} to {found.version}"
        if name in before.wheels
        else f"{name} {found.version} is new"
        for name, found in sorted(after.wheels.items())
        if name != asked.package and before.wheels.get(name) != found
    ]
    others += [f"{name} is no longer needed" for name in before.wheels if name not in after.wheels]
    places = sum(map(len, impact.values()))
    risks = [
        f"It is a {leap} step ({current.version} to {wheel.version}).",
        f"{len(impact)} files use it, on {places} lines."
        if impact
        else "No file of the repository imports it.",
    ]
    if after.missing:
        names = ", ".join(after.missing)
        risks.append(f"The tests ran without {names}: no wheel of it is at hand.")
    if left:
        risks.append(f"{len(left)} places name what has changed and were left for a person.")
    return {
        "format": FORMAT,
        "kind": bench.kind,
        "title": f"Upgrade {asked.package} from {current.version} to {wheel.version}",
        "why": asked.why,
        "what": [
            f"{asked.package} {current.version} becomes {wheel.version}.",
            *(
                f"Codemod: {row['rule']}, {_places(row['places'])} ({row['source']})."
                for row in codemods
            ),
            *(f"With it: {said}." for said in others),
        ],
        "files": sorted(texts),
        "risk": {"major": 0.6, "minor": 0.35, "patch": 0.2, "backward": 0.5}[leap],
        "risks": risks,
        "rollback": f"Reverting the merge declares {asked.package} {current.version} again, with"
        " its hash where there was one; nothing else has to be undone. Install anew after it.",
        "notes": [
            {"title": version, "text": said[:NOTES]}
            for version, said in wheel.notes(current.version)
        ],
        "impact": [{"path": path, "lines": lines} for path, lines in sorted(impact.items())],
        "left": left[:200],
        "stages": [],
        "replaced": [],
        "installed": {name: str(one.version) for name, one in sorted(after.wheels.items())},
    }


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
    says="Ask for another version of a package; change names that have changed since.",
    arguments=takes(
        ("package",),
        package=text("As the index writes it.", pattern=r"^[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?$"),
        version=text("Exact; the newest that is allowed, when left out or empty.", maxLength=60),
    ),
    result=gives(
        package=text("As the index writes it."),
        before=text("Version."),
        after=text("Version."),
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
        impact=listed({"type": "string"}, "Files that use the package."),
    ),
)
