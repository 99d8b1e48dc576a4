"""Functions that tell which tenants something holds for, without showing anything of them.

For migrations: each function goes through the cells as their owner, with each tenant bound in
turn, because row security binds the owner too. search_path is fixed so that nobody can slip other
tables in. Whoever was bound before is bound again afterwards.
"""

from collections.abc import Mapping

from django.db.migrations import RunSQL

EVERY_TENANT = "FROM public.cells_tenant t JOIN public.cells_cell c ON c.id = t.cell_id"


def tenants_where(
    name: str, condition: str | Mapping[str, str], *, among: str = EVERY_TENANT
) -> RunSQL:
    """Make, or make anew, public.<name>, which returns the ids of tenants.

    condition: an SQL expression, true or false, in which %1$I is the tenant's schema; or one for
    each kind that may be asked for, and the function takes the kind. among: which tenants are
    looked at, as a FROM clause of cells_tenant t and cells_cell c. Going back leaves it there.
    """
    if isinstance(condition, str):
        given, typed, look = "", "", _look(condition)
    else:
        cases = "".join(
            f"WHEN {_quoted(kind)} THEN {_look(each)}\n" for kind, each in condition.items()
        )
        given, typed, look = "kind text", "text", f"CASE kind\n{cases}END CASE;"
    made = f"""
        CREATE OR REPLACE FUNCTION public.{name}({given})
        RETURNS TABLE (tenant_id uuid)
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER
        SET search_path = public, pg_temp
        AS $$
        DECLARE
            bound text := current_setting('app.tenant_id', true);
            candidate record;
            holds boolean;
        BEGIN
            FOR candidate IN SELECT t.id, c.schema_name {among}
            LOOP
                PERFORM set_config('app.tenant_id', candidate.id::text, true);
                {look}
                IF holds THEN
                    tenant_id := candidate.id;
                    RETURN NEXT;
                END IF;
            END LOOP;
            PERFORM set_config('app.tenant_id', coalesce(bound, ''), true);
        END
        $$;
        REVOKE ALL ON FUNCTION public.{name}({typed}) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION public.{name}({typed}) TO portal_app;
        """  # noqa: S608  # every part is written by us, in a migration
    return RunSQL(made, RunSQL.noop)


def _look(condition: str) -> str:
    words = _quoted(f"SELECT {condition}")
    return f"EXECUTE format({words}, candidate.schema_name) INTO holds;"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
