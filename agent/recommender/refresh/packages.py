"""Licence, version and requirements of packages, through pip and npm as they are configured."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from packaging.version import InvalidVersion, Version

from agent.recommender.refresh.origin import (
    CanaryFailed,
    Origin,
    Unreachable,
    client,
    quoted,
)
from agent.recommender.refresh.reading import Facts, whole_date

Asked = Callable[[str], dict[str, Any]]
IN_ORDER = 0.8  # share of releases that follow their numbers; maintenance releases do not
TOO_FAR = 50  # major releases at once; also who turns to years as numbers wants a look
LEFT_BEHIND = dt.timedelta(days=365)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_PIP = (
    *("pip", "install", "--dry-run", "--ignore-installed", "--no-deps"),
    # Wheels of a new Python; nothing is built, and the target is never made.
    *("--only-binary", ":all:", "--python-version", "3.14", "--target", "unused"),
    # pip install holds a release against the Python that pip itself runs on, whatever Python it
    # was told to look for, and steps back until one fits.
    "--ignore-requires-python",
    *("--quiet", "--disable-pip-version-check", "--report", "-"),
)
# "BSD License" is left out: it does not say which of them.
_TROVE = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}


def pip_report(package: str) -> dict[str, Any]:
    """Metadata of the newest release that pip would install; nothing is installed."""
    report = client([*_PIP, package])
    metadata: dict[str, Any] = report["install"][0]["metadata"]
    return metadata


def npm_view(package: str) -> dict[str, Any]:
    """What npm knows about a package and its newest release."""
    asked = ("name", "version", "license", "time", "dependencies")
    shown = client(["npm", "view", package, "--json", *asked])
    return shown if isinstance(shown, dict) else shown[-1]


def pypi_json(origin: Origin) -> Asked:
    """Asks an index through its JSON API. FileNotFoundError: it does not know the package."""

    def asked(package: str) -> dict[str, Any]:
        told = origin.json(f"pypi/{quoted(package)}/json")
        info, files = told["info"], told.get("urls") or [{}]
        return {
            **{key: info.get(key) for key in ("name", "version", "license", "license_expression")},
            "requires_python": info.get("requires_python"),
            "requires_dist": info.get("requires_dist") or (),
            "classifier": info.get("classifiers") or (),
            "released": files[0].get("upload_time_iso_8601"),
        }

    return asked


def npm_json(origin: Origin) -> Asked:
    """Asks a registry through its HTTP API. FileNotFoundError: it does not know the package."""

    def asked(package: str) -> dict[str, Any]:
        told = origin.json(quoted(package))
        version = told["dist-tags"]["latest"]
        release = told["versions"][version]
        return {
            "name": told["name"],
            "version": version,
            "license": release.get("license"),
            "dependencies": release.get("dependencies") or {},
            "time": told.get("time") or {},
        }

    return asked


def _canary(asked: Asked, package: str, index: str) -> str:
    """The version of the package that an index cannot do without. Raises CanaryFailed."""
    try:
        told = asked(package)
    except FileNotFoundError:
        told = {}
    if told.get("name") != package or not told.get("version"):
        raise CanaryFailed(f"{index} does not know {package}")
    return str(told["version"])


@dataclass(frozen=True, slots=True)
class Answers:
    """What a registry told. unanswered: technology id to why nothing is believed about it."""

    facts: Facts
    canary: str
    unanswered: dict[str, str]


def read_pypi(
    known_as: Mapping[str, str],
    classes: Iterable[str],
    asked: Asked = pip_report,
    newest: Mapping[str, str] = _NOTHING,
) -> Answers:
    """Facts of the newest releases. classes: SPDX ids the catalogue knows; others are left out.

    known_as: technology id to package; newest: technology id to the version known so far. Raises
    Unreachable when pip cannot tell about itself.
    """
    pip = _canary(asked, "pip", "the Python package index")
    listed = set(classes)
    facts: Facts = {}
    unanswered: dict[str, str] = {}
    for technology, package in known_as.items():
        try:
            metadata = asked(package)
        except (Unreachable, FileNotFoundError) as problem:
            unanswered[technology] = str(problem)
            continue
        if older := _implausible(metadata["version"], newest.get(technology)):
            unanswered[technology] = older
            continue
        found: dict[str, Any] = {"latest_version": metadata["version"]}
        if licence := _python_licence(metadata, listed):
            found["license"] = licence
        if requires := metadata.get("requires_python"):
            found["requires_python"] = requires
        if released := whole_date(metadata.get("released")):
            found["latest_release_date"] = released.isoformat()
        found["direct_runtime_dependencies"] = sum(
            "extra ==" not in one for one in metadata.get("requires_dist", ())
        )
        facts[technology] = _located(found, f"metadata of {package} {metadata['version']}")
    return Answers(facts, f"the index knows pip {pip}", unanswered)


def read_npm(
    known_as: Mapping[str, str],
    classes: Iterable[str],
    today: dt.date,
    asked: Asked = npm_view,
    newest: Mapping[str, str] = _NOTHING,
) -> Answers:
    """Facts as read_pypi() reads them. Raises Unreachable when npm does not know itself."""
    npm = _canary(asked, "npm", "the npm registry")
    listed = set(classes)
    facts: Facts = {}
    unanswered: dict[str, str] = {}
    for technology, package in known_as.items():
        try:
            shown = asked(package)
        except (Unreachable, FileNotFoundError) as problem:
            unanswered[technology] = str(problem)
            continue
        version, times = shown["version"], shown.get("time", {})
        doubt = _implausible(version, newest.get(technology)) or _left_behind(version, times)
        if doubt:
            unanswered[technology] = doubt
            continue
        found: dict[str, Any] = {
            "latest_version": version,
            "direct_runtime_dependencies": len(shown.get("dependencies", ())),
        }
        if shown.get("license") in listed:
            found["license"] = shown["license"]
        finals = _finals(times)
        if (released := finals.get(version)) and _are_of_publication(finals):
            found["latest_release_date"] = released.isoformat()
            year_ago = today - dt.timedelta(days=365)
            found["final_releases_last_12_months"] = sum(day > year_ago for day in finals.values())
        facts[technology] = _located(found, f"metadata of {package} {version}")
    return Answers(facts, f"the registry knows npm {npm}", unanswered)


def _implausible(found: str, known: str | None) -> str:
    """Why a version is not believed beside the one known so far; "" when it is.

    A client that resolves for the wrong platform, a mirror that lags, a release taken back, a
    number published by mistake (1000.0.0): a person has to look, so nothing is learnt.
    """
    if known is None:
        return ""
    try:
        new, old = Version(found), Version(known)
    except InvalidVersion:
        return ""
    if new < old:
        return f"offers {found}, which is older than {known}, known so far"
    if new.major - old.major > TOO_FAR:
        return f"offers {found}, which is far beyond {known}, known so far"
    return ""


def _left_behind(latest: str, times: Mapping[str, str]) -> str:
    """Why a newest release is not believed when others came out long after it; "" when it is.

    A number that was published by mistake (1000.0.0) sorts above every release after it.
    """
    released, finals = whole_date(times.get(latest)), _finals(times)
    if released is None or not _are_of_publication(finals):
        return ""
    later = max(finals, key=lambda name: finals[name])
    if finals[later] - released <= LEFT_BEHIND:
        return ""
    return f"offers {latest} of {released}, although {later} came out on {finals[later]}"


def _finals(times: Mapping[str, str]) -> dict[str, dt.date]:
    """Final releases with the day each was published, as npm tells it."""
    return {
        name: day
        for name, when in times.items()
        if name not in ("created", "modified") and "-" not in name and (day := whole_date(when))
    }


def _are_of_publication(finals: Mapping[str, dt.date]) -> bool:
    """Whether the days can be those of publication: within one major line they follow the numbers.

    A mirror may tell the day on which it copied a release instead; that says nothing about the
    project.
    """
    lines: dict[int, list[tuple[Version, dt.date]]] = {}
    for name, day in finals.items():
        try:
            version = Version(name)
        except InvalidVersion:
            continue
        lines.setdefault(version.major, []).append((version, day))
    steps = [
        earlier[1] <= later[1]
        for line in lines.values()
        for earlier, later in pairwise(sorted(line))
    ]
    return sum(steps) >= IN_ORDER * len(steps)


def _located(found: Mapping[str, Any], locator: str) -> dict[str, Any]:
    return {name: {"value": value, "locator": locator} for name, value in found.items()}


def _python_licence(metadata: Mapping[str, Any], listed: set[str]) -> str | None:
    """The SPDX id that the package states, if it states one plainly."""
    for said in (metadata.get("license_expression"), metadata.get("license")):
        if said in listed:
            return str(said)
    named = {_TROVE[one] for one in metadata.get("classifier", ()) if one in _TROVE}
    return named.pop() if len(named) == 1 else None
