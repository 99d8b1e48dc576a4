"""How long the audit page's filters take in a long log: python -m tests.bench.log_search HOST.

In the environment of a portal. Fills the log of a tenant that was opened for this, and has nothing
else in it, with made-up entries that nobody signed; throw the tenant away afterwards.
"""

import argparse
import os
import statistics
import time
from datetime import timedelta

import django

ROUNDS = 5
FILL = """
    INSERT INTO evidence_entry (id, tenant_id, index, leaf, leaf_hash, recorded_at, action, outcome,
        actor_id, actor_name, actor_type, object_type, object_id, run)
    SELECT gen_random_uuid(), %(tenant)s, n,
        convert_to('{"action":"x","door":"' || CASE WHEN n %% 10000 = 7 THEN 'cli' ELSE 'page' END
            || '","pad":"' || repeat('x', 600) || '"}', 'UTF8'),
        sha256(n::text::bytea), now() - make_interval(secs => %(size)s - n),
        CASE WHEN n %% 20000 = 9 THEN 'pack.export' ELSE 'task.run' END,
        CASE WHEN n %% 5000 = 3 THEN 'denied' ELSE 'ok' END,
        'person-' || n %% 2000, 'Person ' || n %% 2000, 'human', 'task', 'thing-' || n %% 30000,
        'run-' || n %% 30000
    FROM generate_series(%(start)s, %(end)s) n
"""


def main() -> None:
    """Print the median of each filter's first page, in milliseconds."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("host")
    asked.add_argument("--entries", type=int, default=1_000_000)
    said = asked.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.db import connection
    from django.utils import timezone

    from agent.log_search import Wanted, matching
    from evidence.models import Entry
    from tenants.scope import current_tenant_id, scope_of_host, tenant_scope

    scope = scope_of_host(said.host)
    assert scope is not None, said.host
    with tenant_scope(scope):
        at = Entry.objects.count()
        with connection.cursor() as cursor:
            while at < said.entries:
                end = min(at + 50_000, said.entries) - 1
                filled = {"tenant": current_tenant_id(), "size": said.entries, "start": at}
                cursor.execute(FILL, filled | {"end": end})
                at = end + 1
        now = timezone.now()
        old = now - timedelta(seconds=said.entries * 0.9)
        cases = {
            "no filter": Wanted(),
            "a common action": Wanted(action="task."),
            "a rare action": Wanted(action="pack."),
            "an action that never was": Wanted(action="zebra."),
            "one person": Wanted(actor="person-77"),
            "denied": Wanted(outcome="denied"),
            "a rare door": Wanted(door="cli"),
            "a door nobody used": Wanted(door="scim"),
            "one object": Wanted(object="task:thing-12345"),
            "one run": Wanted(run="run-12345"),
            "an hour long ago": Wanted(
                since=old.isoformat(), until=(old + timedelta(hours=1)).isoformat()
            ),
        }
        for name, wanted in cases.items():
            took = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                rows = list(matching(wanted).defer("leaf", "leaf_hash").order_by("-index")[:31])
                took.append((time.perf_counter() - started) * 1000)
            print(f"{name:28} {statistics.median(took):8.1f} ms  {len(rows)} rows")


if __name__ == "__main__":
    main()
