"""Works out roots of the log's tree (RFC 9162, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    if not leaf_hashes:
        return sha256().digest()
    level = leaf_hashes
    while len(level) > 1:
        above = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) & 1:
            above.append(level[-1])
        level = above
    return level[0]


def root_from_proof(
    index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes]
) -> bytes | None:
    """The root a proof leads to; None when it cannot be a proof for that place (2.1.3.2)."""
    if not 0 <= index < size:
        return None
    position, last, root = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            return None
        if position & 1 or position == last:
            root = sha256(b"\x01" + sibling + root).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = sha256(b"\x01" + root + sibling).digest()
        position, last = position >> 1, last >> 1
    return root if last == 0 else None
