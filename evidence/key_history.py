"""Which keys signed a log, each with the proof that the one before it handed over."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any


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
