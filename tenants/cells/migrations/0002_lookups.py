"""Questions that the portal's role may ask about tenants without being able to list them."""

from django.db import migrations

# SECURITY DEFINER functions run as the owner; search_path is fixed so that nobody can slip other
# tables in. Row security binds the owner too, hence the setting inside tenants_with_work().
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

CREATE FUNCTION public.tenants_with_work(kind text)
RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
    bound text := current_setting('app.tenant_id', true);
    candidate record;
    waiting boolean;
BEGIN
    FOR candidate IN
        SELECT t.id, c.schema_name
        FROM public.cells_tenant t JOIN public.cells_cell c ON c.id = t.cell_id
    LOOP
        PERFORM set_config('app.tenant_id', candidate.id::text, true);
        CASE kind
            WHEN 'unsealed' THEN
                EXECUTE format(
                    'SELECT EXISTS (SELECT 1 FROM %I.evidence_stagedentry)', candidate.schema_name
                ) INTO waiting;
            WHEN 'stalled' THEN
                EXECUTE format(
                    'SELECT EXISTS (SELECT 1 FROM %I.agent_task'
                    ' WHERE state IN (''queued'', ''in_progress'')'
                    ' AND touched_at < now() - interval ''20 seconds'')'
                    ' OR EXISTS (SELECT 1 FROM %I.evidence_pack'
                    ' WHERE state IN (''queued'', ''building'')'
                    ' AND created_at < now() - interval ''20 seconds'')'
                    ' OR EXISTS (SELECT 1 FROM %I.agent_proposal'
                    ' WHERE state <> ''open'' AND NOT review_sent)',
                    candidate.schema_name, candidate.schema_name, candidate.schema_name
                ) INTO waiting;
        END CASE;
        IF waiting THEN
            tenant_id := candidate.id;
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM set_config('app.tenant_id', coalesce(bound, ''), true);
END
$$;

REVOKE ALL ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid),
    public.tenants_with_work(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid),
    public.tenants_with_work(text) TO portal_app;
GRANT EXECUTE ON FUNCTION public.tenant_of_host(text), public.tenant_of_id(uuid) TO portal_auditor;
"""

GONE = """
DROP FUNCTION public.tenant_of_host(text);
DROP FUNCTION public.tenant_of_id(uuid);
DROP FUNCTION public.tenants_with_work(text);
"""


class Migration(migrations.Migration):
    dependencies = [("cells", "0001_initial")]
    operations = [migrations.RunSQL(LOOKUPS, GONE)]
