"""A small catalogue of our own making, shaped as OSCAL wants it."""

import json
from typing import Any


def small_catalogue(title: str = "House rules", **also: Any) -> bytes:
    """Two groups: X with X-1, its enhancement X-1(1) and X-2, which is withdrawn; Y with Y-1."""

    def control(key: str, said: str, *props: tuple[str, str], **more: Any) -> dict[str, Any]:
        named = [{"name": name, "value": value} for name, value in props]
        return {"id": key, "title": said, "props": named, **more}

    inner = control("x-1.1", "Locks are oiled", ("label", "X-1(1)"))
    first = control("x-1", "Doors have locks", ("label", "X-1"), ("level", "2"), controls=[inner])
    first["props"].append({"name": "label", "class": "zero-padded", "value": "X-01"})
    first["parts"] = [{"name": "statement", "prose": "The text of others, which is not taken."}]
    gone = control("x-2", "Windows are bricked up", ("label", "X-2"), ("status", "withdrawn"))
    last = control("y-1", "Changes are reviewed", ("label", "Y-1"))
    catalogue = {
        "uuid": "00000000-0000-4000-8000-000000000000",
        "metadata": {"title": title, "version": "1.0", "oscal-version": "1.1.3"},
        "groups": [
            {"id": "x", "title": "Doors", "controls": [first, gone]},
            {"id": "y", "title": "Changes", "controls": [last]},
        ],
    }
    return json.dumps({"catalog": catalogue | also}).encode()


def small_profile(*keys: str) -> bytes:
    """A profile that names those controls."""
    chosen = [{"href": "#x", "include-controls": [{"with-ids": list(keys)}]}]
    return json.dumps({"profile": {"imports": chosen}}).encode()
