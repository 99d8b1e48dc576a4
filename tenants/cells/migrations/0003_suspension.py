"""Closing a tenant's doors; the look-ups say so."""

from django.db import migrations, models

_FIND = """
CREATE FUNCTION public.{name}
RETURNS TABLE (tenant_id uuid, slug text, name text, schema text, suspended boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.id, t.slug::text, t.name::text, c.schema_name::text, t.suspended_at IS NOT NULL
    FROM {source}
    JOIN public.cells_cell c ON c.id = t.cell_id
    WHERE {condition}
$$;
"""

LOOKUPS = (
    "DROP FUNCTION public.tenant_of_host(text); DROP FUNCTION public.tenant_of_id(uuid);"
    + _FIND.format(
        name="tenant_of_host(wanted text)",
        source="public.cells_domain d JOIN public.cells_tenant t ON t.id = d.tenant_id",
        condition="d.host = wanted",
    )
    + _FIND.format(
        name="tenant_of_id(wanted uuid)",
        source="public.cells_tenant t",
        condition="t.id = wanted",
    )
    + """
REVOKE ALL ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid)
    TO portal_app, portal_auditor;
"""
)


class Migration(migrations.Migration):
    dependencies = [("cells", "0002_lookups")]
    operations = [
        migrations.AddField(
            model_name="tenant",
            name="suspended_at",
            field=models.DateTimeField(null=True, blank=True),
        ),
        migrations.RunSQL(LOOKUPS, migrations.RunSQL.noop),
    ]
