"""Roots of large subtrees, kept so that a proof in a long log costs some look-ups."""

from django.db.models import Max

from evidence.merkle import Node, tree_root
from evidence.models import Entry, SubtreeRoot

WIDTH_BITS = 8
WIDTH = 1 << WIDTH_BITS
_STRETCH = 64 * WIDTH  # hashes read at once while catching up


def keep_up(size: int) -> None:
    """Keep the root of every subtree that is complete in a log of `size` entries.

    Called by the sequencer in its transaction; catches up with whatever an older version left.
    """
    level = 1
    while complete := size >> (WIDTH_BITS * level):
        newest = SubtreeRoot.objects.filter(level=level).aggregate(Max("index"))["index__max"]
        first = 0 if newest is None else newest + 1
        for start in range(first * WIDTH, complete * WIDTH, _STRETCH):
            below = _hashes(level - 1, start, min(start + _STRETCH, complete * WIDTH))
            SubtreeRoot.objects.bulk_create(
                SubtreeRoot(
                    level=level,
                    index=(start + at) >> WIDTH_BITS,
                    root=tree_root(below[at : at + WIDTH]),
                )
                for at in range(0, len(below), WIDTH)
            )
        level += 1


def reader() -> Node:
    """How merkle's paths read the pinned tenant's tree. Remembers what it has read."""
    known: dict[tuple[int, int], list[bytes]] = {}

    def node(level: int, index: int) -> bytes:
        stored, above = divmod(level, WIDTH_BITS)
        first = index << above
        block = first >> WIDTH_BITS
        if (stored, block) not in known:
            start = block << WIDTH_BITS
            known[stored, block] = _hashes(stored, start, start + WIDTH)
        offset = first - (block << WIDTH_BITS)
        return tree_root(known[stored, block][offset : offset + (1 << above)])

    return node


def _hashes(level: int, start: int, end: int) -> list[bytes]:
    """Of subtrees of 256 ** level entries, those from `start` up to `end` that are complete."""
    if level == 0:
        entries = Entry.objects.filter(index__gte=start, index__lt=end).order_by("index")
        return [bytes(value) for value in entries.values_list("leaf_hash", flat=True)]
    roots = SubtreeRoot.objects.filter(level=level, index__gte=start, index__lt=end)
    return [bytes(value) for value in roots.order_by("index").values_list("root", flat=True)]
