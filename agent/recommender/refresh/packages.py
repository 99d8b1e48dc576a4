"""Licence, version and requirements of packages, through pip and npm as they are configured."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.recommender.refresh.origin import Unreachable, client
from agent.recommender.refresh.reading import Facts, whole_date

Asked = Callable[[str], dict[str, Any]]
_PIP = (
    *("pip", "install", "--dry-run", "--ignore-installed", "--no-deps"),
    # For a new Python, else pip stops at what its own can run; the target is never made.
    *("--only-binary", ":all:", "--python-version", "3.14", "--target", "unused"),
    *("--quiet", "--disable-pip-version-check", "--report", "-"),
)
_TROVE = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
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
    shown = client(["npm", "view", package, "--json", "name", "version", "license", "time"])
    return shown if isinstance(shown, dict) else shown[-1]


def read_pypi(
    known_as: Mapping[str, str], classes: Iterable[str], asked: Asked = pip_report
) -> tuple[Facts, str]:
    """Facts and the canary. classes: SPDX ids that the catalogue knows; others are left out.

    known_as: technology id to package. Raises Unreachable when pip cannot tell about itself.
    """
    canary = asked("pip")
    if canary.get("name") != "pip" or not canary.get("version"):
        raise Unreachable("the Python package index does not know pip")
    listed = set(classes)
    facts: Facts = {}
    for technology, package in known_as.items():
        metadata = asked(package)
        found: dict[str, Any] = {"latest_version": metadata["version"]}
        if licence := _python_licence(metadata, listed):
            found["license"] = licence
        if requires := metadata.get("requires_python"):
            found["requires_python"] = requires
        found["direct_runtime_dependencies"] = sum(
            "extra ==" not in one for one in metadata.get("requires_dist", ())
        )
        facts[technology] = _located(found, f"metadata of {package} {metadata['version']}")
    return facts, f"the index knows pip {canary['version']}"


def read_npm(
    known_as: Mapping[str, str], classes: Iterable[str], today: dt.date, asked: Asked = npm_view
) -> tuple[Facts, str]:
    """Facts and the canary, as read_pypi() does. Raises Unreachable when npm is not known."""
    canary = asked("npm")
    if canary.get("name") != "npm" or not canary.get("version"):
        raise Unreachable("the npm registry does not know npm")
    listed = set(classes)
    facts: Facts = {}
    for technology, package in known_as.items():
        shown = asked(package)
        version, times = shown["version"], shown.get("time", {})
        found: dict[str, Any] = {"latest_version": version}
        if shown.get("license") in listed:
            found["license"] = shown["license"]
        if released := whole_date(times.get(version)):
            found["latest_release_date"] = released.isoformat()
            year_ago = today - dt.timedelta(days=365)
            found["final_releases_last_12_months"] = sum(
                "-" not in name and (day := whole_date(when)) is not None and day > year_ago
                for name, when in times.items()
                if name not in ("created", "modified")
            )
        facts[technology] = _located(found, f"metadata of {package} {version}")
    return facts, f"the registry knows npm {canary['version']}"


def _located(found: Mapping[str, Any], locator: str) -> dict[str, Any]:
    return {name: {"value": value, "locator": locator} for name, value in found.items()}


def _python_licence(metadata: Mapping[str, Any], listed: set[str]) -> str | None:
    """The SPDX id that the package states, if it states one plainly."""
    for said in (metadata.get("license_expression"), metadata.get("license")):
        if said in listed:
            return str(said)
    named = {_TROVE[one] for one in metadata.get("classifier", ()) if one in _TROVE}
    return named.pop() if len(named) == 1 else None
