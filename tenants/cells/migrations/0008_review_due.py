"""Which tenants have to look at everybody's access again."""

from django.db import migrations

FIND = """
CREATE FUNCTION public.tenants_with_review_due()
RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
    bound text := current_setting('app.tenant_id', true);
    candidate record;
    due boolean;
BEGIN
    FOR candidate IN
        SELECT t.id, c.schema_name
        FROM public.cells_tenant t JOIN public.cells_cell c ON c.id = t.cell_id
    LOOP
        PERFORM set_config('app.tenant_id', candidate.id::text, true);
        EXECUTE format(
            'SELECT NOT EXISTS (SELECT 1 FROM %I.authz_accessreview WHERE state <> ''closed'')'
            ' AND coalesce((SELECT max(started_at) FROM %I.authz_accessreview),'
            ' (SELECT min(created_at) FROM %I.authz_grant)) < now() - interval ''91 days''',
            candidate.schema_name, candidate.schema_name, candidate.schema_name
        ) INTO due;
        IF due THEN
            tenant_id := candidate.id;
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM set_config('app.tenant_id', coalesce(bound, ''), true);
END
$$;

REVOKE ALL ON FUNCTION public.tenants_with_review_due() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenants_with_review_due() TO portal_app;
"""

GONE = "DROP FUNCTION public.tenants_with_review_due();"


class Migration(migrations.Migration):
    dependencies = [("cells", "0007_log_destinations")]
    operations = [migrations.RunSQL(FIND, GONE)]
