"""Says for which controls the ledger of the pinned tenant holds evidence right now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.models import Proposal
from agent.places import artifact_store
from agent.record import folder_of, newest_record
from evidence.controls import SNAPSHOT_ACTION, Seen, coverage
from evidence.models import Entry, Payload, SignedRecord
from tenants.scope import current_tenant_id

PROPOSALS = 50  # the newest ones; an older state is what packs are for


@dataclass(frozen=True)
class Standing:
    """Rows as evidence.controls.coverage() gives them, and how many proposals they rest on."""

    rows: list[dict[str, Any]]
    proposals: int
    without_record: int


def standing() -> Standing:
    """Coverage of every control by the newest proposals and the newest configuration snapshot."""
    proposals = list(
        Proposal.objects.select_related("repository").order_by("-created_at")[:PROPOSALS]
    )
    seen, without = [], 0
    for proposal in proposals:
        record = newest_record(proposal)
        without += record is None
        entries = Entry.objects.filter(run=str(proposal.run_id)).order_by("index")
        seen.append(
            Seen(
                folder_of(proposal),
                [(entry.index, entry.said) for entry in entries],
                _Files(record) if record else {},
            )
        )
    return Standing(coverage(seen, _snapshot()), len(proposals), without)


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
