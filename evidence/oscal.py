"""Tells the coverage of a pack to other tools: OSCAL assessment results, CycloneDX attestations."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import rfc8785

from evidence.controls import Framework

OSCAL_VERSION = "1.1.3"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://countersign.invalid/oscal")


def assessment_results(
    rows: Sequence[Mapping[str, Any]],
    known: Sequence[Framework],
    *,
    pack: str,
    title: str,
    at: datetime,
) -> bytes:
    """OSCAL assessment results as canonical JSON: what was examined, with references into the pack.

    rows: of evidence.controls.coverage(). There are observations and no findings, because a
    finding in OSCAL says "satisfied" or "not satisfied", which is for an auditor to say.
    pack: names the pack; the same one always gets the same ids.
    """
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    results = []
    for framework in known:
        own = [row for row in rows if row["framework"] == framework.title]
        if not own:
            continue
        shown = [row for row in own if row["evidence"]]
        result: dict[str, Any] = {
            "uuid": _uuid(pack, framework.id),
            "title": f"Evidence for {framework.title}",
            "description": f"{len(shown)} of {len(own)} controls have evidence in this pack. "
            "This states what was recorded, not that a control is met.",
            "start": moment,
            "end": moment,
            "reviewed-controls": {
                "control-selections": [
                    {"include-controls": [{"control-id": control_id(row["id"])} for row in own]}
                ]
            },
        }
        if shown:
            result["observations"] = [_observation(pack, framework, row, moment) for row in shown]
        results.append(result)
    return rfc8785.dumps(
        {
            "assessment-results": {
                "uuid": _uuid(pack, "assessment-results"),
                "metadata": {
                    "title": title,
                    "last-modified": moment,
                    "version": "1",
                    "oscal-version": OSCAL_VERSION,
                },
                "import-ap": {
                    "href": "../scope.json",
                    "remarks": "There is no assessment plan in OSCAL; scope.json says what was "
                    "asked for.",
                },
                "results": results,
            }
        }
    )


def attestations(
    rows: Sequence[Mapping[str, Any]],
    known: Sequence[Framework],
    *,
    pack: str,
    tenant: str,
    at: datetime,
) -> bytes:
    """The same as CycloneDX 1.6 declarations (CDXA), canonical JSON. No score is given."""
    shown = [row for row in rows if row["evidence"]]
    by_title = {framework.title: framework for framework in known}
    used = {row["framework"] for row in rows}
    names = {id(row): f"{by_title[row['framework']].id}:{row['id']}" for row in shown}
    return rfc8785.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{_uuid(pack, 'cdxa')}",
            "version": 1,
            "metadata": {"timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")},
            "definitions": {
                "standards": [
                    {
                        "bom-ref": framework.id,
                        "name": framework.title,
                        "version": framework.version,
                        "requirements": [
                            {
                                "bom-ref": control.name,
                                "identifier": control.id,
                                "title": control.wording,
                            }
                            for control in framework.controls
                        ],
                    }
                    for framework in known
                    if framework.title in used
                ]
            },
            "declarations": {
                "assessors": [
                    {
                        "bom-ref": "countersign",
                        "thirdParty": False,
                        "organization": {"name": "Countersign, rules of schemas/controls"},
                    }
                ],
                "targets": {"organizations": [{"bom-ref": "tenant", "name": tenant}]},
                "evidence": [
                    {
                        "bom-ref": f"evidence:{names[id(row)]}",
                        "propertyName": "references into the pack",
                        "description": row["strength"],
                        "data": [{"name": _reference(one)} for one in row["evidence"]],
                    }
                    for row in shown
                ],
                "claims": [
                    {
                        "bom-ref": f"claim:{names[id(row)]}",
                        "target": "tenant",
                        "predicate": row["note"] or row["title"],
                        "evidence": [f"evidence:{names[id(row)]}"],
                    }
                    for row in shown
                ],
                "attestations": [
                    {
                        "summary": "What this pack holds evidence for; no conformance is claimed.",
                        "assessor": "countersign",
                        "map": [
                            {
                                "requirement": names[id(row)],
                                "claims": [f"claim:{names[id(row)]}"],
                            }
                            for row in shown
                        ],
                    }
                ],
            },
        }
    )


def control_id(name: str) -> str:
    """An id as OSCAL tokens are written."""
    return name.lower()


def _observation(
    pack: str, framework: Framework, row: Mapping[str, Any], moment: str
) -> dict[str, Any]:
    return {
        "uuid": _uuid(pack, f"{framework.id}:{row['id']}"),
        "title": f"{row['id']}: {row['title']}",
        "description": row["note"] or row["title"],
        "props": [
            {"name": "strength", "ns": "urn:countersign", "value": row["strength"]},
            {"name": "control-id", "ns": "urn:countersign", "value": control_id(row["id"])},
        ],
        "methods": ["EXAMINE"],
        "relevant-evidence": [
            {"href": f"../{one['file']}", "description": "a file of this pack"}
            if "file" in one
            else {
                "href": "../log/entries.jsonl",
                "description": f"entry {one['entry']} of the log",
            }
            for one in row["evidence"]
        ],
        "collected": moment,
    }


def _reference(one: Mapping[str, Any]) -> str:
    return str(one["file"]) if "file" in one else f"entry {one['entry']} in log/entries.jsonl"


def _uuid(pack: str, name: str) -> str:
    # OSCAL wants the fourth or fifth kind of id; this one follows from what it names.
    return str(uuid.uuid5(NAMESPACE, f"{pack}/{name}"))
