"""Keys and sequences tell nothing of another tenant."""

from collections.abc import Iterator

from tenants.inspection.rules import BOOKKEEPING, Catalogue, cells, models, rule

TENANTS = "public.cells_tenant"

# Unique over all tenants, and no oracle: what is unique there is the keyed digest of a random value
# that only this server makes, so nobody can offer one and learn that it is taken.
UNGUESSABLE = {("tenants_session", ("session_key",))}


@rule(
    "foreign-key",
    "Name (tenant_id, id) on both ends: PostgreSQL checks keys without row security, so others"
    " tell, and cascade to, rows of other tenants",
)
def _foreign_keys(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    stands: set[tuple[str, str, str]] = set()
    for schema, table, name, paired, to_tenants, valid, definition, columns in catalogue.ask(
        "SELECT n.nspname, c.relname, k.conname,"
        # Both ends walled, in one cell, and tenant_id stands in the same place on each.
        " n.oid = target.relnamespace AND t.tenant IS NOT NULL AND f.tenant IS NOT NULL"
        " AND array_position(k.conkey, t.tenant) = array_position(k.confkey, f.tenant)"
        " AND cardinality(k.conkey) > 1,"
        " k.conkey = ARRAY[t.tenant] AND k.confrelid::regclass::text = %s,"
        " k.convalidated, pg_get_constraintdef(k.oid),"
        " ARRAY(SELECT a.attname::text FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey))"
        " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_class target ON target.oid = k.confrelid"
        " LEFT JOIN {walled} t ON t.oid = k.conrelid LEFT JOIN {walled} f ON f.oid = k.confrelid"
        " WHERE k.contype = 'f' AND {user}"
        # Keys between tables of the public schema are nobody's secret.
        " AND (n.nspname <> 'public' OR f.oid IS NOT NULL) ORDER BY 1, 2, 3",
        TENANTS,
    ):
        if not valid:
            yield f"{schema}.{table}.{name}", "was never checked for the rows that were there"
        elif paired or to_tenants:
            stands |= {(schema, table, column) for column in columns}
        else:
            yield f"{schema}.{table}.{name}", definition
    for schema in cells(catalogue):
        for table, column in sorted(_expected_keys()):
            if (schema, table, column) not in stands:
                yield f"{schema}.{table}.{column}", "no key holds it to its tenant"


@rule("unique", "Put tenant_id first: a value that is taken elsewhere would be refused here")
def _unique(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, table, index, primary, columns, kinds, definition in catalogue.ask(
        "SELECT t.name, t.relname, ic.relname, i.indisprimary,"
        " ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (n, place)"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n"
        # Columns that are only included are not part of what is unique.
        " WHERE k.place <= i.indnkeyatts ORDER BY k.place),"
        " ARRAY(SELECT a.atttypid::regtype::text FROM pg_attribute a"
        " WHERE a.attrelid = i.indexrelid AND a.attnum <= i.indnkeyatts),"
        " pg_get_indexdef(i.indexrelid)"
        " FROM {walled} t JOIN pg_index i ON i.indrelid = t.oid"
        " JOIN pg_class ic ON ic.oid = i.indexrelid"
        " LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x'"
        " WHERE (i.indisunique OR i.indisexclusion)"
        # An exclusion constraint has to compare tenants with =, or it compares rows of two.
        " AND NOT (t.tenant = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])"
        " AND (x.oid IS NULL OR (SELECT o.oprname FROM pg_operator o"
        " WHERE o.oid = x.conexclop[array_position(x.conkey, t.tenant)]) = '='))"
        " ORDER BY 1, 3"
    ):
        random_id = primary and kinds == ["uuid"]
        if not random_id and (table, tuple(columns)) not in UNGUESSABLE:
            yield f"{name}.{index}", f"holds over all tenants: {definition}"


@rule("sequence", "Use a random uuid: a counter shared by tenants tells each how busy others are")
def _sequences(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, table in catalogue.ask(
        "SELECT o.oid::regclass::text, (SELECT t.relname FROM pg_depend d"
        " JOIN pg_class t ON t.oid = d.refobjid WHERE d.objid = o.oid"
        " AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.deptype IN ('a', 'i') LIMIT 1)"
        " FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
        " WHERE o.relkind = 'S' AND {user} AND n.nspname <> 'public' ORDER BY 1"
    ):
        if table not in BOOKKEEPING:
            yield name, f"counts for {table or 'no column'}, over all tenants of the cell"
    for name, column, default in catalogue.ask(
        "SELECT t.name, a.attname, pg_get_expr(d.adbin, d.adrelid)"
        " FROM {walled} t JOIN pg_attrdef d ON d.adrelid = t.oid"
        " JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
        " WHERE pg_get_expr(d.adbin, d.adrelid) ~ 'nextval' ORDER BY 1, 2"
    ):
        yield f"{name}.{column}", f"is numbered by {default}"


def _expected_keys() -> set[tuple[str, str]]:
    return {
        (model._meta.db_table, field.column)
        for model in models()
        for field in model._meta.local_concrete_fields
        if field.remote_field
    }
