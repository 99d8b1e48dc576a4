"""Maturity of projects, from the CNCF landscape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.recommender.refresh.origin import CanaryFailed, Origin, Unreachable
from agent.recommender.refresh.reading import Facts, whole_date


def read(origin: Origin, known_as: Mapping[str, str]) -> tuple[Facts, str]:
    """Facts and the canary. known_as: technology id to the item's name, or to its owner/repository.

    origin: landscape.yml as a file or address, or a checkout with that file.
    Raises Unreachable when Kubernetes is not a graduated project there.
    """
    try:
        content = origin.yaml("" if _is_file(origin) else "landscape.yml")
    except FileNotFoundError as problem:
        raise Unreachable(f"no landscape at {problem}") from problem
    items = list(_items(content))
    named = {item["name"]: item for item in items if item.get("project")}
    by_repository = {
        _repository(item["repo_url"]): item for item in named.values() if item.get("repo_url")
    }
    if named.get("Kubernetes", {}).get("project") != "graduated":
        raise CanaryFailed("the landscape does not list Kubernetes as graduated")
    facts: Facts = {}
    for technology, name in known_as.items():
        item = named.get(name) or by_repository.get(name.lower())
        if item is None:
            continue
        entry = {"value": item["project"], "locator": f"landscape.yml, {item['name']}"}
        facts[technology] = {"cncf_maturity": entry}
        if accepted := whole_date(item.get("extra", {}).get("accepted")):
            facts[technology]["cncf_accepted_date"] = {**entry, "value": accepted.isoformat()}
    return facts, f"Kubernetes is graduated, one of {len(named)} projects"


def _is_file(origin: Origin) -> bool:
    return origin.place.endswith((".yml", ".yaml"))


def _items(content: Any) -> Iterator[dict[str, Any]]:
    try:
        for category in content["landscape"]:
            for subcategory in category["subcategories"]:
                yield from subcategory["items"] or ()
    except (KeyError, TypeError) as problem:
        raise Unreachable("the landscape has another shape than expected") from problem


def _repository(address: str) -> str:
    return address.lower().removeprefix("https://github.com/").rstrip("/")
