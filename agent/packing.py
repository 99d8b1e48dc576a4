"""What goes into every evidence pack: disclosed entries, decisions, coverage, the configuration."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC
from importlib.metadata import version
from typing import Any

from django.db.models import Count

from agent.control_documents import facts_in_force
from agent.models import Proposal, Review
from agent.own_frameworks import known
from agent.places import artifact_store
from agent.signed_records import folder_of
from authz import access_reviews
from authz.models import AccessReview, Grant, PolicyVersion
from authz.permissions import Permission
from authz.roles import NOT_BY_REQUESTER, ONLY_BY_PEOPLE, POLICY_DIGEST
from evidence import ledger
from evidence.completeness import BYPASSED
from evidence.controls import SNAPSHOT_ACTION, Document, Seen, coverage
from evidence.models import Checkpoint, Entry, LogKey, Pack, Payload, SignedRecord
from evidence.oscal import assessment_results, attestations
from evidence.pack import EXCEPTIONS, PackEntry, PackFault, Scope
from evidence.signing import Keys
from tenants.models import IdentityProvider
from tenants.scope import current_tenant_id

TOOLS = ("django", "weasyprint", "cyclonedx-python-lib", "rumdl")
DOCUMENTS, DOCUMENT_FILES = "controls/documents.json", "controls/documents/files"
REVIEWS, REVIEW_LEFT_OUT = "access/reviews.json", "no longer as it was closed"
HEADS_COMPARED = 20  # earlier packs from whose heads a proof leads to a new one


def tool_versions() -> dict[str, str]:
    return {tool: version(tool) for tool in TOOLS}


def settled_head(pack: Pack, keys: Keys, records: Sequence[SignedRecord]) -> Checkpoint:
    """The signed head that the pack ends at: the one it was begun with, or a new one.

    A record that was signed since then needs a new one, or no entry of the pack would name it. So
    does a log whose key changed since then: a key whose time is over signs nothing any more.
    """
    if pack.checkpoint_size is not None:
        begun: Checkpoint = Checkpoint.objects.get(size=pack.checkpoint_size)
        if _in_force(begun) and all(row.created_at <= begun.signed_at for row in records):
            return begun
    checkpoint = ledger.seal(keys)
    if checkpoint is None:
        raise PackFault("the ledger is empty")
    if not _in_force(checkpoint):
        raise PackFault("the log's key changed while the pack was built; order it again")
    Pack.objects.filter(pk=pack.pk).update(checkpoint_size=checkpoint.size)
    pack.checkpoint_size = checkpoint.size
    return checkpoint


def _in_force(head: Checkpoint) -> bool:
    """Whether the log's newest key is the one that signed this head."""
    return not LogKey.objects.filter(valid_from__gte=head.size).exists()


def configuration() -> dict[str, Any]:
    """The rules and settings in force, for an entry that a pack can point to. Holds no secret."""
    held = Grant.objects.values_list("role").annotate(people=Count("user", distinct=True))
    active = PolicyVersion.objects.filter(state=PolicyVersion.State.ACTIVE).first()
    providers = IdentityProvider.objects.filter(state=IdentityProvider.State.ON)
    return {
        "roles": {
            "digest": POLICY_DIGEST,
            "not_by_requester": sorted(NOT_BY_REQUESTER),
            "only_by_people": sorted(ONLY_BY_PEOPLE),
        },
        "people": {"by_role": dict(held.order_by("role"))},
        "policies": {"active": active.digest if active else ""},
        "sign_in": {"providers_on": providers.count()},
        "documents": facts_in_force(),
    }


def disclosed_entries(entries: Iterable[Entry], withheld: Iterable[Entry] = ()) -> list[PackEntry]:
    """Entries as a pack holds them, with their facts but for those in `withheld`."""
    rows = list(entries)
    hidden = {entry.pk for entry in withheld}
    payloads = Payload.objects.in_bulk([entry.pk for entry in rows if entry.pk not in hidden])
    return [
        PackEntry(
            entry.index,
            bytes(entry.leaf),
            bytes(payload.body) if (payload := payloads.get(entry.pk)) else None,
            bytes(payload.salt) if payload else None,
        )
        for entry in rows
    ]


def approvals(proposal: Proposal, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Who decided about a proposal, each with the entry that says so."""
    recorded = {
        (entry.action, entry.actor_id): entry
        for entry in entries
        if entry.outcome == "ok" and entry.object_id == str(proposal.pk)
    }
    rows = []
    for review in proposal.reviews.select_related("reviewer"):
        signed = review.verdict == Review.Verdict.COUNTERSIGNED
        action = "proposal.countersign" if signed else "proposal.reject"
        entry = recorded.get((action, str(review.reviewer_id)))
        if entry is None:
            continue  # decided after the pack's head
        facts = Payload.objects.get(pk=entry.pk).facts
        rows.append(
            {
                "entry": entry.index,
                "decision": "countersigned" if signed else "refused",
                "person": {"id": str(review.reviewer_id), "name": review.reviewer.name},
                "at": entry.said["ts"],
                "note": review.comment,
                "diff_sha256": facts["diff_sha256"],
                "stands": facts["diff_sha256"] == proposal.diff_sha256,
            }
        )
    return rows


def population_row(proposal: Proposal, excluded: str = "") -> dict[str, Any]:
    """A proposal as a line of population/prs.jsonl. excluded: why its files are not in the pack."""
    return {
        "proposal": str(proposal.pk),
        "repo": proposal.repository.name,
        "number": proposal.number,
        "title": proposal.title,
        "head": proposal.head_sha,
        "diff_sha256": proposal.diff_sha256,
        "folder": "" if excluded else folder_of(proposal),
        "excluded": excluded,
    }


def control_files(
    seen: Sequence[Seen], entries: Iterable[PackEntry], scope: Scope, pack: Pack
) -> dict[str, bytes]:
    """What the pack shows for which controls, for people and for two kinds of tools.

    A pack about more than one proposal also holds the documents that people added, as they stood
    when the snapshot of its configuration was taken.
    """
    only = [pack.framework] if pack.framework else []
    entries = list(entries)
    snapshot = _snapshot(entries, pack)
    told: list[dict[str, Any]] = []
    if snapshot and scope.coverage == "range":
        told = _documents(snapshot[1], scope, pack.framework)
    inside = {entry.index for entry in entries}
    judged_by = known()
    documents = [_as_evidence(row, inside) for row in told]
    rows = coverage(seen, snapshot, only=only, known=judged_by, documents=documents)
    listed = list(judged_by.frameworks.values())
    name = f"{scope.tenant_id}/{pack.pk}"
    files = {
        "controls/coverage.json": as_json({"controls": rows, "rules_sha256": judged_by.digest}),
        "controls/oscal-assessment-results.json": assessment_results(
            rows, listed, pack=name, title=pack.title, at=scope.created_at
        ),
        "controls/cdxa.cdx.json": attestations(
            rows, listed, pack=name, tenant=scope.tenant_name, at=scope.created_at
        ),
    }
    if snapshot and told:
        store, tenant_id = artifact_store(), current_tenant_id()
        files[DOCUMENTS] = as_json({"snapshot": snapshot[0], "documents": told})
        files |= {
            row["path"]: store.get(tenant_id, row["sha256"], size=row["size"]) for row in told
        }
    return files


def _documents(
    configuration: Mapping[str, Any], scope: Scope, framework: str
) -> list[dict[str, Any]]:
    """The documents of a snapshot that count for the pack, each with the path of its file."""
    day = f"{scope.created_at.astimezone(UTC):%Y-%m-%d}"
    return [
        {**row, "path": f"{DOCUMENT_FILES}/{row['id']}/{row['filename']}"}
        for row in configuration.get("documents", ())
        if row["valid_until"] >= day
        and (not framework or any(one.startswith(f"{framework}:") for one in row["controls"]))
    ]


def _as_evidence(row: Mapping[str, Any], inside: Collection[int]) -> Document:
    return Document(
        row["title"],
        row["owner"],
        row["valid_until"],
        tuple(row["controls"]),
        (
            {"file": row["path"]},
            *({"entry": index} for index in row["entries"] if index in inside),
        ),
    )


def review_files(entries: Iterable[PackEntry]) -> dict[str, bytes]:
    """The access reviews that these entries close, as far as their facts are disclosed.

    A review of which rows are gone since then, with a project say, is named and left out.
    """
    rows: list[dict[str, Any]] = []
    for entry in entries:
        if entry.payload is None or Permission.ACCESS_REVIEW_RUN.encode() not in entry.leaf:
            continue
        leaf, facts = json.loads(entry.leaf), json.loads(entry.payload)
        if leaf["outcome"] != "ok" or facts.get("step") != "closed" or "sha256" not in facts:
            continue
        review = AccessReview.objects.filter(pk=leaf["object"]["id"]).first()
        said = access_reviews.evidence_of(review) if review else None
        if said and access_reviews.digest_of(said) != facts["sha256"]:
            said = None
        left_out = "" if said else REVIEW_LEFT_OUT
        rows.append({"entry": entry.index, "review": said, "left_out": left_out})
    return {REVIEWS: as_json({"reviews": rows})} if rows else {}


def limits(known: Sequence[str], entries: Iterable[Entry]) -> list[str]:
    """What a report says that its pack cannot show, with the exceptions that it does show."""
    count = sum(entry.action == BYPASSED for entry in entries)
    if not count:
        return list(known)
    times = "Once" if count == 1 else f"{count} times"
    return [
        f"{times} commits reached a default branch that nobody countersigned: see "
        f"{EXCEPTIONS} and the entries {BYPASSED}.",
        *known,
    ]


def heads_handed_out(size: int, limit: int = HEADS_COMPARED) -> list[int]:
    """Sizes of the last heads that packs carried out of the house before the one over `size`."""
    earlier = Pack.objects.filter(state=Pack.State.READY, checkpoint_size__lt=size)
    sizes = earlier.order_by("-checkpoint_size").values_list("checkpoint_size", flat=True)
    return list(sizes.distinct()[:limit])


def as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def _snapshot(entries: Iterable[PackEntry], pack: Pack) -> tuple[int, dict[str, Any]] | None:
    """The newest snapshot of the configuration that was taken for this pack."""
    found = None
    for entry in entries:
        if entry.payload is None or SNAPSHOT_ACTION.encode() not in entry.leaf:
            continue
        leaf = json.loads(entry.leaf)
        if leaf["action"] == SNAPSHOT_ACTION and leaf["object"]["id"] == str(pack.pk):
            found = entry.index, json.loads(entry.payload)
    return found
