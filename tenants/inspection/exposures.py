"""What shows tables in another way: views, foreign data, publications."""

from collections.abc import Iterator

from tenants.inspection.rules import Catalogue, rule


@rule("view", "CREATE VIEW ... WITH (security_invoker = true): others read as their owner")
def _views(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, options in catalogue.ask(
        "SELECT o.oid::regclass::text, o.reloptions FROM"
        " (SELECT *, tableoid AS classid FROM pg_class) o"
        " JOIN pg_namespace n ON n.oid = o.relnamespace"
        " WHERE o.relkind = 'v' AND {user} AND NOT {member} ORDER BY 1"
    ):
        if not {f"security_invoker={yes}" for yes in ("true", "on", "1", "yes")} & set(
            options or ()
        ):
            yield name, "reads with its owner's rights"


@rule("materialised-view", "Drop it: row security does not hold for materialised views")
def _materialised_views(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for (name,) in catalogue.ask(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'm' AND {user} ORDER BY 1"
    ):
        yield name, "keeps a copy of rows outside the wall"


@rule("foreign-data", "Drop it: what lies on another server is behind no wall of ours")
def _foreign_data(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for name, what in catalogue.ask(
        "SELECT c.oid::regclass::text, 'a foreign table' FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND {user}"
        " UNION ALL SELECT srvname, 'a foreign server' FROM pg_foreign_server ORDER BY 1"
    ):
        yield name, f"is {what}"


@rule("publication", "Drop it: a subscriber gets the rows of every tenant")
def _publications(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for (name,) in catalogue.ask("SELECT pubname FROM pg_publication ORDER BY 1"):
        yield name, "publishes changes without row security"


@rule("large-object", "Unlink it and keep the bytes in the store: large objects have no tenant")
def _large_objects(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for oid, owner in catalogue.ask(
        "SELECT oid::text, lomowner::regrole::text FROM pg_largeobject_metadata ORDER BY 1 LIMIT 20"
    ):
        yield f"large object {oid}", f"was made by {owner}"
