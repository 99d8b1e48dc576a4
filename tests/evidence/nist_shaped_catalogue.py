"""Catalogues as NIST publishes them, in miniature: shapes and properties theirs, sentences ours.

They were checked by hand against NIST's JSON schema for OSCAL catalogues (1.2). The real files are
too large to be kept here, and no package has them; `docs/controls.md` says what came of those.
"""

import json
from typing import Any

SORT = "sort-id"


def sp800_53() -> bytes:
    """As SP 800-53 revision 5: labels, padded labels, parameters, enhancements, one withdrawn."""

    def control(key: str, title: str, label: str, padded: str, **more: Any) -> dict[str, Any]:
        props = [
            {"name": "label", "class": "zero-padded", "value": padded},
            {"name": "label", "value": label},
            {"name": "label", "class": "sp800-53a", "value": padded},
            {"name": SORT, "value": padded.lower()},
            {
                "name": "implementation-level",
                "ns": "https://csrc.nist.gov/ns/rmf",
                "value": "organization",
            },
        ]
        statement = {
            "id": f"{key}_smt",
            "name": "statement",
            "parts": [
                {
                    "id": f"{key}_smt.a",
                    "name": "item",
                    "props": [{"name": "label", "value": "a."}],
                    "prose": f"Do it with {{{{ insert: param, {key}_prm_1 }}}}.",
                }
            ],
        }
        row = {
            "id": key,
            "class": "SP800-53-enhancement" if "." in key else "SP800-53",
            "title": title,
            "params": [{"id": f"{key}_prm_1", "label": "frequency"}],
            "props": props,
            "links": [{"href": "#a", "rel": "reference"}],
            "parts": [statement],
        }
        return row | more

    gone = {
        "id": "ac-2.10",
        "class": "SP800-53-enhancement",
        "title": "Credentials of groups",
        "props": [
            {"name": "label", "value": "AC-2(10)"},
            {"name": "status", "value": "withdrawn"},
        ],
        "links": [{"href": "#ac-2", "rel": "incorporated-into"}],
    }
    first = control("ac-2.1", "Machines keep accounts", "AC-2(1)", "AC-02(01)")
    return _catalogue(
        "Special controls, revision 5",
        [
            {
                "id": "ac",
                "class": "family",
                "title": "Access Control",
                "controls": [
                    control("ac-1", "Policy and procedures", "AC-1", "AC-01"),
                    control("ac-2", "Accounts", "AC-2", "AC-02", controls=[first, gone]),
                ],
            },
            {
                "id": "sr",
                "class": "family",
                "title": "Supply Chain",
                "controls": [control("sr-3", "Suppliers are looked at", "SR-3", "SR-03")],
            },
        ],
    )


def ssdf() -> bytes:
    """As the SSDF: practices whose label is a sentence, tasks whose title is their id."""

    def task(key: str, said: str) -> dict[str, Any]:
        return {
            "id": key,
            "class": "task",
            "title": key,
            "props": [{"name": SORT, "value": "000001"}, {"name": "label", "value": key}],
            "links": [{"href": "#b", "rel": "external_reference", "text": "1.1"}],
            "parts": [
                {"id": f"statement_{key}", "name": "statement", "prose": said},
                {"id": f"{key}.1", "name": "example", "title": "Example 1:", "prose": "So."},
            ],
        }

    practice = {
        "id": "PO.1",
        "class": "practice",
        "title": "Requirements of security are known",
        "props": [{"name": "label", "value": "Requirements of security are known (PO.1)"}],
        "parts": [{"id": "statement_PO.1", "name": "statement", "prose": "All the time."}],
        "controls": [
            task("PO.1.1", "Write down what the toolchain has to hold."),
            task("PO.1.2", "Write down what the product has to hold."),
        ],
    }
    group = {"id": "PO", "class": "group", "title": "Prepare", "controls": [practice]}
    return _catalogue("Secure development in miniature", [group])


def profile(*keys: str) -> bytes:
    """A baseline, as those of SP 800-53B."""
    uuid = "10000000-0000-4000-8000-000000000000"
    imports = [{"href": f"#{uuid}", "include-controls": [{"with-ids": list(keys)}]}]
    return json.dumps(
        {"profile": {"uuid": uuid, "metadata": _metadata("Baseline"), "imports": imports}}
    ).encode()


def _catalogue(title: str, groups: list[dict[str, Any]]) -> bytes:
    uuid = "20000000-0000-4000-8000-000000000000"
    catalogue = {"uuid": uuid, "metadata": _metadata(title), "groups": groups}
    return json.dumps({"catalog": catalogue}).encode()


def _metadata(title: str) -> dict[str, Any]:
    return {
        "title": title,
        "last-modified": "2026-01-05T00:00:00.000000-00:00",
        "version": "5.1.1+u4",
        "oscal-version": "1.1.3",
        "roles": [{"id": "creator", "title": "Document creator"}],
    }
