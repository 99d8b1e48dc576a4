"""Which tenants have repositories, whose branches somebody may have pushed to."""

from django.db import migrations

FIND = """
CREATE FUNCTION public.tenants_with_repositories()
RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
    bound text := current_setting('app.tenant_id', true);
    candidate record;
    found boolean;
BEGIN
    FOR candidate IN
        SELECT t.id, c.schema_name
        FROM public.cells_tenant t JOIN public.cells_cell c ON c.id = t.cell_id
    LOOP
        PERFORM set_config('app.tenant_id', candidate.id::text, true);
        EXECUTE format(
            'SELECT EXISTS (SELECT 1 FROM %I.agent_repository)', candidate.schema_name
        ) INTO found;
        IF found THEN
            tenant_id := candidate.id;
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM set_config('app.tenant_id', coalesce(bound, ''), true);
END
$$;

REVOKE ALL ON FUNCTION public.tenants_with_repositories() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenants_with_repositories() TO portal_app;
"""

GONE = "DROP FUNCTION public.tenants_with_repositories();"


class Migration(migrations.Migration):
    dependencies = [("cells", "0008_review_due")]
    operations = [migrations.RunSQL(FIND, GONE)]
