"""Works out roots of the log's tree (RFC 9162, section 2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Tree:
    """The beginning of a log: how many entries, one root per perfect subtree, largest first."""

    size: int = 0
    subtree_roots: tuple[bytes, ...] = ()

    def extended(self, leaf_hashes: Iterable[bytes]) -> bytes:
        """The root once these leaves have followed."""
        size, roots = self.size, list(self.subtree_roots)
        for leaf_hash in leaf_hashes:
            merged, remaining = leaf_hash, size
            while remaining & 1:
                merged = sha256(b"\x01" + roots.pop() + merged).digest()
                remaining >>= 1
            roots.append(merged)
            size += 1
        if not roots:
            return sha256().digest()
        root = roots.pop()
        while roots:
            root = sha256(b"\x01" + roots.pop() + root).digest()
        return root


def is_consistent(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows the older tree to be a beginning of the newer (2.1.4.2)."""
    if not 0 < old_size < new_size:
        return False
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first = sha256(b"\x01" + sibling + first).digest()
            second = sha256(b"\x01" + sibling + second).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = sha256(b"\x01" + second + sibling).digest()
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
