"""Gathers everything about one proposal, then has the evidence pack built from it."""

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any
from uuid import UUID

from django.utils import timezone

from agent.forge import ForgeRefused
from agent.models import Proposal, Recommendation, Review
from agent.outputs import FILE
from agent.places import artifact_store, catalogue
from agent.recommender import Constraints, mapped_controls
from agent.record import MOMENT, files_of, folder_of, sign_record
from authz.change import change
from authz.permissions import Permission
from evidence import ledger
from evidence.intents import open_about
from evidence.jobs import cosigned_note
from evidence.models import Checkpoint, Entry, LogKey, Pack, Payload, SignedRecord
from evidence.pack import PackEntry, PackFault, Scope, build_pack
from evidence.records import RecordFault
from evidence.signing import FileKeys, KeyFault
from evidence.store import StoreFault
from tenants.actor import system_actor
from tenants.scope import current

TOOLS = ("django", "weasyprint", "cyclonedx-python-lib", "rumdl")
HEADS_COMPARED = 20  # earlier packs from whose heads a proof leads to a new one

# What would have to be added to a pack for a control that it does not prove.
WOULD_NEED = {
    "configuration snapshot": "would need a snapshot of the configuration",
    "organisational upload": "would need evidence that a person adds",
}

BLIND_SPOTS = [
    "The figures come from the catalogue named in recommendation.json; none was measured again.",
    "The log has no witness: whoever holds the signing key could rewrite it unseen.",
    "The documents were checked for form, not for being right; the countersigner judges that.",
    "Nothing here shows that the recommended stack was later built or run as described.",
]


def build(pack_id: UUID, keys: FileKeys) -> None:
    """Build the pack that somebody asked for; its state says how it ended.

    Seals the ledger first, so that everything up to now is in it. Safe to run twice. A pack
    that cannot be built becomes FAILED with the reason; database errors fly out to be retried.
    """
    pack = Pack.objects.get(pk=pack_id)
    if pack.state == Pack.State.READY:
        return
    _move(pack, Pack.State.BUILDING)
    try:
        content, checkpoint = _content(pack, keys)
        kept = artifact_store().put(pack.tenant_id, content)
    except (PackFault, RecordFault, StoreFault, KeyFault, ForgeRefused) as error:
        _move(pack, Pack.State.FAILED, problem=str(error))
        return
    _move(
        pack,
        Pack.State.READY,
        checkpoint_size=checkpoint.size,
        sha256=kept.sha256,
        size=kept.size,
        finished_at=timezone.now(),
    )


def _move(pack: Pack, state: str, **also: Any) -> None:
    by = system_actor("evidence worker", "job")
    # Of a build that was cut off and taken up again, the earlier intent becomes a gap.
    building = (
        None if state == Pack.State.BUILDING else open_about("pack.build", "pack", str(pack.pk))
    )
    with change(by, Permission.PACK_BUILD, on=pack) as facts:
        facts.answers = building
        Pack.objects.filter(pk=pack.pk).update(state=state, **also)
        facts.phase = "intent" if state == Pack.State.BUILDING else "result"
        facts.outcome = "failed" if state == Pack.State.FAILED else "ok"
        facts.update(proposal=pack.object_id, state=state, **also)


def _content(pack: Pack, keys: FileKeys) -> tuple[bytes, Checkpoint]:
    proposal = Proposal.objects.select_related("task__owner", "repository").get(pk=pack.object_id)
    record = sign_record(proposal.pk, keys)
    checkpoint = ledger.seal(keys)
    if checkpoint is None:
        raise PackFault("the ledger is empty")
    entries = list(Entry.objects.filter(run=pack.run, index__lt=checkpoint.size))
    signer = ledger.signer(keys)
    tenant = current()
    content = build_pack(
        scope=Scope(
            tenant_id=tenant.tenant_id,
            tenant_slug=tenant.slug,
            tenant_name=tenant.name,
            object_id=str(proposal.pk),
            created_at=checkpoint.signed_at,
            query=f"Every entry about proposal {proposal.pk}, and the work that led to it",
            tool_versions={tool: version(tool) for tool in TOOLS},
        ),
        entries=_disclosed(entries),
        leaf_hashes=ledger.leaf_hashes(checkpoint.size),
        checkpoint_note=cosigned_note(checkpoint),
        files=_files(proposal, record, entries),
        signer=signer,
        story=_story(proposal),
        population=[_population_row(proposal)],
        earlier_sizes=_heads_handed_out(checkpoint),
    )
    return content, checkpoint


def _population_row(proposal: Proposal) -> dict[str, Any]:
    return {
        "proposal": str(proposal.pk),
        "repo": proposal.repository.name,
        "number": proposal.number,
        "title": proposal.title,
        "head": proposal.head_sha,
        "diff_sha256": proposal.diff_sha256,
        "folder": folder_of(proposal),
        "excluded": "",
    }


def _heads_handed_out(checkpoint: Checkpoint) -> list[int]:
    """Sizes of the last heads that packs carried out of the house before this one."""
    earlier = Pack.objects.filter(
        state=Pack.State.READY, checkpoint_size__lt=checkpoint.size
    ).order_by("-checkpoint_size")
    return list(earlier.values_list("checkpoint_size", flat=True).distinct()[:HEADS_COMPARED])


def give_up(pack_id: UUID, bug: Exception) -> None:
    """Mark a pack as failed after an error nobody foresaw."""
    reason = f"an error on our side ({type(bug).__name__}: {bug}); it is in our log"
    _move(Pack.objects.get(pk=pack_id), Pack.State.FAILED, problem=reason)


def log_key() -> str | None:
    """The verifier key of the pinned tenant's log, to be pinned by auditors; None before any."""
    newest = LogKey.objects.order_by("-valid_from").first()
    return newest.vkey if newest else None


def _disclosed(entries: Iterable[Entry]) -> list[PackEntry]:
    payloads = Payload.objects.in_bulk([entry.pk for entry in entries])
    disclosed = []
    for entry in entries:
        payload = payloads.get(entry.pk)
        disclosed.append(
            PackEntry(
                entry.index,
                bytes(entry.leaf),
                bytes(payload.body) if payload else None,
                bytes(payload.salt) if payload else None,
            )
        )
    return disclosed


def _files(proposal: Proposal, record: SignedRecord, entries: Sequence[Entry]) -> dict[str, bytes]:
    folder = folder_of(proposal)
    reviews = list(proposal.reviews.select_related("reviewer"))
    return {
        **{f"{folder}/{path}": content for path, content in files_of(record).items()},
        "access/approvals.json": _json({"approvals": _approvals(proposal, reviews, entries)}),
        "controls/coverage.json": _json({"controls": _controls(folder, proposal)}),
    }


def _approvals(
    proposal: Proposal, reviews: Iterable[Review], entries: Sequence[Entry]
) -> list[dict[str, Any]]:
    recorded = {
        (entry.action, entry.actor_id): entry
        for entry in entries
        if entry.outcome == "ok" and entry.object_id == str(proposal.pk)
    }
    approvals = []
    for review in reviews:
        signed = review.verdict == Review.Verdict.COUNTERSIGNED
        action = "proposal.countersign" if signed else "proposal.reject"
        entry = recorded[action, str(review.reviewer_id)]
        facts = Payload.objects.get(pk=entry.pk).facts
        approvals.append(
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
    return approvals


def _controls(folder: str, proposal: Proposal) -> list[dict[str, Any]]:
    """What the control mapping claims, reduced to what this pack really shows."""
    result = Recommendation.objects.get(task=proposal.task).result
    constraints = Constraints.from_json(proposal.task.constraints)
    coverage = []
    for control in mapped_controls(constraints, catalogue(), result):
        shown = [f"{folder}/{path}" for path in _files_of(control["artifact"], proposal)]
        proved = control["strength"] == "proved here" and shown
        manual = control["strength"] == "organisational upload"
        coverage.append(
            {
                "framework": control["standard"],
                "id": control["id"],
                "title": control["wording"],
                "strength": "proved here" if proved else "manual" if manual else "none",
                "evidence": [{"file": path} for path in shown if proved],
                "note": ""
                if proved
                else WOULD_NEED.get(control["strength"], "nothing shows it yet"),
            }
        )
    return coverage


def _files_of(artifact: str, proposal: Proposal) -> list[str]:
    """What an artifact of the control mapping stands for, as paths below the pull request."""
    if artifact == "pull request review":
        return ["review.json"]
    names = proposal.task.artifacts.filter(name__startswith=FILE).values_list("name", flat=True)
    wanted = "docs/adr/" if artifact == "adr" else f"docs/stack/{artifact}"
    paths = [name.removeprefix(FILE) for name in names]
    return [f"files/{path}" for path in paths if artifact and path.startswith(wanted)]


def _story(proposal: Proposal) -> dict[str, Any]:
    result = Recommendation.objects.get(task=proposal.task).result
    return {
        "title": proposal.title,
        "asked": {
            "goal": proposal.task.goal,
            "by": proposal.task.owner.name,
            "at": proposal.task.created_at.strftime(MOMENT),
        },
        "layers": [_layer_said(layer) for layer in result["layers"] if layer["winner"]],
        "blind_spots": BLIND_SPOTS,
    }


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


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
