"""Keeps a request from reading rows that nobody asked about.

A request opens tables by asking: each yes of a decision opens the tables that go with that right
(authz.opened says which). A query on any other walled table raises Unasked before it is sent, so a
door that forgot to ask shows an error and no rows. Rows that a decision filtered are marked, and
need no table to be open. Changing rows takes change(), or a purpose that is named below.

Jobs and commands are not watched: what they change goes through change() like all else.
"""

from collections.abc import Iterable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import cache
from typing import Any, Self

from django.apps import apps

from tenants.errors import Unasked


class Purpose(StrEnum):
    """Why rows may be touched without a question: the product needs them to be able to ask."""

    CHANGE = "a change that was decided on"
    DECIDE = "deciding, and finding who else could"
    RECORD = "putting on record what was decided"
    SIGN_IN = "finding out who it is, and whether they are still let in"
    TELL = "telling everybody here that somebody from outside is let in"
    OWN = "one's own account, and nobody else's"


_opened: ContextVar[set[str] | None] = ContextVar("countersign_opened", default=None)
_purpose: ContextVar[Purpose | None] = ContextVar("countersign_purpose", default=None)

MARK = "asked_about"


@contextmanager
def watched() -> Iterator[None]:
    """Refuse, in the block, every query that nobody asked about. For one request."""
    token = _opened.set(set())
    try:
        yield
    finally:
        _opened.reset(token)


class without_asking(ContextDecorator):  # read as a verb, like the others
    """Let the block touch rows for a purpose of the product itself. Also a decorator.

    A test names every place that uses it. One of its own for each block: every change opens two.
    """

    def __init__(self, purpose: Purpose) -> None:
        self._of = purpose

    def _recreate_cm(self) -> Self:
        # As a decorator one stands for every call, in whatever thread.
        return type(self)(self._of)

    def __enter__(self) -> None:
        self._token = _purpose.set(self._of)

    def __exit__(self, *error: object) -> None:
        _purpose.reset(self._token)


def opens(tables: Iterable[str]) -> None:
    """Somebody may: from now on this request may read these tables."""
    if (opened := _opened.get()) is not None:
        opened.update(tables)


def mark(rows: Any) -> None:
    """These rows (a QuerySet) were filtered by a decision; so is everything narrowed from them."""
    setattr(rows.query, MARK, True)


def check(query: Any, *, writes: bool) -> None:
    """Called for each query of the ORM before it is sent. Raises Unasked."""
    if _opened.get() is None or _purpose.get() is not None:
        return
    table = query.model._meta.db_table
    if table not in _walled():
        return
    if writes:
        raise Unasked(f"rows of {table} would be changed outside of change()")
    if not getattr(query, MARK, False):
        check_table(table)


def check_table(table: str) -> None:
    """check() for what this process remembers of a table's rows. Raises Unasked."""
    opened = _opened.get()
    if opened is None or _purpose.get() is not None or table in opened:
        return
    raise Unasked(
        f"rows of {table} would be read, and nothing that was asked in this request opens them;"
        " use visible(), require() or change() first"
    )


@cache
def _walled() -> frozenset[str]:
    return frozenset(
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if any(field.column == "tenant_id" for field in model._meta.local_concrete_fields)
    )
