"""How long entries waited for a signed head, how large a proof is, how fast reads are spooled.

Run by tests.bench after a load: python -m tests.bench.log_lag HOST ENTRIES, in the environment of a
portal whose evidence worker runs.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from uuid import UUID

import django

THREADS = 8
SECONDS = 3

LAG = """
    SELECT extract(epoch FROM (SELECT min(c.signed_at) FROM evidence_checkpoint c
        WHERE c.size > e.index) - e.recorded_at)
    FROM evidence_entry e ORDER BY e.index DESC LIMIT %s
"""


def main() -> None:
    """Print p99 and maximum of the lag in seconds, then bytes of a proof, then records a second."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.db import connection

    from evidence.merkle import inclusion_path
    from evidence.models import Checkpoint, StagedEntry
    from evidence.notes import InclusionProof, write_proof
    from tenants.scope import scope_of_host, tenant_scope

    scope = scope_of_host(sys.argv[1])
    assert scope is not None, sys.argv[1]
    with tenant_scope(scope):
        while StagedEntry.objects.exists():
            time.sleep(0.5)
        with connection.cursor() as cursor:
            cursor.execute(LAG, [int(sys.argv[2])])
            lags = sorted(float(row[0]) for row in cursor.fetchall())
        note = Checkpoint.objects.order_by("-size").first().note
    # Which hashes they are makes no difference to the size.
    hashes = inclusion_path(777_777, 1_000_000, lambda level, index: bytes(32))
    proof = write_proof(InclusionProof(777_777, tuple(hashes), note))
    print(lags[len(lags) * 99 // 100], lags[-1], len(proof), _spooled())


def _spooled() -> float:
    """Records a second that threads of one process have on disk, each waiting for its own."""
    from evidence.spool import Spool

    record = dict.fromkeys(("actor_id", "object_id", "policy_digest", "predicate"), "0" * 64)
    counts = [0] * THREADS
    with tempfile.TemporaryDirectory(dir=os.environ["DATA_DIR"]) as folder:
        spool = Spool(Path(folder))
        end = time.perf_counter() + SECONDS

        def work(number: int) -> None:
            while time.perf_counter() < end:
                spool.append([(UUID(int=1), record)])
                counts[number] += 1

        threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spool.close()
    return sum(counts) / SECONDS


if __name__ == "__main__":
    main()
