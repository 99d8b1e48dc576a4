"""Columns for searching: PostgreSQL's vector type, and words ready for full-text search."""

from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.search import SearchVectorField
from django.core.checks import CheckMessage
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class VectorField(models.TextField):  # type: ignore[type-arg]
    """Numbers for nearness, in the text form of the vector extension: "[0.1,-0.2]".

    dimensions: how many there are. No index: rows of one tenant are few enough to look at each,
    and an index over all tenants would find neighbours that the wall then takes away.
    """

    def __init__(self, *args: Any, dimensions: int, **options: Any) -> None:
        self.dimensions = dimensions
        super().__init__(*args, **options)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The type with its schema, which is on nobody's search path in a cell of its own."""
        return f"public.vector({self.dimensions})"

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        return name, path, args, options | {"dimensions": self.dimensions}


class WordsField(SearchVectorField):  # type: ignore[type-arg]
    """Words of a text as PostgreSQL searches them.

    Works without the app django.contrib.postgres, which asks the database for types of other
    extensions each time a connection opens.
    """

    def check(self, **options: Any) -> list[CheckMessage]:
        """Nothing to complain about: no part of that app is used."""
        return []
