"""Around every side effect: the intent before, the result after, or a gap that says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from authz.change import change, effect
from authz.permissions import Permission
from evidence import ledger
from evidence.models import OpenIntent, StagedEntry
from tenants.actor import system_actor
from tenants.scope import tenants_with_evidence_work
from tenants.trace import tracing

ROOT = Path(__file__).parents[2]
BY = system_actor("test", "cli")


def _leaves(action):
    staged = StagedEntry.objects.order_by("id")
    said = [(json.loads(bytes(one.leaf)), one) for one in staged]
    return [
        (leaf, json.loads(bytes(one.payload))) for leaf, one in said if leaf["action"] == action
    ]


def test_an_effect_leaves_its_intent_before_and_its_result_after(in_acme):
    with tracing() as trace:
        with effect(BY, Permission.PROJECT_CREATE, on=in_acme.project, what="a branch") as facts:
            ((intent, said),) = _leaves("project.create")[-1:]
            assert (intent["phase"], said["what"]) == ("intent", "a branch")
            assert OpenIntent.objects.count() == 1
            facts["made"] = 7

    before, after = _leaves("project.create")[-2:]
    assert (after[0]["phase"], after[0]["outcome"], after[1]["made"]) == ("result", "ok", 7)
    assert before[0]["trace"] == after[0]["trace"]
    assert before[0]["trace"].startswith(f"{trace}-")
    assert OpenIntent.objects.count() == 0


def test_an_error_is_a_failed_result_and_still_an_error(in_acme):
    with pytest.raises(ZeroDivisionError):
        with effect(BY, Permission.PROJECT_CREATE, on=in_acme.project):
            raise ZeroDivisionError("of all things")

    before, after = _leaves("project.create")[-2:]
    assert (after[0]["phase"], after[0]["outcome"]) == ("result", "failed")
    assert after[1]["reasons"] == ["ZeroDivisionError: of all things"]
    assert before[0]["trace"] == after[0]["trace"]
    assert OpenIntent.objects.count() == 0


def test_two_effects_of_one_request_have_names_of_their_own(in_acme):
    with tracing():
        for _ in range(2):
            with effect(BY, Permission.PROJECT_CREATE, on=in_acme.project):
                pass

    traces = [leaf["trace"] for leaf, _ in _leaves("project.create")[-4:]]
    assert traces[0] == traces[1] != traces[2] == traces[3]
    assert traces[0][:32] == traces[2][:32]


def test_an_intent_is_undone_with_its_transaction(in_acme):
    with pytest.raises(ZeroDivisionError):
        with change(BY, Permission.PROJECT_CREATE, on=in_acme.project) as facts:
            facts.phase = "intent"
            raise ZeroDivisionError

    assert OpenIntent.objects.count() == 0


def test_what_a_living_worker_still_does_is_no_gap(in_acme):
    with effect(BY, Permission.PROJECT_CREATE, on=in_acme.project):
        assert ledger.record_gaps(BY, patience=0) == 0


def test_what_a_living_worker_forgot_becomes_a_gap_in_the_end(in_acme):
    with change(BY, Permission.PROJECT_CREATE, on=in_acme.project) as facts:
        facts.phase = "intent"

    assert ledger.record_gaps(BY, patience=0, longest=0) == 1
    leaf, said = _leaves("project.create")[-1]
    assert (leaf["phase"], said["reason"]) == (
        "gap",
        "it went on without ever saying what came of it",
    )


DIE_BETWEEN = """
import os, sys, django
django.setup()
from authz.change import effect
from authz.permissions import Permission
from tenants.actor import system_actor
from tenants.models import Project
from tenants.scope import scope_of_host, tenant_scope
with tenant_scope(scope_of_host(sys.argv[1])):
    with effect(system_actor("test", "cli"), Permission.PROJECT_CREATE, on=Project.objects.get()):
        os.kill(os.getpid(), 9)
"""


def test_a_worker_that_dies_in_between_leaves_a_gap_with_the_name_of_its_intent(in_acme):
    died = subprocess.run(
        [sys.executable, "-c", DIE_BETWEEN, in_acme.host], cwd=ROOT, env=os.environ, check=False
    )
    assert died.returncode == -9
    assert in_acme.scope.tenant_id in tenants_with_evidence_work("intents")

    assert ledger.record_gaps(BY, patience=0) == 1

    intent, gap = _leaves("project.create")[-2:]
    assert (gap[0]["phase"], gap[0]["outcome"]) == ("gap", "failed")
    assert gap[0]["trace"] == intent[0]["trace"]
    assert gap[0]["object"] == intent[0]["object"]
    assert gap[1]["intent"] == intent[0]["id"]
    assert gap[1]["reason"] == "whoever did it is gone and never said what came of it"
    assert ledger.record_gaps(BY, patience=0) == 0
    assert in_acme.scope.tenant_id not in tenants_with_evidence_work("intents")
