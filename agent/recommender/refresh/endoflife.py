"""Release lines and their ends, from endoflife.date data."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Mapping
from typing import Any

from agent.recommender.refresh.origin import CanaryFailed, Origin, Unreachable, parsed_yaml, quoted
from agent.recommender.refresh.reading import Facts, whole_date

_CANARY, _ENDED = "python", "3.8"
_DAYS_A_MONTH = 30.44
_NEWEST = 8  # release lines that the usual support is taken from


def read(
    origin: Origin, known_as: Mapping[str, str], as_of: dt.date
) -> tuple[Facts, dict[str, list[list[Any]]], str]:
    """Facts, release lines and the canary. known_as: technology id to product.

    origin: a checkout of the data (products/*.md), or the address of its API.
    Raises Unreachable when the canary product does not say that an old release line has ended.
    """
    canary = next((line for line in _lines(origin, _CANARY) if line["name"] == _ENDED), None)
    if canary is None or canary["ends"] is None or canary["ends"] > as_of:
        raise CanaryFailed(f"endoflife.date does not say that {_CANARY} {_ENDED} has ended")
    facts: Facts = {}
    cycles = {}
    for technology, product in known_as.items():
        try:
            lines = _lines(origin, product)
        except FileNotFoundError:
            continue
        if lines:
            facts[technology] = {
                attribute: {"value": value, "locator": f"products/{product}"}
                for attribute, value in _facts(lines, as_of).items()
            }
            cycles[technology] = [
                [line["name"], line["released"], line["ends"], line["latest"], line["lts"]]
                for line in lines
            ]
    return facts, cycles, f"{_CANARY} {_ENDED} ended on {canary['ends']}"


def _lines(origin: Origin, product: str) -> list[dict[str, Any]]:
    """Release lines, newest first: name, released, ends, open, latest, latest_on, lts."""
    if origin.is_address:
        rows = origin.json(f"{quoted(product)}.json")
        name, latest_on = "cycle", "latestReleaseDate"
    else:
        front = origin.content(f"products/{product}.md").split(b"\n---", 1)[0]
        rows = (parsed_yaml(front, product) or {}).get("releases", [])
        name, latest_on = "releaseCycle", "latestReleaseDate"
    if not isinstance(rows, list):
        raise Unreachable(f"endoflife.date: {product} is not a list of release lines")
    return [
        {
            "name": str(row[name]),
            "released": whole_date(row.get("releaseDate")),
            "ends": whole_date(row.get("eol")),
            "ended": row.get("eol") is True,
            "latest": str(row.get("latest") or row[name]),
            "latest_on": whole_date(row.get(latest_on)),
            "lts": bool(row.get("lts")),
        }
        for row in rows
    ]


def _facts(lines: list[dict[str, Any]], today: dt.date) -> dict[str, Any]:
    newest = lines[0]
    open_lines = [
        line
        for line in lines
        if not line["ended"] and (line["ends"] is None or line["ends"] > today)
    ]
    months = [
        (line["ends"] - line["released"]).days / _DAYS_A_MONTH
        for line in lines[:_NEWEST]
        if line["ends"] and line["released"] and line["ends"] > line["released"]
    ]
    found: dict[str, Any] = {
        "latest_version": newest["latest"],
        "supported_cycles": len(open_lines),
        "has_lts": any(line["lts"] for line in lines),
    }
    if newest["latest_on"]:
        found["latest_release_date"] = newest["latest_on"].isoformat()
    if newest["ends"]:
        found["latest_cycle_eol"] = newest["ends"].isoformat()
    if months:
        found["median_support_months"] = round(statistics.median(months), 1)
    return found
