"""Gathers every entry of a stretch of the log, with the pull requests that it names."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from django.db.models import Q
from django.utils import timezone

from agent.models import Proposal
from agent.packing import (
    approvals,
    as_json,
    control_files,
    disclosed_entries,
    heads_handed_out,
    limits,
    population_row,
    review_files,
    settled_head,
    tool_versions,
)
from agent.record import MOMENT, sign_record
from agent.signed_records import files_of, folder_of
from agent.stamping import stamped
from evidence import ledger
from evidence.completeness import BYPASSED, POPULATION_ACTIONS, draw, sample_seed
from evidence.controls import SNAPSHOT_ACTION, Seen
from evidence.jobs import cosigned_note
from evidence.merkle import Frontier
from evidence.models import Checkpoint, Entry, Pack
from evidence.pack import PackFault, Sample, Scope, Start, write_pack
from evidence.signing import Keys
from evidence.witnessing import note_of
from tenants.scope import current

ELSEWHERE, NOT_DRAWN, GONE = "another repository", "not drawn", "no longer kept"
ALWAYS_DISCLOSED = frozenset({"record.sign", "pack.export", SNAPSHOT_ACTION})
# Each proof hashes the whole log, and the range itself answers for every head inside it.
HEADS_COMPARED = 3

BLIND_SPOTS = [
    "Pull requests that were opened past the portal leave no entry, so they are not in the list. "
    "What of them reaches a default branch is noticed and listed in access/exceptions.json.",
    "Which repository a pull request belongs to is what the portal says; the log names its id.",
    "The log has no witness unless its head carries a signature of one that you trust.",
]


def write_range(pack: Pack, keys: Keys, out: BinaryIO) -> Checkpoint:
    """Write a pack about a repository, a period or a framework; returns the head it ends at.

    The range, the population and the draw are settled once, at the first attempt; a later attempt
    goes on after the last record that was signed. Raises PackFault when there is nothing to show.
    """
    _settle(pack, keys)
    named = _named(pack)
    proposals = Proposal.objects.select_related("task__owner", "repository").in_bulk(list(named))
    reasons = _excluded(pack, named, {str(pk): row for pk, row in proposals.items()})
    inside = [row for row in proposals.values() if not reasons.get(str(row.pk))]
    inside.sort(key=lambda row: named[str(row.pk)])
    Pack.objects.filter(pk=pack.pk).update(records_total=len(inside))
    records = []
    for done, proposal in enumerate(inside, start=1):
        records.append(sign_record(proposal.pk, keys))
        Pack.objects.filter(pk=pack.pk).update(records_done=done)
    checkpoint = settled_head(pack, keys, records)
    entries = list(
        Entry.objects.filter(index__gte=pack.start_size, index__lt=checkpoint.size).order_by(
            "index"
        )
    )
    runs = {str(row.run_id) for row in inside}
    everything = pack.kind != Pack.Kind.REPOSITORY and not pack.nonce
    withheld = [
        entry
        for entry in entries
        if not everything
        and entry.run not in runs
        and entry.action not in ALWAYS_DISCLOSED
        and not (entry.action == BYPASSED and entry.object_id == pack.object_id)
    ]
    disclosed = disclosed_entries(entries, withheld)
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run, []).append(entry)
    seen: list[Seen] = []
    files: dict[str, bytes] = {}
    decided: list[dict[str, Any]] = []
    for proposal, record in zip(inside, records, strict=True):
        of_run = by_run.get(str(proposal.run_id), [])
        one = Seen(folder_of(proposal), [(row.index, row.said) for row in of_run], files_of(record))
        seen.append(one)
        files |= {f"{one.folder}/{path}": content for path, content in one.files.items()}
        decided += approvals(proposal, of_run)
    scope = _scope(pack, checkpoint)
    population_end = scope.population_end or checkpoint.size
    compared = heads_handed_out(pack.start_size, HEADS_COMPARED) if pack.start_size else []
    write_pack(
        out,
        scope=scope,
        entries=disclosed,
        leaf_hashes=ledger.leaf_hashes(checkpoint.size) if compared else (),
        checkpoint_note=cosigned_note(checkpoint),
        timestamp=stamped(pack, checkpoint),
        files={
            **files,
            "access/approvals.json": as_json(
                {"approvals": sorted(decided, key=lambda row: int(row["entry"]))}
            ),
            **review_files(disclosed),
            **control_files(seen, disclosed, scope, pack),
        },
        signer=ledger.signer(keys),
        key_terms=[term.as_json() for term in ledger.key_terms(checkpoint)],
        story=_story(pack, entries),
        population=[
            population_row(proposals[pk], reasons.get(str(pk), ""))
            if pk in proposals
            else _gone(str(pk))
            for pk in _ids(named)
        ],
        earlier_sizes=compared,
        population_note=None
        if population_end == checkpoint.size
        else note_of(Checkpoint.objects.get(size=population_end)),
    )
    return checkpoint


def _settle(pack: Pack, keys: Keys) -> None:
    """Fix where the range begins and where its population ends, once."""
    if pack.start_size is not None:
        return
    newest = ledger.seal(keys)
    if newest is None:
        raise PackFault("the ledger is empty")
    before = Checkpoint.objects.order_by("-size")
    start = None
    if pack.period_from is not None:
        start = before.filter(signed_at__lte=pack.period_from).first()
    end = newest
    if pack.period_to is not None and pack.period_to < timezone.now():
        end = Checkpoint.objects.filter(signed_at__gte=pack.period_to).order_by("size").first()
        end = end or newest
    if pack.nonce:
        ordered = _order(pack)
        # The head has to be older than the nonce, or somebody could have chosen one to suit.
        fixed = before.filter(size__lte=min(ordered.index, end.size)).first()
        if fixed is None:
            raise PackFault("there was no signed head yet when the nonce was given")
        end = fixed
    start_size = start.size if start else 0
    if start_size >= end.size:
        raise PackFault("no entry of the log lies in this period")
    Pack.objects.filter(pk=pack.pk).update(start_size=start_size, population_end=end.size)
    pack.start_size, pack.population_end = start_size, end.size


def _order(pack: Pack) -> Entry:
    """The entry by which the pack was ordered; its facts hold the nonce."""
    order: Entry = Entry.objects.get(action="pack.export", object_id=str(pack.pk), outcome="ok")
    return order


def _named(pack: Pack) -> dict[str, int]:
    """Ids of the proposals that entries of the population name -> index of the first of them."""
    rows = Entry.objects.filter(
        Q(action__in=POPULATION_ACTIONS, outcome="ok") | Q(action=BYPASSED),
        index__gte=pack.start_size,
        index__lt=pack.population_end,
        object_type="proposal",
    ).order_by("index")
    named: dict[str, int] = {}
    for index, proposal_id in rows.values_list("index", "object_id"):
        named.setdefault(proposal_id, index)
    return named


def _ids(named: dict[str, int]) -> list[Any]:
    field = Proposal._meta.pk
    return [field.to_python(proposal_id) for proposal_id in named]


def _excluded(pack: Pack, named: dict[str, int], proposals: dict[str, Proposal]) -> dict[str, str]:
    """Why the files of some pull requests are left out, by id."""
    reasons = {proposal_id: GONE for proposal_id in named if proposal_id not in proposals}
    if pack.kind == Pack.Kind.REPOSITORY:
        for proposal_id, proposal in proposals.items():
            if str(proposal.repository_id) != pack.object_id:
                reasons[proposal_id] = ELSEWHERE
    if pack.nonce:
        root = bytes(Checkpoint.objects.get(size=pack.population_end).root)
        drawn = set(draw(sample_seed(root, pack.nonce), named, pack.sample_size))
        for proposal_id in named:
            if proposal_id not in drawn:
                reasons[proposal_id] = NOT_DRAWN
    return reasons


def _scope(pack: Pack, checkpoint: Checkpoint) -> Scope:
    tenant = current()
    start = None
    if pack.start_size:
        frontier = Frontier()
        frontier.extend(ledger.leaf_hashes(pack.start_size))
        start = Start(Checkpoint.objects.get(size=pack.start_size).note, frontier)
    sample = None
    if pack.nonce:
        sample = Sample(pack.nonce, _order(pack).index, pack.sample_size)
    return Scope(
        tenant_id=tenant.tenant_id,
        tenant_slug=tenant.slug,
        tenant_name=tenant.name,
        object_id=pack.object_id,
        object_type=pack.object_type,
        created_at=checkpoint.signed_at,
        kind=pack.kind,
        query=query_of(pack),
        coverage="range",
        start=start,
        population_end=pack.population_end,
        sample=sample,
        tool_versions=tool_versions(),
    )


def query_of(pack: Pack) -> str:
    """What was ordered, in words that a second person could repeat."""
    words = f"Every entry from {pack.start_size}, and every pull request that an entry "
    words += f"below {pack.population_end} names"
    if pack.period_from or pack.period_to:
        moments = [
            moment.strftime(MOMENT) if moment else "open"
            for moment in (pack.period_from, pack.period_to)
        ]
        words += f"; asked for {moments[0]} to {moments[1]}"
    if pack.kind == Pack.Kind.REPOSITORY:
        words += f"; files of those in repository {pack.object_id}"
    if pack.framework:
        words += f"; controls of {pack.framework}"
    if pack.nonce:
        words += f"; files of {pack.sample_size} drawn by lot"
    return words


def _gone(proposal_id: str) -> dict[str, Any]:
    return {
        "proposal": proposal_id,
        "repo": "",
        "number": 0,
        "title": "",
        "head": "",
        "diff_sha256": "",
        "folder": "",
        "excluded": GONE,
    }


def _story(pack: Pack, entries: Sequence[Entry]) -> dict[str, Any]:
    asked: Sequence[str] = (pack.title, pack.requested_by_name, pack.created_at.strftime(MOMENT))
    return {
        "title": pack.title,
        "asked": {"goal": asked[0], "by": asked[1], "at": asked[2]},
        "layers": [],
        "blind_spots": limits(BLIND_SPOTS, entries),
    }
