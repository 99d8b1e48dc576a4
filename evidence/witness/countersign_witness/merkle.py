"""Whether one tree continues another (RFC 9162, section 2.1.4.2)."""

from hashlib import sha256

EMPTY_ROOT = sha256().digest()


def continues(
    old_size: int, size: int, old_root: bytes, root: bytes, proof: tuple[bytes, ...]
) -> bool:
    """Whether the tree of `size` leaves begins with the one of `old_size`, 0 < old_size <= size."""
    if old_size == size:
        return not proof and old_root == root
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old_size - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = _node(sibling, first), _node(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = _node(second, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
