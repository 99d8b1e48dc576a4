"""Undone work whose pull request still stands is unfinished, and nothing else about it is."""

from django.db import migrations

UNDONE = """
CREATE OR REPLACE FUNCTION public.tenants_with_work(kind text)
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
                    ' WHERE state NOT IN (''open'', ''withdrawn'') AND NOT review_sent'
                    ' OR state = ''withdrawn'' AND NOT branch_gone)',
                    candidate.schema_name, candidate.schema_name, candidate.schema_name
                ) INTO waiting;
            WHEN 'untidy' THEN
                EXECUTE format(
                    'SELECT EXISTS (SELECT 1 FROM %I.tenants_session WHERE expire_date < now())'
                    ' OR EXISTS (SELECT 1 FROM %I.tenants_replay WHERE expires_at < now())'
                    ' OR EXISTS (SELECT 1 FROM %I.authz_emergency WHERE state = ''approved'''
                    ' AND expires_at < now() OR state = ''requested'''
                    ' AND requested_at < now() - interval ''24 hours'')',
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
"""


class Migration(migrations.Migration):
    dependencies = [("cells", "0009_repositories")]
    operations = [migrations.RunSQL(UNDONE, migrations.RunSQL.noop)]
