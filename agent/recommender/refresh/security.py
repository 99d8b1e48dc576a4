"""Advisories, dependents and practices of projects. Off unless somebody names the address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.recommender.refresh.origin import CanaryFailed, Origin, Unreachable, quoted
from agent.recommender.refresh.reading import Facts

# A release with advisories that will not go away: no answer for it means no answer for any.
_CANARY = {"package": {"purl": "pkg:pypi/django@2.2.0"}}
_PRACTICES = "ossf/scorecard"


def read_osv(origin: Origin, purls: Mapping[str, str]) -> tuple[Facts, str]:
    """Known advisories of each package, whatever the version. purls: technology id to purl.

    Raises Unreachable when a package that has advisories comes back with none. A package that
    cannot be asked about is `unreachable`, never 0.
    """
    canary = len(origin.json("v1/query", _CANARY).get("vulns", ()))
    if not canary:
        raise CanaryFailed("OSV knows no advisory for Django 2.2.0, which has some")
    facts: Facts = {}
    for technology, purl in purls.items():
        try:
            answer = origin.json("v1/query", {"package": {"purl": purl}})
            count: Any = len({one["id"] for one in answer.get("vulns", ())})
        except (Unreachable, FileNotFoundError):
            count = "unreachable"
        facts[technology] = {"advisories_known": {"value": count, "locator": f"query of {purl}"}}
    return facts, f"Django 2.2.0 has {canary} advisories"


def read_deps_dev(origin: Origin, packages: Mapping[str, str]) -> tuple[Facts, str]:
    """Published versions of each package. packages: technology id to "system:name".

    Raises Unreachable when pip has no versions.
    """
    canary = len(origin.json("v3/systems/pypi/packages/pip").get("versions", ()))
    if not canary:
        raise CanaryFailed("deps.dev knows no version of pip")
    facts: Facts = {}
    for technology, name in packages.items():
        system, package = name.split(":", 1)
        try:
            answer = origin.json(f"v3/systems/{system}/packages/{quoted(package)}")
            count: Any = len(answer.get("versions", ()))
        except (Unreachable, FileNotFoundError):
            count = "unreachable"
        facts[technology] = {"published_versions": {"value": count, "locator": name}}
    return facts, f"pip has {canary} versions"


def read_scorecard(origin: Origin, repositories: Mapping[str, str]) -> tuple[Facts, str]:
    """OpenSSF Scorecard of each repository. repositories: technology id to owner/name.

    Raises Unreachable when the scorecard project itself has no score.
    """
    canary = origin.json(f"projects/github.com/{_PRACTICES}").get("score", 0)
    if not canary:
        raise CanaryFailed(f"no score for {_PRACTICES}")
    facts: Facts = {}
    for technology, repository in repositories.items():
        try:
            answer = origin.json(f"projects/github.com/{repository}")
            score: Any = answer["score"]
        except (Unreachable, FileNotFoundError, KeyError):
            score = "unreachable"
        facts[technology] = {"scorecard": {"value": score, "locator": repository}}
    return facts, f"{_PRACTICES} scores {canary}"
