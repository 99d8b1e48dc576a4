"""Writers and sequencers that are killed again and again: nothing is lost, nothing doubled."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from evidence import ledger
from evidence.models import Entry, LogHead, Payload
from evidence.recount import recount
from evidence.signing import FileKeys

ROOT = Path(__file__).parents[2]

# One process that forks workers, lets each live for a moment and kills it. A writer says which
# change is committed, by one write() to a pipe; a sequencer seals without a pause.
UNDER_FIRE = """
import os, random, sys, time, django
django.setup()
from pathlib import Path
from authz.change import change, entry
from authz.permissions import Permission
from evidence import ledger
from evidence.signing import FileKeys
from tenants.actor import system_actor
from tenants.models import Project
from tenants.scope import scope_of_host, tenant_scope

host, keys, kills, seed = sys.argv[1], FileKeys(Path(sys.argv[2])), int(sys.argv[3]), sys.argv[4]
dice = random.Random(seed)
by = system_actor("test", "cli")

def write(number):
    with tenant_scope(scope_of_host(host)):
        project = Project.objects.get(slug="platform")
        n = 0
        while True:
            mark = {"mark": f"{number}-{n}"}
            if n % 2:
                entry(by, Permission.PROJECT_CREATE, on=project, facts=mark)
            else:
                with change(by, Permission.PROJECT_CREATE, on=project) as facts:
                    facts.update(mark)
            os.write(1, f"{number}-{n}\\n".encode())
            n += 1

def seal(number):
    with tenant_scope(scope_of_host(host)):
        while True:
            ledger.seal(keys)

running, begun, killed = [], 0, 0
while killed < kills:
    while len(running) < 4:
        pid = os.fork()
        if pid == 0:
            (seal if begun % 4 == 3 else write)(begun)
        running.append(pid)
        begun += 1
    time.sleep(dice.uniform(0.01, 0.12))
    victim = running.pop(dice.randrange(len(running)))
    os.kill(victim, 9)
    os.waitpid(victim, 0)
    killed += 1
for pid in running:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


def _survives(company, folder, kills):
    keys = FileKeys(folder)
    # The first key is made in peace: of two that make it at once, one would find it there.
    ledger.record("test.begin", by=company.people["ada"].actor("cli"), on=company.project)
    ledger.seal(keys)

    ran = subprocess.run(
        [sys.executable, "-c", UNDER_FIRE, company.host, str(folder), str(kills), "7"],
        cwd=ROOT,
        env=os.environ,
        check=True,
        capture_output=True,
        text=True,
    )

    acknowledged = [line for line in ran.stdout.splitlines() if line]
    head = ledger.seal(keys)
    entries = list(Entry.objects.order_by("index"))
    assert [entry.index for entry in entries] == list(range(head.size))
    assert LogHead.objects.get().size == head.size
    bodies = Payload.objects.in_bulk([entry.pk for entry in entries])
    marks = Counter(
        json.loads(bytes(bodies[entry.pk].body)).get("mark")
        for entry in entries
        if entry.action == "project.create" and entry.pk in bodies
    )
    marks.pop(None, None)
    assert len(acknowledged) > kills
    assert set(marks.values()) == {1}
    assert set(acknowledged) <= set(marks)
    assert recount().size == head.size


def test_a_few_killed_writers_lose_and_double_nothing(in_acme, tmp_path):
    _survives(in_acme, tmp_path / "keys", 12)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_killed_writers_lose_and_double_nothing(in_acme, tmp_path):
    _survives(in_acme, tmp_path / "keys", 220)
