"""The audit pages: entries of the ledger, the proof of each, the state of the log."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from agent.log_search import MOST, Wanted, export_entries, matching
from authz.decisions import may, require
from authz.errors import BadRequest
from authz.people import AsTenant
from authz.permissions import Permission
from evidence import ledger
from evidence.leaf import commitment
from evidence.merkle import ProofError, leaf_hash, root_from_inclusion
from evidence.models import Checkpoint, Entry, LogHead, LogKey, Payload, StagedEntry
from evidence.notes import NoteFault, verify_checkpoint
from evidence.signing import VerifierKey
from portal.http import PortalRequest
from portal.pages import words
from portal.pages.log_pictures import Step, steps_to_root, way_up
from tenants.models import Project, User
from tenants.scope import current_tenant_id

ROWS = 30  # on one page
# Object of an entry -> the page about it.
PAGES = {
    "task": "recommendation",
    "proposal": "proposal",
    "pack": "pack",
    "controldocument": "document",
    "logcheck": "log-check",
    "policyversion": "policy-version",
}
OUTCOMES = ("ok", "denied", "failed")
# Door of an entry -> what people call it.
DOORS = {
    "page": "a page",
    "api": "the API",
    "job": "a job",
    "cli": "the command line",
    "scim": "the directory",
}
CONTENT_TYPES = {"csv": "text/csv", "jsonl": "application/x-ndjson"}


@require_GET
def listing(request: PortalRequest) -> HttpResponse:
    """Sealed entries, newest first, as filtered by the address."""
    _require_view(request)
    wanted = Wanted.said_in(request.GET)
    errors: dict[str, str] = {}
    try:
        rows = matching(wanted)
    except BadRequest as refusal:
        errors, rows = refusal.errors, Entry.objects.none()
    page = _page(request, rows.defer("leaf", "leaf_hash"))
    context = {
        "page": [(entry, words.done(entry.action, entry.object_type)) for entry in page.entries],
        "newer": page.newer,
        "older": page.older,
        "wanted": wanted,
        "errors": errors,
        "filtered": bool(wanted.filters),
        "filters": wanted.filters,
        "most": MOST,
        "actions": sorted(map(str, words.DEEDS)),
        "outcomes": OUTCOMES,
        "doors": DOORS,
        "projects": Project.objects.order_by("name"),
        "may_export": may(request.actor, Permission.LEDGER_EXPORT, AsTenant(current_tenant_id())),
        "may_verify": may(request.actor, Permission.LEDGER_VERIFY, AsTenant(current_tenant_id())),
        **_log_state(),
    }
    return render(request, "ledger/list.html", context)


@require_GET
def export(request: PortalRequest, kind: str) -> HttpResponse:
    """What the list shows under the same filters, as a file; recorded in the ledger."""
    _require_view(request)
    content = export_entries(Wanted.said_in(request.GET), kind, by=request.actor)
    return HttpResponse(
        content,
        content_type=f"{CONTENT_TYPES[kind]}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="ledger.{kind}"'},
    )


@require_GET
def entry(request: PortalRequest, index: int) -> HttpResponse:
    """One entry in plain words, with its proof worked out while you wait."""
    _require_view(request)
    found = get_object_or_404(Entry, index=index)
    payload = Payload.objects.filter(pk=found.pk).first()
    checkpoint = Checkpoint.objects.order_by("-size").first()
    key = LogKey.objects.order_by("-valid_from").first()
    proof = ledger.proof(found, checkpoint) if checkpoint else []
    said = found.said
    steps = steps_to_root(index, checkpoint.size, proof) if proof and checkpoint else []
    context = {
        "entry": found,
        "did": words.done(found.action, found.object_type),
        "said": said,
        "behalf": _name_of(said["actor"]["on_behalf_of"]),
        "leaf": json.dumps(said, indent=2, ensure_ascii=False),
        "facts": list(_rows(payload.facts)) if payload else [],
        "page_name": _page_about(found),
        "checks": _checks(found, payload, checkpoint, key, proof),
        "leaf_hash": bytes(found.leaf_hash).hex(),
        "steps": steps,
        "way": way_up(index, steps, _way_in_words(index, steps)) if steps else "",
        "proof": [b64encode(sibling).decode() for sibling in proof],
        "checkpoint": checkpoint,
        "previous": index - 1 if index else None,
        "next": index + 1 if Entry.objects.filter(index=index + 1).exists() else None,
    }
    return render(request, "ledger/entry.html", context)


@dataclass(frozen=True)
class Page:
    """Some entries, with the index to go on from in either direction, if there is more."""

    entries: list[Entry]
    newer: int | None = None
    older: int | None = None


@dataclass(frozen=True)
class ProofCheck:
    """One thing that was verified just now."""

    what: str
    ok: bool
    detail: str


def _require_view(request: PortalRequest) -> None:
    require(request.actor, Permission.LEDGER_VIEW, AsTenant(current_tenant_id()))


def _page(request: PortalRequest, rows: QuerySet[Entry]) -> Page:
    before, after = (_index(request.GET.get(name)) for name in ("before", "after"))
    if after is not None:
        # One row more than is shown tells whether there are still newer ones.
        found = list(rows.filter(index__gt=after).order_by("index")[: ROWS + 1])
        shown = found[ROWS - 1 :: -1]
        newer = len(found) > ROWS
        return Page(shown, shown[0].index if newer else None, shown[-1].index if shown else None)
    if before is not None:
        rows = rows.filter(index__lt=before)
    found = list(rows.order_by("-index")[: ROWS + 1])
    shown = found[:ROWS]
    older = len(found) > ROWS
    newer_from = shown[0].index if shown and before is not None else None
    return Page(shown, newer_from, shown[-1].index if older else None)


def _index(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None


def _log_state() -> dict[str, Any]:
    key = LogKey.objects.order_by("-valid_from").first()
    head = LogHead.objects.first()
    return {
        "size": head.size if head else 0,
        "staged": StagedEntry.objects.count(),
        "checkpoint": Checkpoint.objects.order_by("-size").first(),
        "key": key,
        "key_id": VerifierKey.parse(key.vkey).key_id if key else "",
    }


def _way_in_words(index: int, steps: list[Step]) -> str:
    return f"Entry {index} and {len(steps)} hashes beside it lead to the signed root"


def _name_of(account: str | None) -> str:
    """Who that is today; the id itself when there is no such account any more."""
    if account is None:
        return ""
    user = User.objects.filter(pk=account).only("name").first()
    return user.name if user else account


def _page_about(found: Entry) -> str | None:
    """Name of the page about its object, if there is one. Exports share theirs."""
    of_export = found.action.startswith(("export.", "tenant.export"))
    return None if of_export else PAGES.get(found.object_type)


def _rows(fact: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every fact; what lies deeper is named by its path."""
    if isinstance(fact, dict) and (fact or not name):
        for key, value in fact.items():
            yield from _rows(value, f"{name} / {key}" if name else key)
    elif isinstance(fact, list) and all(isinstance(item, str) for item in fact):
        yield name, ", ".join(fact)
    else:
        yield name, fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)


def _checks(
    found: Entry,
    payload: Payload | None,
    checkpoint: Checkpoint | None,
    key: LogKey | None,
    proof: list[bytes],
) -> list[ProofCheck]:
    checks = [_leaf_check(found)]
    if found.said["payload"]:
        checks.append(_payload_check(found, payload))
    if checkpoint and key:
        checks += [
            _inclusion_check(found, checkpoint, proof),
            _signature_check(checkpoint, key),
        ]
    return checks


def _leaf_check(found: Entry) -> ProofCheck:
    same = leaf_hash(bytes(found.leaf)) == bytes(found.leaf_hash)
    return ProofCheck(
        "The entry hashes to its leaf hash", same, "SHA-256 over a zero byte with the entry"
    )


def _payload_check(found: Entry, payload: Payload | None) -> ProofCheck:
    what = "The facts are the ones committed to"
    if payload is None:
        return ProofCheck(what, True, "they were erased; the commitment stays in the entry")
    fits = (
        commitment(bytes(payload.salt), bytes(payload.body)) == found.said["payload"]["commitment"]
    )
    return ProofCheck(what, fits, "HMAC-SHA-256 under the entry's own salt")


def _inclusion_check(found: Entry, checkpoint: Checkpoint, proof: list[bytes]) -> ProofCheck:
    what = "It stands in the log"
    try:
        root = root_from_inclusion(
            found.index, checkpoint.size, leaf_hash(bytes(found.leaf)), proof
        )
    except ProofError as fault:
        return ProofCheck(what, False, str(fault))
    return ProofCheck(
        what,
        root == bytes(checkpoint.root),
        f"{len(proof)} hashes lead to the root over {checkpoint.size:,} entries (RFC 9162)",
    )


def _signature_check(checkpoint: Checkpoint, key: LogKey) -> ProofCheck:
    what = "The root is signed"
    try:
        head = verify_checkpoint(checkpoint.note, VerifierKey.parse(key.vkey))
    except NoteFault as fault:
        return ProofCheck(what, False, str(fault))
    same = (head.size, head.root) == (checkpoint.size, bytes(checkpoint.root))
    return ProofCheck(what, same, f"Ed25519, key {VerifierKey.parse(key.vkey).key_id}")
