"""The append-only Merkle tree of a log: roots, frontiers, proofs (RFC 9162, section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()


class ProofError(ValueError):
    """A proof or a frontier has a shape that no tree could have."""


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root of the tree over `leaf_hashes`, in log order; of none, the hash of the empty string."""
    if not leaf_hashes:
        return EMPTY_ROOT
    return _levels(leaf_hashes)[-1][0]


class Frontier:
    """All that must be kept of a tree to extend it: one root per perfect subtree, largest first.

    `subtree_roots` holds as many hashes as `size` has bits set.
    """

    __slots__ = ("size", "subtree_roots")

    def __init__(self, size: int = 0, subtree_roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self.subtree_roots = list(subtree_roots)
        if size < 0 or len(self.subtree_roots) != size.bit_count():
            raise ProofError(f"{len(self.subtree_roots)} hashes cannot be the frontier of {size}")
        if any(len(root) != HASH_BYTES for root in self.subtree_roots):
            raise ProofError("a frontier holds hashes of 32 bytes")

    def append(self, hash_of_leaf: bytes) -> None:
        if len(hash_of_leaf) != HASH_BYTES:
            raise ProofError("append() takes the hash of a leaf, 32 bytes")
        merged, remaining = hash_of_leaf, self.size
        while remaining & 1:
            merged = node_hash(self.subtree_roots.pop(), merged)
            remaining >>= 1
        self.subtree_roots.append(merged)
        self.size += 1

    def extend(self, hashes_of_leaves: Iterable[bytes]) -> None:
        for hash_of_leaf in hashes_of_leaves:
            self.append(hash_of_leaf)

    def root(self) -> bytes:
        if not self.subtree_roots:
            return EMPTY_ROOT
        *larger, root = self.subtree_roots
        for left in reversed(larger):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """Eight bytes of size (big-endian), then the hashes, largest subtree first."""
        return self.size.to_bytes(8) + b"".join(self.subtree_roots)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Frontier:
        """Read back what to_bytes() wrote; raises ProofError on any other bytes."""
        if len(stored) < 8 or (len(stored) - 8) % HASH_BYTES:
            raise ProofError(f"{len(stored)} bytes are no stored frontier")
        hashes = stored[8:]
        roots = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
        return cls(int.from_bytes(stored[:8]), roots)


def inclusion_proof(index: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """Sibling hashes from the leaf at `index` up to the root's child (RFC 9162, 2.1.3.1)."""
    return inclusion_proofs([index], leaf_hashes)[index]


def inclusion_proofs(
    indexes: Iterable[int], leaf_hashes: Sequence[bytes]
) -> dict[int, list[bytes]]:
    """The inclusion proof of each index; hashes the tree once however many are asked for."""
    levels = _levels(leaf_hashes) if leaf_hashes else []
    proofs: dict[int, list[bytes]] = {}
    for index in indexes:
        if not 0 <= index < len(leaf_hashes):
            raise ProofError(f"no leaf {index} in a tree of {len(leaf_hashes)}")
        position, proof = index, []
        for level in levels[:-1]:
            if (sibling := position ^ 1) < len(level):
                proof.append(level[sibling])
            position >>= 1
        proofs[index] = proof
    return proofs


# A tree may be too large to be held: these read what they need through `node(level, index)`, which
# gives the root of the index-th perfect subtree of 2 ** level leaves.
Node = Callable[[int, int], bytes]


def range_root(start: int, end: int, node: Node) -> bytes:
    """Root over the leaves from `start` up to `end`, as it stands in a tree that begins at 0.

    start: a multiple of the smallest power of two >= end - start, as in every subtree of a tree.
    """
    size = end - start
    if size & (size - 1) == 0:
        return node(size.bit_length() - 1, start // size)
    split = start + (1 << ((size - 1).bit_length() - 1))
    return node_hash(range_root(start, split, node), range_root(split, end, node))


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """inclusion_proof() of a tree of `size` leaves that is read through `node`."""
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            path.append(range_root(split, end, node))
            end = split
        else:
            path.append(range_root(start, split, node))
            start = split
    return path[::-1]


def consistency_path(old_size: int, size: int, node: Node) -> list[bytes]:
    """consistency_proof() in a tree of `size` leaves that is read through `node`."""
    if not 0 < old_size <= size:
        raise ProofError(f"no proof from {old_size} to {size}")
    path: list[bytes] = []
    start, end, known = 0, size, True
    while end != old_size:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old_size <= split:
            path.append(range_root(split, end, node))
            end = split
        else:
            path.append(range_root(start, split, node))
            start, known = split, False
    if not known:
        path.append(range_root(start, end, node))
    return path[::-1]


def root_from_inclusion(index: int, size: int, hash_of_leaf: bytes, proof: list[bytes]) -> bytes:
    """The root that `proof` leads to; compare it with the signed one.

    Raises ProofError when the proof is too long or too short for that place in the tree.
    Source: RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    position, last, root = index, size - 1, hash_of_leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof is too short")
    return root


def consistency_proof(old_size: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """Hashes that show the tree of `old_size` leaves to be a beginning of this one (2.1.4.1)."""
    if not 0 < old_size <= len(leaf_hashes):
        raise ProofError(f"no proof from {old_size} to {len(leaf_hashes)}")
    return _subproof(old_size, leaf_hashes, known=True)


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: list[bytes]
) -> bool:
    """Whether the tree with `old_root` is a beginning of the one with `new_root` (2.1.4.2)."""
    if not 0 < old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        # A perfect old tree is a node of the new one, so its root is left out of the proof.
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first, second = path[0], path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _levels(leaf_hashes: Sequence[bytes]) -> list[list[bytes]]:
    """Every level from the leaves to the root; an unpaired last node moves up unchanged."""
    levels = [list(leaf_hashes)]
    while len(below := levels[-1]) > 1:
        above = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(below[::2], below[1::2], strict=False)
        ]
        if len(below) & 1:
            above.append(below[-1])
        levels.append(above)
    return levels


def _subproof(old_size: int, leaf_hashes: Sequence[bytes], *, known: bool) -> list[bytes]:
    """`known` says that the verifier already holds the root of these leaves."""
    size = len(leaf_hashes)
    if old_size == size:
        return [] if known else [tree_root(leaf_hashes)]
    split = 1 << ((size - 1).bit_length() - 1)
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if old_size <= split:
        return [*_subproof(old_size, left, known=known), tree_root(right)]
    return [*_subproof(old_size - split, right, known=False), tree_root(left)]
