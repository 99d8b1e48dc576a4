"""Brings what a cell has of triggers and functions to what the model and the sources say."""

from hashlib import sha256

from django.db import connection
from psycopg import sql

from authz import relations_sql, tuples
from authz.model import MODEL


def install(schema: str) -> None:
    """Make triggers and functions anew, then all tuples, when this version's are other ones.

    For bootstrap, which runs at every deployment: as the owner, inside a transaction. Nobody
    writes to the tables meanwhile. So a change of the model needs no migration of its own.
    """
    made = [statement.as_string(None) for statement in tuples.statements(schema)]
    made += relations_sql.statements(MODEL, schema, f'"{schema}".authz_tuple')
    digest = sha256("\n".join(made).encode()).hexdigest()
    if digest == _installed(schema):
        return
    with connection.cursor() as cursor:
        for statement in made:
            cursor.execute(statement)
        tuples.fill(schema)
        cursor.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(
                sql.Identifier(schema, "authz_tuple"), sql.Literal(digest)
            )
        )


def _installed(schema: str) -> str | None:
    """Digest of what the cell has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c"
            " WHERE c.relnamespace = %s::regnamespace AND c.relname = 'authz_tuple'",
            [f'"{schema}"'],
        )
        found: tuple[str | None] = cursor.fetchone()
    return found[0]
