"""Builds the evidence packs and exports that people order, and says how that ended."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from agent.export import write_export
from agent.forge import ForgeRefused
from agent.models import Proposal, Recommendation
from agent.packing import (
    approvals,
    as_json,
    configuration,
    control_files,
    disclosed_entries,
    heads_handed_out,
    limits,
    population_row,
    settled_head,
    tool_versions,
)
from agent.places import artifact_store
from agent.range_pack import write_range
from agent.record import MOMENT, sign_record
from agent.signed_records import files_of, folder_of
from agent.stamping import said_of, stamped
from authz.change import change
from authz.permissions import Permission
from evidence import ledger
from evidence.controls import SNAPSHOT_ACTION, Seen
from evidence.intents import open_about
from evidence.jobs import cosigned_note
from evidence.models import Checkpoint, Entry, LogKey, Pack
from evidence.pack import PackFault, Scope, write_pack
from evidence.records import RecordFault
from evidence.signing import KeyFault, Keys
from evidence.store import StoreFault
from tenants.actor import system_actor
from tenants.scope import current

CHUNK = 1 << 20  # bytes

BLIND_SPOTS = [
    "The figures come from the catalogue named in recommendation.json; none was measured again.",
    "Where no witness cosigned the head, whoever holds the log's key could rewrite it unseen.",
    "The documents were checked for form, not for being right; the countersigner judges that.",
    "Nothing here shows that the recommended stack was later built or run as described.",
]


def build(pack_id: UUID, keys: Keys) -> None:
    """Build the pack or export that somebody asked for; its state says how it ended.

    A pack seals the ledger first, so that everything up to now is in it. Safe to run twice: records
    that were signed are not signed again, and a pack that was begun ends at the head it was begun
    with. One that cannot be built becomes FAILED with the reason; database errors fly out to be
    retried.
    """
    pack = Pack.objects.get(pk=pack_id)
    if pack.state == Pack.State.READY:
        return
    _move(pack, Pack.State.BUILDING)
    try:
        # Not where other temporary files go, which may be memory: an export can be large.
        with TemporaryFile(dir=settings.DATA_DIR) as out:
            columns, facts = _write(pack, keys, out)
            out.seek(0)
            kept = artifact_store().put_stream(pack.tenant_id, iter(lambda: out.read(CHUNK), b""))
    except (PackFault, RecordFault, StoreFault, KeyFault, ForgeRefused) as error:
        _move(pack, Pack.State.FAILED, problem=str(error))
        return
    _move(
        pack,
        Pack.State.READY,
        facts,
        sha256=kept.sha256,
        size=kept.size,
        finished_at=timezone.now(),
        expires_at=timezone.now() + timedelta(days=settings.PACK_DAYS),
        **columns,
    )


def _write(pack: Pack, keys: Keys, out: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the file; gives columns of its row, and facts for the ledger besides."""
    if pack.kind == Pack.Kind.EXPORT:
        return {}, write_export(out, partial(_tell, pack)).facts
    write = _write_proposal if pack.kind == Pack.Kind.PROPOSAL else write_range
    return {"checkpoint_size": write(pack, keys, out).size}, said_of(pack)


def _tell(pack: Pack, done: int, total: int) -> None:
    """Progress, which the ledger need not know."""
    Pack.objects.filter(pk=pack.pk).update(records_done=done, records_total=total)


def _move(pack: Pack, state: str, facts_besides: Mapping[str, Any] = {}, **also: Any) -> None:
    by = system_actor("evidence worker", "job")
    export = pack.kind == Pack.Kind.EXPORT
    permission = Permission.TENANT_EXPORT if export else Permission.PACK_BUILD
    # Of a build that was cut off and taken up again, the earlier intent becomes a gap.
    begins = state == Pack.State.BUILDING
    building = None if begins else open_about(permission, "pack", str(pack.pk))
    with change(by, permission, on=pack) as facts:
        facts.answers = building
        Pack.objects.filter(pk=pack.pk).update(state=state, **also)
        if begins and not export:
            ledger.record(SNAPSHOT_ACTION, by=by, on=pack, facts=configuration(), phase="result")
        facts.phase = "intent" if begins else "result"
        facts.outcome = "failed" if state == Pack.State.FAILED else "ok"
        facts.update(kind=pack.kind, about=pack.object_id, state=state, **also, **facts_besides)


def _write_proposal(pack: Pack, keys: Keys, out: BinaryIO) -> Checkpoint:
    proposal = Proposal.objects.select_related("task__owner", "repository").get(pk=pack.object_id)
    record = sign_record(proposal.pk, keys)
    checkpoint = settled_head(pack, keys, [record])
    entries = list(
        Entry.objects.filter(index__lt=checkpoint.size)
        .filter(Q(run=pack.run) | Q(action=SNAPSHOT_ACTION, object_id=str(pack.pk)))
        .order_by("index")
    )
    tenant = current()
    disclosed = disclosed_entries(entries)
    seen = Seen(
        folder_of(proposal),
        [(row.index, row.said) for row in entries if row.run == pack.run],
        files_of(record),
    )
    scope = Scope(
        tenant_id=tenant.tenant_id,
        tenant_slug=tenant.slug,
        tenant_name=tenant.name,
        object_id=str(proposal.pk),
        created_at=checkpoint.signed_at,
        query=f"Every entry about proposal {proposal.pk}, and the work that led to it",
        tool_versions=tool_versions(),
    )
    write_pack(
        out,
        scope=scope,
        entries=disclosed,
        leaf_hashes=ledger.leaf_hashes(checkpoint.size),
        checkpoint_note=cosigned_note(checkpoint),
        timestamp=stamped(pack, checkpoint),
        files={
            **{f"{seen.folder}/{path}": content for path, content in seen.files.items()},
            "access/approvals.json": as_json({"approvals": approvals(proposal, entries)}),
            **control_files([seen], disclosed, scope, pack),
        },
        signer=ledger.signer(keys),
        key_terms=[term.as_json() for term in ledger.key_terms(checkpoint)],
        story=_story(proposal, entries),
        population=[population_row(proposal)],
        earlier_sizes=heads_handed_out(checkpoint.size),
    )
    return checkpoint


def give_up(pack_id: UUID, bug: Exception) -> None:
    """Mark a pack as failed after an error nobody foresaw."""
    reason = f"an error on our side ({type(bug).__name__}: {bug}); it is in our log"
    _move(Pack.objects.get(pk=pack_id), Pack.State.FAILED, problem=reason)


def log_key() -> str | None:
    """The verifier key of the pinned tenant's log, to be pinned by auditors; None before any."""
    newest = LogKey.objects.order_by("-valid_from").first()
    return newest.vkey if newest else None


def _story(proposal: Proposal, entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "title": proposal.title,
        "asked": {
            "goal": proposal.task.goal,
            "by": proposal.task.owner.name,
            "at": proposal.task.created_at.strftime(MOMENT),
        },
        "layers": _decided(proposal),
        "blind_spots": limits(BLIND_SPOTS, entries),
    }


def _decided(proposal: Proposal) -> list[dict[str, Any]]:
    """The layers of a recommendation; nothing for a repair, whose diff speaks for itself."""
    found = Recommendation.objects.filter(task=proposal.task).first()
    layers = found.result["layers"] if found else []
    return [_layer_said(layer) for layer in layers if layer["winner"]]


def _layer_said(layer: dict[str, Any]) -> dict[str, Any]:
    ranked = {option["technology"]: option for option in layer["ranked"]}
    winner = ranked[layer["winner"]]
    return {
        "layer": layer["title"],
        "winner": winner["name"],
        "score": f"{winner['total']:.2f}",
        "why": " ".join(reason["sentence"] for reason in layer["why"]),
        "alternatives": [
            {
                "name": ranked[alternative]["name"],
                "score": f"{ranked[alternative]['total']:.2f}",
                "why_not": f"{winner['total'] - ranked[alternative]['total']:.2f} behind",
            }
            for alternative in layer["alternatives"]
        ],
    }
