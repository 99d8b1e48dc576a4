"""Draws the ways from an object to people as a picture that needs no script: an SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 172, 42  # of a box, in the picture's own units
ACROSS, DOWN = 28, 12  # between two boxes
CUT = 19  # characters of a name that fit


@dataclass(frozen=True)
class Node:
    """One box. key: nodes with the same key are one box. kind: object, place, held, team, person;
    said: the line above the name."""

    key: tuple[object, ...]
    kind: str
    said: str
    name: str


Chain = Sequence[Node]  # from the object to the person


def sentence(chain: Chain) -> str:
    """The same way in words, for those who do not see the picture and for copying."""
    return " → ".join(f"{node.said} {node.name}".strip() for node in chain)


def draw(chains: Iterable[Chain], title: str) -> SafeString:
    """All ways in one picture, what they have in common drawn once; empty for no way.

    The object stands on the left, people on the right, in the order of `chains`.
    """
    ways = [list(chain) for chain in chains if chain]
    if not ways:
        return SafeString("")
    columns = _columns(ways)
    lines = list(dict.fromkeys((a.key, b.key) for way in ways for a, b in pairwise(way)))
    tops = _tops(columns, lines)
    lefts = {
        node.key: x * (WIDTH + ACROSS) + 1 for x, column in enumerate(columns) for node in column
    }
    width = len(columns) * (WIDTH + ACROSS) - ACROSS + 2
    height = max(tops.values()) + HEIGHT + 2
    return format_html(
        '<svg class="paths" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img"'
        ' aria-label="{2}"><g class="lines">{3}</g>{4}</svg>',
        width,
        round(height),
        title,
        format_html_join("", '<path d="{}"/>', ((_curve(a, b, lefts, tops),) for a, b in lines)),
        format_html_join(
            "",
            '<g class="node {}" transform="translate({} {})"><title>{}</title>'
            '<rect width="{}" height="{}" rx="4"/><text class="said" x="10" y="16">{}</text>'
            '<text x="10" y="33">{}</text></g>',
            (
                (
                    node.kind,
                    lefts[node.key],
                    round(tops[node.key], 1),
                    f"{node.said} {node.name}".strip(),
                    WIDTH,
                    HEIGHT,
                    node.said,
                    _short(node.name),
                )
                for column in columns
                for node in column
            ),
        ),
    )


def _columns(ways: list[list[Node]]) -> list[list[Node]]:
    """Boxes by how far they are from the object; people all in the last column."""
    place: dict[tuple[object, ...], int] = {}
    nodes: dict[tuple[object, ...], Node] = {}
    last = max(len(way) for way in ways) - 1
    for way in ways:
        for x, node in enumerate(way):
            nodes.setdefault(node.key, node)
            x = last if node.kind == "person" else x
            place[node.key] = max(place.get(node.key, 0), x)
    columns: list[list[Node]] = [[] for _ in range(last + 1)]
    for key, node in nodes.items():
        columns[place[key]].append(node)
    return columns


def _tops(
    columns: list[list[Node]], lines: list[tuple[tuple[object, ...], tuple[object, ...]]]
) -> dict[tuple[object, ...], float]:
    """Where each box begins from above: each beside the middle of those that it leads to."""
    tops: dict[tuple[object, ...], float] = {}
    for column in reversed(columns):
        wanted = []
        for number, node in enumerate(column):
            onward = [tops[b] for a, b in lines if a == node.key and b in tops]
            middle = sum(onward) / len(onward) if onward else number * (HEIGHT + DOWN)
            wanted.append((middle, number, node))
        free = 1.0
        for middle, _, node in sorted(wanted, key=lambda one: one[:2]):
            tops[node.key] = max(free, middle)
            free = tops[node.key] + HEIGHT + DOWN
    return tops


def _curve(
    a: tuple[object, ...],
    b: tuple[object, ...],
    lefts: dict[tuple[object, ...], int],
    tops: dict[tuple[object, ...], float],
) -> str:
    x, y = lefts[a] + WIDTH, round(tops[a] + HEIGHT / 2, 1)
    to_x, to_y = lefts[b], round(tops[b] + HEIGHT / 2, 1)
    half = round((x + to_x) / 2, 1)
    return f"M{x} {y}C{half} {y} {half} {to_y} {to_x} {to_y}"


def _short(name: str) -> str:
    return name if len(name) <= CUT else name[: CUT - 1].rstrip() + "…"
