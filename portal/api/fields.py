"""Kinds of fields that several subjects share."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

# PostgreSQL keeps every character but this one.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


def one_of(words: Iterable[str], description: str = "", default: Any = ...) -> Any:
    """A field that holds one of `words`.

    Spelled out where it stands: classes called State in several places would become one name in
    the API's description.
    """
    enum: dict[str, Any] = {"enum": list(words)}
    return Field(default, description=description or None, json_schema_extra=enum)


class Named(Schema):
    """A person or thing, by id and name."""

    id: UUID
    name: str
