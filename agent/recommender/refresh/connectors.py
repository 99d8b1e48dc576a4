"""The table of connectors, with the one way to run them."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.recommender.catalogue import Catalogue, Technology
from agent.recommender.refresh import cncf, endoflife, lists, packages, security
from agent.recommender.refresh.origin import Origin, Unreachable
from agent.recommender.refresh.reading import Facts, Reading


@dataclass(frozen=True, slots=True)
class Connector:
    """One source of facts.

    source: its key in sources.yaml, and so its grade. listed_under: the key of a technology's
    known_as. from_place: reads a folder, file or address; otherwise a package client does, where
    no place is named. by_default: part of a plain refresh; the others run only when they are named.
    canary: the known fact that has to read as known. address: where the public keeps it; "" when
    it is read from a folder only. asks_each: one question for each technology.
    """

    name: str
    title: str
    source: str
    listed_under: str
    from_place: bool
    by_default: bool
    run: Callable[[Origin, Mapping[str, str], Catalogue, dt.date], Reading]
    canary: str
    address: str = ""
    asks_each: bool = False

    def listed(self, catalogue: Catalogue) -> dict[str, str]:
        """Technology id to the name under which the source lists it."""
        return {
            technology.id: name
            for technology in catalogue.technologies.values()
            if (name := _listed(technology, self.listed_under))
        }


def read(
    connector: Connector,
    origin: Origin,
    catalogue: Catalogue,
    today: dt.date,
    only: frozenset[str] = frozenset(),
) -> Reading:
    """Read a source anew for every technology that it lists, or for the ids in `only`.

    Raises Unreachable when it does not answer or its canary fails; nothing is then learnt.
    """
    known_as = {
        identity: name
        for identity, name in connector.listed(catalogue).items()
        if not only or identity in only
    }
    try:
        return connector.run(origin, known_as, catalogue, today)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as problem:
        # Sources change their shape without telling; that is no reason to believe half of it.
        raise Unreachable(
            f"{connector.title} answers in another shape than expected ({problem!r})"
        ) from problem
    except FileNotFoundError as problem:
        raise Unreachable(f"{connector.title}: nothing at {problem}") from problem


def _listed(technology: Technology, key: str) -> str:
    """The name under which the source lists the technology; "" when it does not."""
    if key == "purl":
        return technology.purl if technology.purl.startswith(("pkg:pypi/", "pkg:npm/")) else ""
    return technology.known_as.get(key, "")


def _version(origin: Origin, today: dt.date) -> tuple[dt.date, str]:
    """The day a source's content is from, with its revision: of a checkout, its newest commit."""
    if not origin.place or origin.is_address:
        return today, ""
    path = Path(origin.place)
    folder = path if path.is_dir() else path.parent
    done = subprocess.run(
        ["git", "-C", str(folder), "log", "-1", "--format=%cs %h"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return today, ""
    day, revision = done.stdout.split()
    return dt.date.fromisoformat(day), f" @{revision}"


def _list(
    where: str,
    reader: Callable[[Origin, Mapping[str, str], list[str]], tuple[Facts, str]],
    key: str,
) -> Callable[[Origin, Mapping[str, str], Catalogue, dt.date], Reading]:
    def run(
        origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
    ) -> Reading:
        as_of, revision = _version(origin, today)
        facts, canary = reader(origin, known_as, list(catalogue.licence_classes))
        return Reading(key, f"{where}{revision}", as_of, today, canary, facts)

    return run


def _endoflife(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    as_of, revision = _version(origin, today)
    facts, cycles, canary = endoflife.read(origin, known_as, today)
    where = f"endoflife-date/endoflife.date{revision}"
    return Reading("endoflife", where, as_of, today, canary, facts, cycles)


def _cncf(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    as_of, revision = _version(origin, today)
    facts, canary = cncf.read(origin, known_as)
    return Reading("cncf-landscape", f"cncf/landscape{revision}", as_of, today, canary, facts)


def _pypi(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    asked = packages.pypi_json(origin) if origin.place else packages.pip_report
    told = packages.read_pypi(
        known_as, catalogue.licence_classes, asked, newest=_newest(known_as, catalogue)
    )
    return _of_registry("pypi", "Python package index", told, catalogue, today)


def _npm(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    asked = packages.npm_json(origin) if origin.place else packages.npm_view
    told = packages.read_npm(
        known_as, catalogue.licence_classes, today, asked, newest=_newest(known_as, catalogue)
    )
    return _of_registry("npm", "npm registry", told, catalogue, today)


def _newest(known_as: Mapping[str, str], catalogue: Catalogue) -> dict[str, str]:
    """The version of each technology that the catalogue knows as its newest."""
    found = {name: catalogue.facts.get(f"{name}.latest_version") for name in known_as}
    return {name: str(fact.value) for name, fact in found.items() if fact and fact.value}


def _of_registry(
    source: str, where: str, told: packages.Answers, catalogue: Catalogue, today: dt.date
) -> Reading:
    for technology, facts in told.facts.items():
        if catalogue.technologies[technology].kind == "service":
            # The licence of a service's client says nothing about the terms of the service.
            facts.pop("license", None)
    return Reading(source, where, today, today, told.canary, told.facts, unanswered=told.unanswered)


def _osv(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    facts, canary = security.read_osv(origin, known_as)
    return Reading("osv", "OSV", today, today, canary, facts)


def _deps_dev(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    named = {
        technology: purl.removeprefix("pkg:").replace("/", ":", 1).replace("%40", "@")
        for technology, purl in known_as.items()
    }
    facts, canary = security.read_deps_dev(origin, named)
    return Reading("deps-dev", "deps.dev", today, today, canary, facts)


def _scorecard(
    origin: Origin, known_as: Mapping[str, str], catalogue: Catalogue, today: dt.date
) -> Reading:
    facts, canary = security.read_scorecard(origin, known_as)
    return Reading("scorecard", "OpenSSF Scorecard", today, today, canary, facts)


CONNECTORS: dict[str, Connector] = {
    row.name: row
    for row in (
        Connector(
            "endoflife",
            "endoflife.date",
            "endoflife",
            "endoflife",
            True,
            True,
            _endoflife,
            canary="Python 3.8 has ended",
            address="https://endoflife.date/api",
            asks_each=True,
        ),
        Connector(
            "cncf",
            "CNCF landscape",
            "cncf-landscape",
            "github",
            True,
            True,
            _cncf,
            canary="Kubernetes is graduated",
            address="https://raw.githubusercontent.com/cncf/landscape/master/landscape.yml",
        ),
        Connector(
            "pypi",
            "Python package index",
            "pypi",
            "pypi",
            False,
            True,
            _pypi,
            canary="the index knows pip and its version",
            address="https://pypi.org",
            asks_each=True,
        ),
        Connector(
            "npm",
            "npm registry",
            "npm",
            "npm",
            False,
            True,
            _npm,
            canary="the registry knows npm and its version",
            address="https://registry.npmjs.org",
            asks_each=True,
        ),
        *(
            Connector(name, title, name, "github", True, True, _list(*about), canary=canary)
            for name, title, canary, about in (
                (
                    "wolfi",
                    "Wolfi packages",
                    "there are at least 1,000 packages",
                    ("wolfi-dev/os", lists.read_wolfi, "wolfi"),
                ),
                (
                    "selfhosted",
                    "Awesome-Selfhosted data",
                    "there are at least 500 entries",
                    (
                        "awesome-selfhosted/awesome-selfhosted-data",
                        lists.read_selfhosted,
                        "selfhosted",
                    ),
                ),
                (
                    "scoop",
                    "Scoop manifests",
                    "there are at least 500 manifests",
                    ("ScoopInstaller/Main", lists.read_scoop, "scoop"),
                ),
                (
                    "static-analysis",
                    "Analysis tools list",
                    "there are at least 300 tools",
                    (
                        "analysis-tools-dev/static-analysis",
                        lists.read_static_analysis,
                        "static-analysis",
                    ),
                ),
                (
                    "cdnjs",
                    "cdnjs packages",
                    "there are at least 1,000 packages",
                    ("cdnjs/packages", lists.read_cdnjs, "cdnjs"),
                ),
            )
        ),
        Connector(
            "osv",
            "OSV",
            "osv",
            "purl",
            True,
            False,
            _osv,
            canary="Django 2.2.0 has advisories",
            address="https://api.osv.dev",
            asks_each=True,
        ),
        Connector(
            "deps-dev",
            "deps.dev",
            "deps-dev",
            "purl",
            True,
            False,
            _deps_dev,
            canary="pip has versions",
            address="https://api.deps.dev",
            asks_each=True,
        ),
        Connector(
            "scorecard",
            "OpenSSF Scorecard",
            "scorecard",
            "github",
            True,
            False,
            _scorecard,
            canary="the Scorecard project itself has a score",
            address="https://api.scorecard.dev",
            asks_each=True,
        ),
    )
}
