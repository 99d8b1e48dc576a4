"""Django's compilers for PostgreSQL, each asking tenants.asked before a query is sent."""

from typing import Any

from django.db.backends.postgresql import compiler

from tenants import asked

SENT = "countersign_sent"


class SQLCompiler(compiler.SQLCompiler):
    """SELECT. Leaves at the query its SQL, for whoever puts on record what was sent."""

    def as_sql(self, *args: Any, **options: Any) -> Any:
        said = super().as_sql(*args, **options)
        if not args and not options:  # the whole of it, not a part of another
            setattr(self.query, SENT, said)
        return said

    def execute_sql(self, *args: Any, **options: Any) -> Any:
        asked.check(self.query, writes=False)
        return super().execute_sql(*args, **options)


class SQLAggregateCompiler(compiler.SQLAggregateCompiler):
    """Figures of a query with groups, a limit or distinct rows."""

    def execute_sql(self, *args: Any, **options: Any) -> Any:
        asked.check(self.query.inner_query, writes=False)
        return super().execute_sql(*args, **options)


class SQLInsertCompiler(compiler.SQLInsertCompiler):
    """INSERT."""

    def execute_sql(self, *args: Any, **options: Any) -> Any:
        asked.check(self.query, writes=True)
        return super().execute_sql(*args, **options)


class SQLUpdateCompiler(compiler.SQLUpdateCompiler):
    """UPDATE."""

    def execute_sql(self, *args: Any, **options: Any) -> Any:
        asked.check(self.query, writes=True)
        return super().execute_sql(*args, **options)


class SQLDeleteCompiler(compiler.SQLDeleteCompiler):
    """DELETE."""

    def execute_sql(self, *args: Any, **options: Any) -> Any:
        asked.check(self.query, writes=True)
        return super().execute_sql(*args, **options)
