"""Says for which controls the ledger of the pinned tenant holds evidence right now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.control_documents import entries_about, in_force, today
from agent.models import Proposal
from agent.own_frameworks import known
from agent.places import artifact_store
from agent.signed_records import folder_of, newest_record
from evidence.controls import SNAPSHOT_ACTION, Document, Known, Seen, coverage
from evidence.models import ControlDocument, Entry, Payload, SignedRecord
from tenants.scope import current_tenant_id

PROPOSALS = 50  # looked at together; the newest ones first


@dataclass(frozen=True)
class Standing:
    """Rows as evidence.controls.coverage() gives them, and which proposals they rest on.

    part, parts: which fifty, from 1 with the newest. proposals: looked at; altogether: there are.
    """

    rows: list[dict[str, Any]]
    known: Known
    proposals: int
    without_record: int
    part: int
    parts: int
    altogether: int


def standing(part: int = 1) -> Standing:
    """Coverage of every control by some proposals, the newest configuration snapshot, and the
    documents that count today.

    part: fifty proposals each, 1 for the newest; one past the end is the last.
    """
    every = Proposal.objects.select_related("repository").order_by("-created_at", "pk")
    altogether = every.count()
    parts = max(1, -(-altogether // PROPOSALS))
    part = min(max(1, part), parts)
    proposals = list(every[(part - 1) * PROPOSALS : part * PROPOSALS])
    by_run: dict[str, list[Entry]] = {str(proposal.run_id): [] for proposal in proposals}
    for entry in Entry.objects.filter(run__in=by_run).order_by("index"):
        by_run[entry.run].append(entry)
    seen, without = [], 0
    for proposal in proposals:
        record = newest_record(proposal)
        without += record is None
        entries = by_run[str(proposal.run_id)]
        seen.append(
            Seen(
                folder_of(proposal),
                [(entry.index, entry.said) for entry in entries],
                _Files(record) if record else {},
            )
        )
    judged_by = known()
    rows = coverage(seen, _snapshot(), known=judged_by, documents=_documents())
    return Standing(rows, judged_by, len(proposals), without, part, parts, altogether)


def _documents() -> list[Document]:
    rows = in_force(today())
    places = entries_about([row.pk for row in rows])
    return [_as_evidence(row, places.get(str(row.pk), [])) for row in rows]


def _as_evidence(row: ControlDocument, indexes: list[int]) -> Document:
    return Document(
        row.title,
        row.owner_name,
        f"{row.valid_until}",
        tuple(row.controls),
        (
            {"document": str(row.pk), "title": row.title},
            *({"entry": index} for index in indexes),
        ),
    )


def _snapshot() -> tuple[int, dict[str, Any]] | None:
    newest = Entry.objects.filter(action=SNAPSHOT_ACTION).order_by("-index").first()
    payload = Payload.objects.filter(pk=newest.pk).first() if newest else None
    return (newest.index, payload.facts) if newest and payload else None


class _Files(Mapping[str, bytes]):
    """Files of a record, each read from the store when it is asked for."""

    def __init__(self, record: SignedRecord) -> None:
        self.stored: dict[str, dict[str, Any]] = record.files

    def __getitem__(self, path: str) -> bytes:
        stored = self.stored[path]
        return artifact_store().get(current_tenant_id(), stored["sha256"], size=stored["size"])

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)
