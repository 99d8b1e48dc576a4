"""Licence, releases and activity of projects, from public lists that name their repository."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.recommender.refresh.origin import CanaryFailed, Origin, parsed_yaml
from agent.recommender.refresh.reading import Facts, whole_date

_REPOSITORY = re.compile(r"github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?(?:[/#\"'\s]|$)")
# Written out in one list; the others write SPDX.
_NAMES = {
    "MIT License": "MIT",
    "Apache License 2.0": "Apache-2.0",
    "GNU General Public License v3.0": "GPL-3.0-only",
    "GNU General Public License v2.0": "GPL-2.0-only",
    "GNU Affero General Public License v3.0": "AGPL-3.0-only",
    "GNU Lesser General Public License v3.0": "LGPL-3.0-only",
    "GNU Lesser General Public License v2.1": "LGPL-2.1-only",
    "Mozilla Public License 2.0": "MPL-2.0",
    'BSD 3-Clause "New" or "Revised" License': "BSD-3-Clause",
    'BSD 2-Clause "Simplified" License': "BSD-2-Clause",
    "ISC License": "ISC",
}
Row = tuple[str, str, dict[str, Any]]  # owner/repository in small letters, file, attributes


def read_wolfi(origin: Origin, known_as: Mapping[str, str], classes: Iterable[str]) -> Reading:
    """Packages of the Wolfi distribution: licence; each is signed, with a bill of materials."""

    def rows() -> Iterator[Row]:
        for path in _files(origin, "*.yaml"):
            document = parsed_yaml(path.read_bytes(), path.name)
            if not isinstance(document, dict) or "package" not in document:
                continue
            package, update = document["package"], document.get("update") or {}
            repository = (update.get("github") or {}).get("identifier", "")
            licences = [one.get("license", "") for one in package.get("copyright") or ()]
            yield (
                repository.lower(),
                path.name,
                {
                    "license": " AND ".join(dict.fromkeys(licences)),
                    "assurance.distribution_package": True,
                },
            )

    return _read(rows, known_as, classes, least=1000, what="Wolfi packages")


def read_selfhosted(origin: Origin, known_as: Mapping[str, str], classes: Iterable[str]) -> Reading:
    """Self-hosted software: licence, newest release, stars, commits of twelve months."""

    def rows() -> Iterator[Row]:
        for path in _files(origin, "software/*.yml"):
            one = parsed_yaml(path.read_bytes(), path.name)
            release = one.get("current_release") or {}
            history = list((one.get("commit_history") or {}).values())
            found = {
                "license": " OR ".join(one.get("licenses") or ()),
                "github_stars": one.get("stargazers_count"),
                "commits_last_12_months": sum(history[-13:-1]) if len(history) > 12 else None,
                "latest_version": str(release.get("tag") or "").removeprefix("v"),
                "latest_release_date": str(release.get("published_at") or ""),
            }
            yield _repository(one.get("source_code_url", "")), f"software/{path.name}", found

    return _read(rows, known_as, classes, least=500, what="entries")


def read_scoop(origin: Origin, known_as: Mapping[str, str], classes: Iterable[str]) -> Reading:
    """Command line tools packaged for Windows: licence."""

    def rows() -> Iterator[Row]:
        for path in _files(origin, "bucket/*.json"):
            one = json.loads(path.read_bytes())
            stated = one.get("license", "")
            if isinstance(stated, dict):
                stated = stated.get("identifier", "")
            found = {"license": stated.replace("|", " OR ").replace(",", " AND ")}
            check = one.get("checkver")
            where = [check.get("github", "")] if isinstance(check, dict) else []
            where += [one.get("homepage", ""), json.dumps(one.get("architecture", one.get("url")))]
            repository = next((name for place in where if (name := _repository(place))), "")
            yield repository, f"bucket/{path.name}", found

    return _read(rows, known_as, classes, least=500, what="manifests")


def read_static_analysis(
    origin: Origin, known_as: Mapping[str, str], classes: Iterable[str]
) -> Reading:
    """Analysis tools: licence."""

    def rows() -> Iterator[Row]:
        for path in _files(origin, "data/tools/*.yml"):
            one = parsed_yaml(path.read_bytes(), path.name)
            found = {"license": _NAMES.get(one.get("license", ""), one.get("license", ""))}
            yield _repository(one.get("source") or ""), f"data/tools/{path.name}", found

    return _read(rows, known_as, classes, least=300, what="tools")


def read_cdnjs(origin: Origin, known_as: Mapping[str, str], classes: Iterable[str]) -> Reading:
    """Browser libraries: licence."""

    def rows() -> Iterator[Row]:
        for path in _files(origin, "packages/*/*.json"):
            one = json.loads(path.read_bytes())
            place = (one.get("repository") or {}).get("url", "")
            name = f"packages/{path.parent.name}/{path.name}"
            yield _repository(place), name, {"license": one.get("license") or ""}

    return _read(rows, known_as, classes, least=1000, what="libraries")


Reading = tuple[Facts, str]


def _read(
    rows: Callable[[], Iterator[Row]],
    known_as: Mapping[str, str],
    classes: Iterable[str],
    *,
    least: int,
    what: str,
) -> Reading:
    """Facts and the canary. Raises Unreachable when the list is shorter than it can be.

    known_as: technology id to owner/repository. Of several files for one repository the one with
    the shortest name counts: the others are its parts and older lines.
    """
    listed = set(classes)
    count = 0
    best: dict[str, tuple[str, dict[str, Any]]] = {}
    for repository, name, found in rows():
        count += 1
        if repository and (repository not in best or len(name) < len(best[repository][0])):
            best[repository] = (name, found)
    if count < least:
        raise CanaryFailed(f"{count} {what}; at least {least} were expected")
    facts: Facts = {}
    for technology, repository in known_as.items():
        if (row := best.get(repository.lower())) is None:
            continue
        name, found = row
        kept = {
            attribute: {"value": value, "locator": name}
            for attribute, value in found.items()
            if value not in ("", None) and (attribute != "license" or _is_known(value, listed))
        }
        if kept.get("latest_release_date") and not whole_date(kept["latest_release_date"]["value"]):
            del kept["latest_release_date"]
        if kept:
            facts[technology] = kept
    return facts, f"{count} {what}"


def _is_known(expression: str, listed: set[str]) -> bool:
    return all(part.strip("() ") in listed for part in re.split(r" OR | AND ", expression))


def _repository(address: str) -> str:
    found = _REPOSITORY.search(address or "")
    return found[1].lower() if found else ""


def _files(origin: Origin, pattern: str) -> list[Path]:
    return sorted(origin.folder.glob(pattern))
