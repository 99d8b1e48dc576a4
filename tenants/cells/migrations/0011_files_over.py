"""Which tenants have a file on offer whose time is over."""

from django.db import migrations

FIND = """
CREATE OR REPLACE FUNCTION public.tenants_with_evidence_work(kind text)
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
            WHEN 'intents' THEN
                EXECUTE format(
                    'SELECT EXISTS (SELECT 1 FROM %I.evidence_openintent)', candidate.schema_name
                ) INTO waiting;
            WHEN 'expired' THEN
                EXECUTE format(
                    'SELECT EXISTS (SELECT 1 FROM %I.evidence_entry'
                    ' WHERE recorded_at < now() - interval ''90 days'')'
                    ' OR EXISTS (SELECT 1 FROM %I.evidence_decisionrecord'
                    ' WHERE at < now() - interval ''90 days'')',
                    candidate.schema_name, candidate.schema_name
                ) INTO waiting;
            WHEN 'files' THEN
                EXECUTE format(
                    'SELECT EXISTS (SELECT 1 FROM %I.evidence_pack WHERE state = ''ready'''
                    ' AND deleted_at IS NULL AND expires_at < now())', candidate.schema_name
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
"""


class Migration(migrations.Migration):
    dependencies = [("cells", "0010_undone_work")]
    operations = [migrations.RunSQL(FIND, migrations.RunSQL.noop)]
