"""Draws the coverage of a framework as squares, one a control that it leads to: an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH = 900  # of a row, in the picture's own units
SIZE, GAP = 15, 3  # of a square
BETWEEN = 9  # two groups


@dataclass(frozen=True)
class Square:
    """One control. strength: its place in evidence.controls.STRENGTHS, 0 the strongest."""

    control_id: str
    strength: int
    title: str


def draw(groups: Sequence[tuple[str, Sequence[Square]]], framework: str, said: str) -> SafeString:
    """The groups one after the other, with some room between. said: the picture in a sentence.

    The table beside it says the same for those who do not see it; colour is not all there is: what
    has no evidence is hollow.
    """
    x = y = 0
    rows: list[tuple[object, ...]] = []
    for group, squares in groups:
        for square in squares:
            if x + SIZE > WIDTH:
                x, y = 0, y + SIZE + GAP
            title = f"{square.title} ({group})"
            address = reverse("control", args=[framework, square.control_id])
            rows.append((address, title, square.strength, x, y, SIZE, SIZE, title))
            x += SIZE + GAP
        x += BETWEEN
    return format_html(
        '<svg class="heat" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="group"'
        ' aria-label="{2}">{3}</svg>',
        WIDTH,
        y + SIZE + 1,
        said,
        format_html_join(
            "",
            '<a href="{}" aria-label="{}"><rect class="strength-{}" x="{}" y="{}" width="{}"'
            ' height="{}" rx="3"><title>{}</title></rect></a>',
            rows,
        ),
    )
