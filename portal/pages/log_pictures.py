"""Draws the log: how it grew over time, and the way from one entry up to the signed root. SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from evidence.history import Point

WIDTH, HEIGHT = 760, 220  # of the chart, in the picture's own units
LEFT, TOP, BOTTOM = 70, 22, 26  # around it
BOX, ROW, MIDDLE = 140, 44, 165  # of the way to the root: a box, a step, where the way runs


@dataclass(frozen=True)
class Mark:
    """Something at a moment beside the curve. kind: key or gap."""

    kind: str
    at: datetime
    title: str


def growth(points: Sequence[Point], marks: Sequence[Mark], said: str) -> SafeString:
    """The size of the log over time, a dot for each signed head (or some of them together).

    Filled dots are cosigned by the quorum. said: the picture in a sentence.
    """
    if not points:
        return SafeString("")
    first, last = points[0].at, points[-1].at
    seconds = max(1.0, (last - first).total_seconds())
    most = max(1, points[-1].size)

    def x(at: datetime) -> float:
        share = (at - first).total_seconds() / seconds
        return round(LEFT + min(1.0, max(0.0, share)) * WIDTH, 1)

    def y(size: int) -> float:
        return round(TOP + HEIGHT * (1 - size / most), 1)

    bottom = TOP + HEIGHT
    way = f"M{LEFT} {y(points[0].size)}" + "".join(
        f"H{x(point.at)}V{y(point.size)}" for point in points
    )
    grid = format_html_join(
        "",
        '<path class="grid" d="M{} {}h{}"/><text class="number" x="{}" y="{}">{}</text>',
        (
            (LEFT, y(size), WIDTH, LEFT - 8, y(size) + 4, f"{size:,}")
            for size in sorted({0, most // 2, most})
        ),
    )
    lines = format_html_join(
        "",
        '<g class="mark-{}"><title>{}</title><path d="M{} {}V{}"/>'
        '<circle cx="{}" cy="{}" r="4"/></g>',
        ((mark.kind, mark.title, x(mark.at), TOP, bottom, x(mark.at), TOP - 6) for mark in marks),
    )
    dots = format_html_join(
        "",
        '<circle class="{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>',
        (
            (
                "cosigned" if point.cosigned else "alone",
                x(point.at),
                y(point.size),
                _of(point),
            )
            for point in points
        ),
    )
    return format_html(
        '<svg class="growth" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img"'
        ' aria-label="{2}">{3}<path class="curve" d="{4}"/>{5}{6}'
        '<text x="{7}" y="{8}">{9}</text><text class="number" x="{10}" y="{8}">{11}</text></svg>',
        LEFT + WIDTH + 12,
        bottom + BOTTOM,
        said,
        grid,
        way,
        lines,
        dots,
        LEFT,
        bottom + 18,
        f"{first:%Y-%m-%d %H:%M}",
        LEFT + WIDTH,
        f"{last:%Y-%m-%d %H:%M} UTC",
    )


def _of(point: Point) -> str:
    heads = "head" if point.heads == 1 else f"{point.heads} heads up to the one"
    cosigned = "cosigned" if point.cosigned else "not cosigned"
    return f"{heads} over {point.size:,} entries, {point.at:%Y-%m-%d %H:%M:%S} UTC, {cosigned}"


@dataclass(frozen=True)
class Step:
    """One step up the tree: what stands beside the way, and what the two give together."""

    side: str  # left or right: where the other half stands
    first: int  # of the entries below it
    last: int
    gives_first: int
    gives_last: int
    hashed: str  # of what stands beside, hex

    @property
    def sentence(self) -> str:
        """The step in words."""
        other = _entries(self.first, self.last)
        order = "before" if self.side == "left" else "after"
        return (
            f"the hash of {other}, which stand {order} it, gives the hash of"
            f" {_entries(self.gives_first, self.gives_last)}"
        )


def steps_to_root(index: int, size: int, proof: Sequence[bytes]) -> list[Step]:
    """The way of an inclusion proof (RFC 9162, 2.1.3) from the entry up; as long as `proof`."""
    down: list[tuple[str, int, int, int, int]] = []
    low, high = 0, size
    while high - low > 1:
        # The left half is the largest power of two that is smaller than the whole.
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        if index < middle:
            down.append(("right", middle, high - 1, low, high - 1))
            high = middle
        else:
            down.append(("left", low, middle - 1, low, high - 1))
            low = middle
    return [Step(*step, hashed.hex()) for step, hashed in zip(reversed(down), proof, strict=False)]


def way_up(index: int, steps: Sequence[Step], said: str) -> SafeString:
    """The steps as a ladder from the entry below to the root on top. said: it in a sentence."""
    height = (len(steps) + 1) * ROW
    parts = []
    for number, step in enumerate(steps, start=1):
        y = height - number * ROW - ROW + 6
        below = y + ROW
        x = 8 if step.side == "left" else MIDDLE + BOX + 22
        joint = x + BOX if step.side == "left" else x
        label = "root, signed" if number == len(steps) else "hash of"
        parts.append(
            format_html(
                '<g class="lines"><path d="M{0} {1}V{2}"/><path d="M{3} {4}L{5} {6}"/></g>'
                '<g class="node other"><title>{7}</title><rect x="{8}" y="{9}" width="{10}"'
                ' height="32" rx="4"/><text x="{11}" y="{12}">{13}</text></g>'
                '<g class="node {14}"><rect x="{15}" y="{16}" width="{10}" height="32" rx="4"/>'
                '<text x="{17}" y="{18}">{19}</text></g>',
                MIDDLE + BOX / 2,
                below,
                y + 32,
                joint,
                below + 16,
                MIDDLE + (40 if step.side == "left" else BOX - 40),
                y + 32,
                step.hashed,
                x,
                below,
                BOX,
                x + 10,
                below + 20,
                _short(_entries(step.first, step.last)),
                "held" if number == len(steps) else "place",
                MIDDLE,
                y,
                MIDDLE + 10,
                y + 20,
                _short(f"{label} {_entries(step.gives_first, step.gives_last)}"),
            )
        )
    return format_html(
        '<svg class="paths" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img"'
        ' aria-label="{2}">{3}<g class="node person"><rect x="{4}" y="{5}" width="{6}" height="32"'
        ' rx="4"/><text x="{7}" y="{8}">entry {9}</text></g></svg>',
        2 * BOX + MIDDLE + 30,
        height,
        said,
        SafeString("".join(parts)),
        MIDDLE,
        height - ROW + 6,
        BOX,
        MIDDLE + 10,
        height - ROW + 26,
        index,
    )


def _entries(first: int, last: int) -> str:
    return f"entry {first}" if first == last else f"entries {first:,} to {last:,}"


def _short(text: str) -> str:
    text = text.replace("entries ", "").replace("hash of ", "")
    return text if len(text) <= 26 else text[:25] + "…"
