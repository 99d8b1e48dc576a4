"""What a rule about the wall is, and how the catalogue of a database is asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.apps import apps
from django.conf import settings

# What stands in a cell without belonging to a tenant. Nobody but the owner may touch it.
BOOKKEEPING = {"django_migrations"}


class Cursor(Protocol):
    """What is needed of a database cursor, Django's or psycopg's."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    rule: str
    thing: str  # schema.table, schema.table.constraint, role, ...
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.thing}: {self.found}. {self.remedy}"


@dataclass(frozen=True)
class Rule:
    """A promise about the catalogue: the name, what to do when it is broken, who looks."""

    name: str
    remedy: str
    look: Callable[["Catalogue"], Iterator[tuple[str, str]]]  # yields thing, found


class Catalogue:
    """The catalogue of one database, asked in SQL."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """Rows of a query, in which each word of WORDS stands for what it says there."""
        for word, meaning in WORDS.items():
            sql = sql.replace(word, meaning)
        self.cursor.execute(sql, values)
        return self.cursor.fetchall()


# Read again after each replacement, so those that contain others come first.
WORDS = {
    # Tables of all cells that have a tenant_id; `tenant` is the number of that column.
    "{walled}": "(SELECT * FROM {tables} t WHERE t.tenant IS NOT NULL)",
    "{tables}": "(SELECT c.oid, n.nspname, c.relname,"
    " format('%%s.%%s', n.nspname, c.relname) AS name,"
    " (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid"
    " AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS tenant"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE {user} AND n.nspname <> 'public' AND c.relkind IN ('r', 'p'))",
    # Whether the namespace n is not one of PostgreSQL's own.
    "{user}": "(n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')",
    # Whether the object o, of the catalogue o.classid, came with an extension.
    "{member}": "EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.classid AND d.objid = o.oid"
    " AND d.deptype = 'e')",
}

RULES: list[Rule] = []


def rule(name: str, remedy: str) -> Callable[[Any], Any]:
    """Have the decorated function looked at by findings()."""

    def remembered(look: Any) -> Any:
        RULES.append(Rule(name, remedy, look))
        return look

    return remembered


def models() -> list[Any]:
    """Models whose tables stand in each cell."""
    return [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    ]


def cells(catalogue: Catalogue) -> list[str]:
    """Schemas that hold tenants' rows, by name."""
    return [
        row[0]
        for row in catalogue.ask(
            "SELECT n.nspname FROM pg_namespace n WHERE {user} AND n.nspname <> 'public' ORDER BY 1"
        )
    ]


def text(letter: str | bytes) -> str:
    """PostgreSQL's "char" type, which drivers give as text or as a byte."""
    return letter.decode() if isinstance(letter, bytes) else letter
