"""Draws the coverage of a framework as squares, one a control that it leads to."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


@dataclass(frozen=True)
class Square:
    """One control. strength: its place in evidence.controls.STRENGTHS, 0 the strongest."""

    control_id: str
    strength: int
    title: str


def draw(groups: Sequence[tuple[str, Sequence[Square]]], framework: str, said: str) -> SafeString:
    """The groups one after the other, with some room between; they wrap where the page ends.

    said: the picture in a sentence. The table beside it says the same for those who do not see it;
    colour is not all there is: what has no evidence is hollow.
    """
    return format_html(
        '<div class="heat" role="group" aria-label="{}">{}</div>',
        said,
        format_html_join(
            SafeString('<span class="apart"></span>'),
            "{}",
            ((_group(title, squares, framework),) for title, squares in groups),
        ),
    )


def _group(group: str, squares: Sequence[Square], framework: str) -> SafeString:
    rows = []
    for square in squares:
        title = f"{square.title} ({group})"
        address = reverse("control", args=[framework, square.control_id])
        rows.append((square.strength, address, title, title))
    return format_html_join(
        "", '<a class="square strength-{}" href="{}" title="{}" aria-label="{}"></a>', rows
    )
