"""Questions that the portal's role may ask about tenants without being able to list them."""

from django.db import migrations

from tenants.cells.finding import tenants_where

# SECURITY DEFINER functions run as the owner; search_path is fixed so that nobody can slip other
# tables in.
LOOKUPS = """
CREATE FUNCTION public.tenant_of_host(wanted text)
RETURNS TABLE (tenant_id uuid, slug text, name text, schema text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.id, t.slug::text, t.name::text, c.schema_name::text
    FROM public.cells_domain d
    JOIN public.cells_tenant t ON t.id = d.tenant_id
    JOIN public.cells_cell c ON c.id = t.cell_id
    WHERE d.host = wanted
$$;

CREATE FUNCTION public.tenant_of_id(wanted uuid)
RETURNS TABLE (tenant_id uuid, slug text, name text, schema text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT t.id, t.slug::text, t.name::text, c.schema_name::text
    FROM public.cells_tenant t
    JOIN public.cells_cell c ON c.id = t.cell_id
    WHERE t.id = wanted
$$;

REVOKE ALL ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid) TO portal_app;
GRANT EXECUTE ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid) TO portal_auditor;
"""

GONE = """
DROP FUNCTION public.tenant_of_host(text);
DROP FUNCTION public.tenant_of_id(uuid);
"""

WORK = {
    "unsealed": "EXISTS (SELECT 1 FROM %1$I.evidence_stagedentry)",
    "stalled": "EXISTS (SELECT 1 FROM %1$I.agent_task WHERE state IN ('queued', 'in_progress')"
    " AND touched_at < now() - interval '20 seconds')"
    " OR EXISTS (SELECT 1 FROM %1$I.evidence_pack WHERE state IN ('queued', 'building')"
    " AND created_at < now() - interval '20 seconds')"
    " OR EXISTS (SELECT 1 FROM %1$I.agent_proposal"
    " WHERE state <> 'open' AND NOT review_sent)",
}


class Migration(migrations.Migration):
    dependencies = [("cells", "0001_initial")]
    operations = [
        migrations.RunSQL(LOOKUPS, GONE),
        tenants_where("tenants_with_work", WORK),
    ]
