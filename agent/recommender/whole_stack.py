"""The stack that fits together best: a beam search over the layers, then one step of polish."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

WIDTH = 32
ROUNDS = 8

# (layer, option, the other layers' choices) to what the option is worth there, 0 to 1.
Worth = Callable[[str, str, frozenset[str]], float]


def best_stack(
    options: Mapping[str, Sequence[str]],
    worth: Worth,
    apart: Mapping[str, Collection[str]],
    *,
    width: int = WIDTH,
) -> dict[str, str]:
    """One option per layer with the highest sum of worth; layers without options are left out.

    options: layer to candidates. apart: option to those it cannot be used with, named on both
    sides; two such are never chosen together unless a layer has
    nothing else. The order of candidates changes nothing: equal sums are decided by name.
    """
    states: list[tuple[float, tuple[tuple[str, str], ...]]] = [(0.0, ())]
    for layer, names in options.items():
        if not names:
            continue
        grown = []
        for total, chosen in states:
            others = frozenset(name for _, name in chosen)
            fitting = _fitting(names, others, apart)
            for name in fitting or names:
                grown.append((total + worth(layer, name, others), (*chosen, (layer, name))))
        grown.sort(key=lambda state: (-round(state[0], 9), [name for _, name in state[1]]))
        states = grown[:width]
    return _polished(dict(states[0][1]), options, worth, apart)


def _fitting(
    names: Sequence[str], others: frozenset[str], apart: Mapping[str, Collection[str]]
) -> Sequence[str]:
    if not apart:
        return names
    return [name for name in names if name not in apart or others.isdisjoint(apart[name])]


def _polished(
    stack: dict[str, str],
    options: Mapping[str, Sequence[str]],
    worth: Worth,
    apart: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """Let every layer answer to all others, until nothing moves."""
    for _ in range(ROUNDS):
        before = dict(stack)
        for layer in stack:
            others = frozenset(name for other, name in stack.items() if other != layer)
            fitting = _fitting(options[layer], others, apart)
            stack[layer] = min(
                fitting or options[layer],
                key=lambda name: (-round(worth(layer, name, others), 9), name),
            )
        if stack == before:
            break
    return stack
