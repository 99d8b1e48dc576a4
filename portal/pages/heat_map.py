"""Draws the coverage of a framework as squares, one a control that it leads to: an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

ACROSS = 40  # squares in a row
SIZE, GAP = 15, 3  # of a square, in the picture's own units
HEADING = 17  # height of a group's name


@dataclass(frozen=True)
class Square:
    """One control. strength: its place in evidence.controls.STRENGTHS, 0 the strongest."""

    control_id: str
    strength: int
    title: str


def draw(groups: Sequence[tuple[str, Sequence[Square]]], framework: str, said: str) -> SafeString:
    """The groups from above, each with its name and its squares. said: the picture in a sentence.

    The table beside it says the same for those who do not see it; colour is not all there is: what
    has no evidence is hollow.
    """
    y, parts = 0, []
    width = ACROSS * (SIZE + GAP)
    for title, squares in groups:
        parts.append(format_html('<text x="0" y="{}">{}</text>', y + 12, _short(title)))
        y += HEADING
        parts.append(
            format_html_join(
                "",
                '<a href="{}" aria-label="{}"><rect class="strength-{}" x="{}" y="{}" width="{}"'
                ' height="{}" rx="3"><title>{}</title></rect></a>',
                (
                    (
                        reverse("control", args=[framework, square.control_id]),
                        square.title,
                        square.strength,
                        number % ACROSS * (SIZE + GAP),
                        y + number // ACROSS * (SIZE + GAP),
                        SIZE,
                        SIZE,
                        square.title,
                    )
                    for number, square in enumerate(squares)
                ),
            )
        )
        y += -(-len(squares) // ACROSS) * (SIZE + GAP) + 8
    return format_html(
        '<svg class="heat" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="group"'
        ' aria-label="{2}">{3}</svg>',
        width,
        y,
        said,
        SafeString("".join(parts)),
    )


def _short(title: str) -> str:
    return title if len(title) <= 100 else title[:99].rstrip() + "…"
