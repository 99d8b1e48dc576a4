"""Sends the pinned tenant to PostgreSQL before the first statement that follows a change of it."""

from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql import base as postgresql
from django.db.backends.postgresql.operations import DatabaseOperations
from django_tenants.postgresql_backend.base import FakeTenant
from django_tenants.postgresql_backend.introspection import DatabaseSchemaIntrospection

from tenants.backend.schema import WalledSchemaEditor
from tenants.scope import pinned

PUBLIC = "public"


def here() -> "DatabaseWrapper":
    """The portal's database, as this thread talks to it."""
    found: DatabaseWrapper = connections[DEFAULT_DB_ALIAS]  # type: ignore[assignment]
    return found


class WalledOperations(DatabaseOperations):
    """Has queries compiled where tenants.asked is asked first."""

    compiler_module = "tenants.backend.compiler"


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """Django's PostgreSQL backend whose session always matches `tenants.scope`.

    The ContextVar is the only truth; this class remembers what it last told the server,
    and forgets that whenever the server may have forgotten it: on connect and close (the
    pool hands sessions on), on rollback, on rollback to a savepoint. Costs one round trip per
    change of tenant, none otherwise. Also speaks django-tenants' protocol (`set_schema`), which
    migrations use while no tenant is pinned.
    """

    SchemaEditorClass = WalledSchemaEditor
    ops_class = WalledOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._told: tuple[str, str] | None = None
        super().__init__(*args, **kwargs)
        self.introspection = DatabaseSchemaIntrospection(self)
        self.set_schema_to_public()

    # django-tenants' protocol

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        """Work in the schema of a cell (what django-tenants calls a tenant)."""
        self.tenant = tenant
        self.schema_name = tenant.schema_name
        self.include_public_schema = include_public

    def set_schema(
        self, schema_name: str, include_public: bool = True, tenant_type: Any = None
    ) -> None:
        """Work in a schema by name."""
        self.set_tenant(FakeTenant(schema_name, tenant_type), include_public)

    def set_schema_to_public(self) -> None:
        """Work in the schema that holds cells, tenants and hosts."""
        self.set_schema(PUBLIC)

    # Binding

    def _wanted(self) -> tuple[str, str]:
        if scope := pinned():
            return scope.session
        if self.schema_name == PUBLIC:
            return PUBLIC, ""
        return f'"{self.schema_name}"' + (", public" if self.include_public_schema else ""), ""

    def _cursor(self, name: str | None = None) -> Any:
        cursor = super()._cursor(name)  # type: ignore[misc]  # not in the published types
        self._bind()
        return cursor

    def bound_session(self) -> psycopg.Connection[Any]:
        """The session, connected and bound, for statements that go past Django's cursors.

        Whoever sends them is inside wrap_database_errors, which this is not.
        """
        self.close_if_health_check_failed()
        if self.connection is None:
            self.ensure_connection()
        self._bind()
        session: psycopg.Connection[Any] = self.connection
        return session

    def _bind(self) -> None:
        wanted = self._wanted()
        if wanted != self._told:
            with self.connection.cursor() as session:
                session.execute(
                    "SELECT set_config('search_path', %s, false),"
                    " set_config('app.tenant_id', %s, false)",
                    wanted,
                )
            self._told = wanted

    def get_new_connection(self, conn_params: Any) -> Any:
        self._told = None
        return super().get_new_connection(conn_params)

    def close(self) -> None:
        self._told = None
        super().close()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._told = None

    def _savepoint_rollback(self, sid: str) -> None:
        # Forget only afterwards: binding inside the failed transaction would itself fail.
        try:
            super()._savepoint_rollback(sid)  # type: ignore[misc]  # as above
        finally:
            self._told = None
