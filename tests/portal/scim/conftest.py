"""Fixtures: acme's directory, and what the ledger says of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def entra(acme):
    """acme's directory."""
    from scim_peer import let_in

    return let_in(acme)


@pytest.fixture
def facts() -> Callable[..., list[dict[str, Any]]]:
    """What the ledger says of a company's changes by its directory, oldest first."""

    from evidence.models import Entry, Payload, StagedEntry
    from tenants.scope import tenant_scope

    def read(company, action: str = "directory.sync") -> list[dict[str, Any]]:
        with tenant_scope(company.scope):
            said = [(e.leaf, Payload.objects.get(pk=e.pk).body) for e in Entry.objects.all()]
            said += [(s.leaf, s.payload) for s in StagedEntry.objects.order_by("id")]
        found = []
        for leaf, payload in said:
            entry = json.loads(bytes(leaf))
            if entry["action"] == action:
                body = json.loads(bytes(payload)) if payload else {}
                found.append({**body, "object": entry["object"], "actor": entry["actor"]})
        return found

    return read
