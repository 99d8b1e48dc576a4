"""Reads PostgreSQL's catalogue and says where the wall between tenants is not what it should be."""

# Loading these adds their rules to RULES.
from tenants.inspection import code, exposures, grants, keys, tables
from tenants.inspection.rules import RULES, Catalogue, Cursor, Finding

__all__ = ["RULES", "Finding", "code", "exposures", "findings", "grants", "keys", "tables"]


def findings(cursor: Cursor) -> list[Finding]:
    """What is wrong with the wall of this database; nothing when it stands as it should.

    Reads only, as any role. Call it inside a transaction: the search path is set for the rest of
    that, so that PostgreSQL prints the schema of whatever is not its own.
    """
    cursor.execute("SET LOCAL search_path = pg_catalog")
    catalogue = Catalogue(cursor)
    return [
        Finding(rule.name, thing, found, rule.remedy)
        for rule in RULES
        for thing, found in rule.look(catalogue)
    ]
