"""Sorts a list, cuts it into pages, as its address says."""

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

ROWS = 25  # on one page


def page_of[M: Model](
    request: HttpRequest, rows: QuerySet[M], columns: Mapping[str, str], first: str
) -> dict[str, Any]:
    """One page of `rows` for a template: `page`, with the `sort` in force.

    columns: name in the address -> field to sort by. first: the sort when the address names none
    or an unknown one; a leading minus turns any of them round.
    """
    sort = request.GET.get("sort", first)
    if sort.removeprefix("-") not in columns:
        sort = first
    field = columns[sort.removeprefix("-")]
    # The id settles ties, so that no row stands on two pages.
    ordered = rows.order_by(f"-{field}" if sort.startswith("-") else field, "pk")
    page: Page[M] = Paginator(ordered, ROWS).get_page(request.GET.get("page"))
    return {"page": page, "sort": sort}
