"""How long lists are read: some rows at a time, newest first."""

from typing import Any

from django.db.models import Model, QuerySet
from ninja import Schema
from pydantic import Field


class Paging(Schema):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="At most this many rows.")
    offset: int = Field(0, ge=0, le=1_000_000, description="Rows to leave out first.")

    def of[M: Model](self, rows: QuerySet[M]) -> dict[str, Any]:
        """That part, with the number of rows there are altogether."""
        return {"items": rows[self.offset : self.offset + self.limit], "count": rows.count()}


class Page[Row](Schema):
    """A part of a list."""

    items: list[Row]
    count: int = Field(description="Rows altogether.")
