"""Recomputes a tenant's log from its stored entries, against every head that was ever signed."""

from collections.abc import Callable
from dataclasses import dataclass

from evidence.merkle import Frontier, leaf_hash
from evidence.models import Checkpoint, Entry, LogHead, LogKey
from evidence.notes import NoteFault, verify_checkpoint
from evidence.signing import VerifierKey

TOLD_EVERY = 20_000  # entries


class LogBroken(Exception):
    """The stored log is not the one that was signed; the message says where."""


@dataclass(frozen=True)
class Standing:
    """A log that holds: its size, the root over it, how many signed heads agree."""

    size: int
    root: bytes
    checkpoints: int


def recount(told: Callable[[int, int], None] | None = None) -> Standing:
    """Hash every sealed entry of the pinned tenant anew and compare each signed head with that.

    Reads the log once, in batches. told: is called now and then with how many entries were hashed
    and how many heads agreed so far. Raises LogBroken.
    """
    frontier = Frontier()
    heads = list(Checkpoint.objects.order_by("size"))
    keys = list(LogKey.objects.order_by("valid_from"))
    waiting = iter(heads)
    head, agreed = next(waiting, None), 0
    rows = Entry.objects.order_by("index").values_list("index", "leaf", "leaf_hash")
    for index, leaf, stored_hash in rows.iterator(chunk_size=2000):
        if index != frontier.size:
            raise LogBroken(f"entry {frontier.size} is missing")
        hashed = leaf_hash(bytes(leaf))
        if hashed != bytes(stored_hash):
            raise LogBroken(f"entry {index} does not hash to its leaf hash")
        frontier.append(hashed)
        if told is not None and frontier.size % TOLD_EVERY == 0:
            told(frontier.size, agreed)
        if head is not None and head.size == frontier.size:
            _compare(head, frontier, keys)
            agreed += 1
            head = next(waiting, None)
    if head is not None:
        raise LogBroken(f"{head.size} entries were signed, {frontier.size} are there")
    if frontier.size and (not heads or heads[-1].size != frontier.size):
        raise LogBroken(f"nothing signs the last of {frontier.size} entries")
    kept = LogHead.objects.filter(size__gt=0).first()
    if (bytes(kept.frontier) if kept else Frontier().to_bytes()) != frontier.to_bytes():
        raise LogBroken("the state that the log is continued from is not that of its entries")
    return Standing(frontier.size, frontier.root(), len(heads))


def _compare(head: Checkpoint, frontier: Frontier, keys: list[LogKey]) -> None:
    valid = [key for key in keys if key.valid_from < head.size]
    if not valid:
        raise LogBroken(f"no key is on record for the head over {head.size} entries")
    try:
        signed = verify_checkpoint(head.note, VerifierKey.parse(valid[-1].vkey))
    except NoteFault as fault:
        raise LogBroken(f"the head over {head.size} entries: {fault}") from fault
    if (
        not (signed.size, signed.root)
        == (head.size, bytes(head.root))
        == (
            frontier.size,
            frontier.root(),
        )
    ):
        raise LogBroken(f"the head signed over {head.size} entries has another root than they have")
