"""Which tenants have their ledger copied somewhere."""

from django.db import migrations

FIND = """
CREATE FUNCTION public.tenants_with_log_destinations()
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
        WHERE t.suspended_at IS NULL
    LOOP
        PERFORM set_config('app.tenant_id', candidate.id::text, true);
        EXECUTE format(
            'SELECT EXISTS (SELECT 1 FROM %I.authz_logdestination)', candidate.schema_name
        ) INTO waiting;
        IF waiting THEN
            tenant_id := candidate.id;
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM set_config('app.tenant_id', coalesce(bound, ''), true);
END
$$;

REVOKE ALL ON FUNCTION public.tenants_with_log_destinations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenants_with_log_destinations() TO portal_app;
"""

GONE = "DROP FUNCTION public.tenants_with_log_destinations();"


class Migration(migrations.Migration):
    dependencies = [("cells", "0006_evidence_work")]
    operations = [migrations.RunSQL(FIND, GONE)]
