"""Writes foreign keys between walled tables so that both ends must belong to one tenant."""

from typing import Any

from django.db.backends.ddl_references import Columns, Statement
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.models import Model


def is_walled(model: type[Model]) -> bool:
    """Whether rows of this table carry the tenant they belong to."""
    return any(field.column == "tenant_id" for field in model._meta.local_concrete_fields)


class WalledSchemaEditor(DatabaseSchemaEditor):
    """Turns a ForeignKey into (tenant_id, x_id) -> (tenant_id, id) where both ends are walled.

    PostgreSQL checks foreign keys without row security, so a simple key would accept, and thereby
    reveal, a row of another tenant. Source: PostgreSQL manual, section 5.9.
    """

    # The inline form cannot name two columns; without it Django asks _create_fk_sql().
    sql_create_column_inline_fk = None  # type: ignore[assignment]  # as Django itself allows

    def _create_fk_sql(self, model: type[Model], field: Any, suffix: str) -> Statement:
        # The method is Django's own, though its published types leave it out.
        statement: Statement = super()._create_fk_sql(model, field, suffix)  # type: ignore[misc]
        target = field.target_field.model
        if field.column != "tenant_id" and is_walled(model) and is_walled(target):
            statement.parts["column"] = Columns(
                model._meta.db_table, ["tenant_id", field.column], self.quote_name
            )
            statement.parts["to_column"] = Columns(
                target._meta.db_table, ["tenant_id", field.target_field.column], self.quote_name
            )
        return statement
