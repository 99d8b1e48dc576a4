"""Rows go only where their tenant lives: the guard that makes moving and erasing safe."""

from django.db import migrations, models

# A trigger of every walled table, once for each INSERT (tenants.rls puts it there). Whoever
# pinned the tenant before it moved still has the old cell in the search path; without this, that
# straggler would leave rows behind where nobody looks for them any more.
#
# The lock is shared by all who insert for a tenant and held to the end of their transaction;
# tenants.cells.moving takes it alone. So whoever inserts has either ended before the move begins
# or looks only after it has ended, and then sees the new cell: each statement of a VOLATILE
# function has a snapshot of its own. An erased tenant takes nothing from the portal's role but
# what sealing writes. session_user is who logged in; current_user is the owner in here.
RESIDENCE = """
CREATE FUNCTION public.tenant_is_here() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    bound uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    erased boolean;
BEGIN
    IF bound IS NULL THEN
        RETURN NULL; -- row security says no to it, in its own words
    END IF;
    PERFORM pg_advisory_xact_lock_shared(1, hashtext(bound::text));
    SELECT t.erased_at IS NOT NULL INTO erased
    FROM public.cells_tenant t JOIN public.cells_cell c ON c.id = t.cell_id
    WHERE t.id = bound AND c.schema_name = TG_TABLE_SCHEMA;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'tenant % does not live in cell %', bound, TG_TABLE_SCHEMA
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'It was moved a moment ago. Whoever asks again is sent to its new cell.';
    ELSIF erased AND session_user <> current_user AND TG_TABLE_NAME NOT IN
        ('evidence_entry', 'evidence_payload', 'evidence_checkpoint',
         'evidence_loghead', 'evidence_logkey')
    THEN
        RAISE EXCEPTION 'tenant % is erased', bound
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION public.tenant_is_here() FROM PUBLIC;
"""


class Migration(migrations.Migration):
    dependencies = [("cells", "0004_untidy")]
    operations = [
        migrations.AddField(
            model_name="tenant",
            name="erased_at",
            field=models.DateTimeField(null=True, blank=True),
        ),
        migrations.RunSQL(
            RESIDENCE, "DROP FUNCTION public.tenant_is_here() CASCADE"
        ),
    ]
