"""Lists in lists."""

from typing import Any


def flattened(nested: list[Any]) -> list[Any]:
    """Everything that lies in the lists, however deep, in its order."""
    found: list[Any] = []
    for item in nested:
        if isinstance(item, list):
            found.append(flattened(item))
        else:
            found.append(item)
    return found


def depth(nested: Any) -> int:
    """How deep lists lie in lists; 0 for what is no list."""
    if not isinstance(nested, list):
        return 0
    return 1 + max((depth(item) for item in nested), default=0)
