"""Which keys signed a log, each with the proof that the one before it handed over."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from evidence import ledger
from evidence.models import Checkpoint, Entry, LogKey
from evidence.signing import KeyFault, VerifierKey


@dataclass(frozen=True, slots=True)
class Handover:
    """How a key came into force.

    index, leaf: the entry that announced it. note: the last head that the key before it signed,
    over all entries before the new key's own. inclusion: from the entry to that head.
    consistency: from that head to the one that the proof was asked for.
    """

    index: int
    leaf: bytes
    note: str
    inclusion: tuple[bytes, ...]
    consistency: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A key with the index of the first entry that it signs for; the first key has no handover."""

    vkey: str
    valid_from: int
    handover: Handover | None = None

    def as_json(self) -> dict[str, Any]:
        """As keys/history.json of a pack shows it."""
        given = self.handover
        return {
            "vkey": self.vkey,
            "valid_from": self.valid_from,
            "handover": given
            and {
                "index": given.index,
                "leaf": given.leaf.decode(),
                "note": given.note,
                "inclusion": [b64encode(sibling).decode() for sibling in given.inclusion],
                "consistency": [b64encode(sibling).decode() for sibling in given.consistency],
            },
        }


def terms(head: Checkpoint) -> list[Term]:
    """Every key that signed for an entry below `head`, oldest first.

    Raises KeyFault when an entry, head or key is missing that should be on record.
    """
    found = [
        Term(key.vkey, key.valid_from, _handover(key, head) if key.valid_from else None)
        for key in LogKey.objects.filter(valid_from__lt=head.size).order_by("valid_from")
    ]
    if not found or found[0].handover:
        raise KeyFault("no key is on record for the beginning of this log")
    return found


def _handover(key: LogKey, head: Checkpoint) -> Handover:
    made = VerifierKey.parse(key.vkey)
    last = Checkpoint.objects.filter(size=key.valid_from).first()
    entry = Entry.objects.filter(
        object_type="logkey",
        object_id=key.vkey.removeprefix(f"{made.name}+"),
        outcome="ok",
        index__lt=key.valid_from,
    ).first()
    if last is None or entry is None:
        raise KeyFault(f"nothing on record announces key {made.key_id}")
    return Handover(
        entry.index,
        bytes(entry.leaf),
        last.note,
        tuple(ledger.proof(entry, last)),
        tuple(ledger.consistency(last.size, head)),
    )
