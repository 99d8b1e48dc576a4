"""Writes foreign keys and unique columns of walled tables so that they hold inside one tenant."""

from contextlib import suppress
from typing import Any

from django.apps import apps
from django.db.backends.ddl_references import Columns, Statement
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.models import Model

TENANT = "tenant_id"


def is_walled(model: type[Model]) -> bool:
    """Whether rows of this table carry the tenant they belong to.

    A migration may give a new table its other columns before its tenant (the autodetector sorts
    by name), so the model as the code knows it today counts too. Should that column not come in
    the same migration, what is written here fails instead of standing there without the tenant.
    """
    known = [model]
    with suppress(LookupError):  # removed since
        known.append(apps.get_model(model._meta.label))
    return any(field.column == TENANT for m in known for field in m._meta.local_concrete_fields)


class WalledSchemaEditor(DatabaseSchemaEditor):
    """Puts the tenant into what PostgreSQL checks without row security.

    A ForeignKey between walled tables becomes (tenant_id, x_id) -> (tenant_id, id), and a unique
    column, such as a OneToOneField's, becomes unique together with tenant_id. A simple key or a
    unique index over all tenants would answer whether another tenant's row exists. Source:
    PostgreSQL manual, section 5.9.
    """

    # The inline form cannot name two columns; without it Django asks _create_fk_sql().
    sql_create_column_inline_fk = None  # type: ignore[assignment]  # as Django itself allows

    def wall_unique_columns(self, model: type[Model]) -> None:
        """Replace what older versions of this class left: columns unique over all tenants."""
        table = model._meta.db_table
        columns: list[Any] = [
            f for f in model._meta.local_concrete_fields if self._is_unique_in_tenant(f)
        ]
        for field in columns:
            with self.connection.cursor() as cursor:
                found = self.connection.introspection.get_constraints(cursor, table)
            unique = {
                tuple(index["columns"]): name
                for name, index in found.items()
                if index["unique"] and not index["primary_key"]
            }
            if (TENANT, field.column) not in unique:
                self.execute(self._create_unique_sql(model, [field]))
            if (field.column,) in unique:
                self.execute(self._delete_unique_sql(model, unique[field.column,]))  # type: ignore[attr-defined]

    # The methods below are Django's own, though its published types leave them out.

    def _create_fk_sql(self, model: type[Model], field: Any, suffix: str) -> Statement:
        statement: Statement = super()._create_fk_sql(model, field, suffix)  # type: ignore[misc]
        target = field.target_field.model
        if field.column != TENANT and is_walled(model) and is_walled(target):
            statement.parts["column"] = Columns(
                model._meta.db_table, [TENANT, field.column], self.quote_name
            )
            statement.parts["to_column"] = Columns(
                target._meta.db_table, [TENANT, field.target_field.column], self.quote_name
            )
        return statement

    def _is_unique_in_tenant(self, field: Any) -> bool:
        plain = field.unique and not field.primary_key and field.column != TENANT
        return bool(plain and is_walled(field.model))

    def _iter_column_sql(
        self, column_db_type: Any, params: Any, model: Any, field: Any, *rest: Any
    ) -> Any:
        for part in super()._iter_column_sql(column_db_type, params, model, field, *rest):  # type: ignore[misc]
            if part != "UNIQUE" or not self._is_unique_in_tenant(field):
                yield part

    def _field_indexes_sql(self, model: type[Model], field: Any) -> list[Statement]:
        statements: list[Statement] = super()._field_indexes_sql(model, field)  # type: ignore[misc]
        if self._is_unique_in_tenant(field):
            statements.append(self._create_unique_sql(model, [field]))
        return statements

    def _create_unique_sql(
        self, model: type[Model], fields: list[Any], name: str | None = None, **also: Any
    ) -> Any:
        statement = super()._create_unique_sql(model, fields, name, **also)  # type: ignore[misc]
        # A name stands for a constraint of the model's own, which says itself what it covers.
        if name is None and len(fields) == 1 and self._is_unique_in_tenant(fields[0]):
            table, columns = model._meta.db_table, [TENANT, fields[0].column]
            statement.parts["columns"] = Columns(table, columns, self.quote_name)
            statement.parts["name"] = self._unique_constraint_name(table, columns)  # type: ignore[attr-defined]
        return statement

    def _constraint_names(
        self,
        model: type[Model],
        column_names: list[str] | None = None,
        unique: bool | None = None,
        **also: Any,
    ) -> list[str]:
        ask = super()._constraint_names  # type: ignore[misc]
        names: list[str] = ask(model, column_names, unique, **also)
        # A column whose key or uniqueness is to go or to change: find what stands for it here.
        wanted = unique or also.get("foreign_key")
        if wanted and column_names and len(column_names) == 1 and is_walled(model):
            names += ask(model, [TENANT, *column_names], unique, **also)
        return names
