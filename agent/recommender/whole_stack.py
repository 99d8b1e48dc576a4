"""The stack that fits together best: a beam search over the layers, then one step of polish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

WIDTH = 32
ROUNDS = 8

# (layer, option, the other layers' choices) to what the option is worth there, 0 to 1.
Worth = Callable[[str, str, frozenset[str]], float]


def best_stack(
    options: Mapping[str, Sequence[str]],
    worth: Worth,
    conflict: Callable[[str, str], bool],
    *,
    width: int = WIDTH,
) -> dict[str, str]:
    """One option per layer with the highest sum of worth; layers without options are left out.

    options: layer to candidates. Two that conflict are never chosen together unless a layer has
    nothing else. The order of candidates changes nothing: equal sums are decided by name.
    """
    states: list[tuple[float, tuple[tuple[str, str], ...]]] = [(0.0, ())]
    for layer, names in options.items():
        if not names:
            continue
        grown = []
        for total, chosen in states:
            others = frozenset(name for _, name in chosen)
            fitting = [name for name in names if not any(conflict(name, o) for o in others)]
            for name in fitting or names:
                grown.append((total + worth(layer, name, others), (*chosen, (layer, name))))
        grown.sort(key=lambda state: (-round(state[0], 9), [name for _, name in state[1]]))
        states = grown[:width]
    return _polished(dict(states[0][1]), options, worth, conflict)


def _polished(
    stack: dict[str, str],
    options: Mapping[str, Sequence[str]],
    worth: Worth,
    conflict: Callable[[str, str], bool],
) -> dict[str, str]:
    """Let every layer answer to all others, until nothing moves."""
    for _ in range(ROUNDS):
        before = dict(stack)
        for layer in stack:
            others = frozenset(name for other, name in stack.items() if other != layer)
            fitting = [
                name for name in options[layer] if not any(conflict(name, o) for o in others)
            ]
            stack[layer] = min(
                fitting or options[layer],
                key=lambda name: (-round(worth(layer, name, others), 9), name),
            )
        if stack == before:
            break
    return stack
