"""SpiceDB (real) and OpenFGA (a stand-in, by its description) beside the database."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from agent.models import Task
from authz import engines, feeding, relations, teams
from authz.decisions import decide, visible
from authz.errors import BadRequest, Conflict
from authz.graph import Edge, Ref
from authz.models import OutsideEngine, Tuple
from authz.outside import ENGINES, EngineFault, engine_called
from authz.outside.engine import Api
from authz.outside.spicedb import LISTED
from authz.permissions import Permission as P
from evidence.models import StagedEntry
from tenants.actor import system_actor
from tenants.models import Project
from tenants.scope import current_tenant_id, tenant_scope
from tests.authz.outside.servers import SECRET, StandInOpenfga, real_spicedb, served
from tests.portal.standing import proposal_of, task_of

BY = system_actor("operator", "cli")
NOBODYS = "http://127.0.0.1:1"  # nothing listens there


@pytest.fixture(scope="module")
def spicedb():
    with real_spicedb() as address:
        yield address


@pytest.fixture
def openfga():
    stand_in = StandInOpenfga()
    with served(stand_in.answer) as address:
        stand_in.address = address
        yield stand_in


@pytest.fixture
def servers(settings, spicedb, openfga):
    settings.RELATIONS_SERVERS = {
        "spicedb": (spicedb, SECRET),
        "openfga": (openfga.address, SECRET),
    }
    return settings


@pytest.fixture(params=["spicedb", "openfga"])
def name(request, servers):
    return request.param


@pytest.fixture
def task(in_acme):
    return task_of(in_acme.people["ada"], in_acme.project)


def may_see(company, who, thing):
    return decide(company.people[who].actor("page"), P.TASK_VIEW, thing)


def by(company):
    return company.people["tomas"].actor("page")


def test_a_server_is_fed_compared_and_lets_in_whom_the_tuples_let_in(in_acme, name, task, entries):
    proposal_of(in_acme.people["bo"], in_acme.project)
    started = engines.start(name, by=BY)
    assert started.number == relations.revision().number > 0

    found = engines.let_decide(by=BY, questions=500)

    assert (found.asked, found.lists, found.different) == (500, 100, 0)
    assert 0 < found.allowed < 500
    assert may_see(in_acme, "bo", task).allowed
    assert not decide(in_acme.people["bo"].actor("page"), P.TASK_RUN, task).allowed
    assert entries(in_acme)[-3:] == [("relations.engine", "ok")] * 3


def test_what_changes_is_told_before_the_next_question(in_acme, name, task):
    engines.start(name, by=BY)
    engines.let_decide(by=BY, questions=50)
    team = teams.create_team("guests", "Guests", by=by(in_acme))
    hidden = OutsideEngine.objects.get().number

    Task.objects.filter(pk=task.pk).update(project=_other(in_acme))
    task.refresh_from_db()
    assert not may_see(in_acme, "bo", task).allowed
    teams.add_member(team, in_acme.people["bo"], by=by(in_acme))
    teams.share(task, team, by=by(in_acme))
    assert may_see(in_acme, "bo", task).allowed
    teams.remove_member(team, in_acme.people["bo"], by=by(in_acme))
    assert not may_see(in_acme, "bo", task).allowed

    assert OutsideEngine.objects.get().number == relations.revision().number > hidden
    assert feeding.compare(300).different == 0


def test_what_expires_is_taken_out_there(in_acme, name, task):
    engines.start(name, by=BY)
    Task.objects.filter(pk=task.pk).update(project=_other(in_acme))
    task.refresh_from_db()
    teams.share(
        task, in_acme.people["bo"], until=timezone.now() + timedelta(seconds=3), by=by(in_acme)
    )
    feeding.feed()
    subject = relations.person(in_acme.people["bo"].pk)
    asked = [(subject, P.TASK_VIEW, relations.object_of(task))]
    assert feeding.check_many(asked, None, 0) == [True]
    end = OutsideEngine.objects.get().next_end
    time.sleep(max(0, (end - timezone.now()).total_seconds()) + 0.01)

    now = relations.revision()
    assert feeding.check_many(asked, now.epoch, now.number) == [False]
    assert OutsideEngine.objects.get().next_end is None


def test_whom_the_server_alone_lets_in_is_kept_out(in_acme, name, task):
    bo = in_acme.people["bo"]
    engines.start(name, by=BY)
    engines.let_decide(by=BY, questions=50)
    Task.objects.filter(pk=task.pk).update(project=_other(in_acme))
    task.refresh_from_db()
    feeding.feed()
    _tell(name, put=[Edge("task", task.pk.int, "viewer", "user", bo.pk.int, "active")])

    said = may_see(in_acme, "bo", task)

    assert not said.allowed
    assert "engines disagree" in said.reasons[0]
    OutsideEngine.objects.update(mode="shadow")
    # Without the server's yes there is nothing to disagree about.
    assert "engines" not in may_see(in_acme, "bo", task).reasons[0]


def test_whom_the_server_alone_keeps_out_is_kept_out(in_acme, name, task):
    engines.start(name, by=BY)
    engines.let_decide(by=BY, questions=50)
    _tell(name, drop=[_as_developer(in_acme.people["bo"])])

    assert not may_see(in_acme, "bo", task).allowed


def listed(company, who, permission=P.TASK_VIEW, rows=None):
    rows = Task.objects.all() if rows is None else rows
    return set(visible(company.people[who].actor("page"), permission, rows))


def test_lists_hold_what_both_list(in_acme, name, task):
    """A tuple that only one of the two has lets nobody see anything in a list."""
    bo, elsewhere = in_acme.people["bo"], _other(in_acme)
    hidden = task_of(in_acme.people["ada"], in_acme.project)
    Task.objects.filter(pk=hidden.pk).update(project=elsewhere)
    engines.start(name, by=BY)
    engines.let_decide(by=BY, questions=50)
    assert listed(in_acme, "bo") == {task}

    _tell(name, put=[Edge("task", hidden.pk.int, "viewer", "user", bo.pk.int, "active")])
    assert listed(in_acme, "bo") == {task}
    _tell(name, drop=[_as_developer(bo)])
    assert listed(in_acme, "bo") == set()
    assert listed(in_acme, "ada") == {task}
    OutsideEngine.objects.update(mode="shadow")
    assert listed(in_acme, "bo") == {task}


def test_lists_leave_out_what_either_keeps_out(in_acme, name, task):
    """Whoever asked for a task does not let its proposal through, says the server alone."""
    proposal = proposal_of(in_acme.people["bo"], in_acme.project)
    engines.start(name, by=BY)
    engines.let_decide(by=BY, questions=50)
    rows = type(proposal).objects.all()
    assert listed(in_acme, "ada", P.PROPOSAL_COUNTERSIGN, rows) == {proposal}

    ada = in_acme.people["ada"].pk.int
    _tell(name, put=[Edge("task", proposal.task_id.int, "requester", "user", ada)])

    assert listed(in_acme, "ada", P.PROPOSAL_COUNTERSIGN, rows) == set()


def test_a_list_too_long_for_the_server_is_the_tuples_alone(in_acme, name, task, monkeypatch):
    task_of(in_acme.people["ada"], in_acme.project)
    engines.start(name, by=BY)
    engines.let_decide(by=BY, questions=50)
    ada = relations.person(in_acme.people["ada"].pk)
    now = relations.revision()
    asked = (ada, P.TASK_VIEW, "task", now.epoch, now.number)
    assert feeding.objects_with(*asked) == set(Task.objects.values_list("pk", flat=True))

    monkeypatch.setattr(feeding, "LISTED_AT_MOST", 1)
    assert feeding.objects_with(*asked) is None
    _other(in_acme)  # so that tomas sees two projects
    assert listed(in_acme, "tomas") == set(Task.objects.all())


def test_lists_that_differ_are_found_and_keep_the_server_from_deciding(in_acme, name, task):
    engines.start(name, by=BY)
    assert feeding.compare(10).different == 0
    _tell(name, drop=[_as_developer(in_acme.people["bo"])])

    found = feeding.compare(100_000)

    assert found.lists == feeding.LISTS_COMPARED
    assert found.different > 0
    with pytest.raises(Conflict, match="answers differ"):
        engines.let_decide(by=BY, questions=100_000)


def test_lists_are_compared_by_themselves(in_acme, name, task, monkeypatch):
    """What no single question brings to light: they were not the same questions."""
    engines.start(name, by=BY)
    bo = relations.person(in_acme.people["bo"].pk)
    monkeypatch.setattr(feeding, "_questions", lambda now, most: [])
    monkeypatch.setattr(
        feeding, "_lists", lambda now, most: [(bo, P.TASK_VIEW, "project"), (bo, "viewer", "task")]
    )
    assert feeding.compare() == feeding.Comparison(0, 0, 2, 0)

    _tell(name, drop=[_as_developer(in_acme.people["bo"])])

    assert feeding.compare().examples == (
        f"list of project by task.view for {UUID(int=bo.id)}: 1 here, 0 there",
    )


@pytest.mark.parametrize("said", [{"objects": 7}, {"objects": ["team:x"]}, {"objects": ["task:x"]}])
def test_a_list_that_says_nothing_is_a_fault(in_acme, servers, openfga, task, said):
    engines.start("openfga", by=BY)
    now = relations.revision()
    openfga._list = lambda *asked: (200, said)

    with pytest.raises(EngineFault, match="list-objects"):
        feeding.objects_with(
            relations.person(in_acme.people["bo"].pk), P.TASK_VIEW, "task", now.epoch, now.number
        )


@pytest.mark.parametrize(
    "line",
    [
        {"error": {"message": "no"}},
        {"result": {"resourceObjectId": "x/y", "permissionship": "x"}},
        {"result": {"resourceObjectId": "x", "permissionship": LISTED}},
        {"result": {"resourceObjectId": f"{UUID(int=1)}/{UUID(int=2)}", "permissionship": LISTED}},
    ],
)
def test_a_list_of_spicedb_with_anything_else_in_it_is_a_fault(in_acme, line):
    with served(lambda *asked: (200, [line])) as address:
        server = ENGINES["spicedb"](Api(address, SECRET))
        place = feeding.Place(in_acme.scope.tenant_id)
        with pytest.raises(EngineFault, match="/v1/permissions/resources"):
            server.objects_with(place, Ref("user", 1), P.TASK_VIEW, "task", "", 5)


def test_while_a_server_is_down_lists_are_the_tuples_alone(in_acme, servers, openfga, task):
    engines.start("openfga", by=BY)
    engines.let_decide(by=BY, questions=50)
    openfga.down = True

    assert listed(in_acme, "bo") == {task}


def test_while_a_server_is_down_the_tuples_decide(in_acme, servers, openfga, task):
    engines.start("openfga", by=BY)
    engines.let_decide(by=BY, questions=50)
    openfga.down = True

    assert may_see(in_acme, "bo", task).allowed
    assert not decide(in_acme.people["bo"].actor("page"), P.TASK_RUN, task).allowed
    with pytest.raises(EngineFault, match="503"):
        feeding.compare(10)
    engines.stop(by=BY)  # and what is left there is on record
    assert not OutsideEngine.objects.exists()


def test_in_shadow_the_server_has_no_say(in_acme, servers, openfga, task, entries):
    engines.start("openfga", by=BY)
    next(iter(openfga.stores.values())).clear()

    assert may_see(in_acme, "bo", task).allowed
    assert feeding.compare(100_000).different > 0
    with pytest.raises(Conflict, match="answers differ"):
        engines.let_decide(by=BY, questions=100_000)
    assert OutsideEngine.objects.get().mode == "shadow"
    assert entries(in_acme)[-1] == ("relations.engine.refused", "denied")


def test_two_tenants_share_one_spicedb_and_nothing_in_it(acme, globex, servers):
    with tenant_scope(globex.scope):
        theirs = task_of(globex.people["ada"], globex.project)
        asked = (
            relations.person(globex.people["ada"].pk),
            P.TASK_VIEW,
            relations.object_of(theirs),
        )
        engines.start("spicedb", by=BY)
        now = relations.revision()
        assert feeding.check_many([asked], now.epoch, now.number) == [True]
    with tenant_scope(acme.scope):
        engines.start("spicedb", by=BY)
        now = relations.revision()
        assert feeding.check_many([asked], now.epoch, now.number) == [False]
        engines.stop(by=BY)
    with tenant_scope(globex.scope):
        assert feeding.compare(300).different == 0


def test_a_feeder_that_is_killed_after_the_server_heard_of_it_loses_nothing(in_acme, servers, task):
    engines.start("openfga", by=BY)
    before = OutsideEngine.objects.get().number
    teams.share(task, in_acme.people["iris"], by=by(in_acme))
    program = (
        "import os, django; django.setup()\n"
        "from django.conf import settings\n"
        f"settings.RELATIONS_SERVERS = {servers.RELATIONS_SERVERS!r}\n"
        "from authz import feeding\n"
        "from authz.models import OutsideEngine\n"
        "from tenants.scope import scope_of_host, tenant_scope\n"
        f"OutsideEngine.save = lambda *a, **b: os.kill(os.getpid(), {signal.SIGKILL.value})\n"
        f"with tenant_scope(scope_of_host('{in_acme.slug}.localhost')): feeding.feed()\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert OutsideEngine.objects.get().number == before
    assert feeding.feed().number == relations.revision().number > before
    assert feeding.compare(1_000).different == 0


def test_tuples_made_anew_are_told_from_the_beginning(in_acme, name, task):
    engines.start(name, by=BY)
    OutsideEngine.objects.update(epoch=in_acme.project.pk)  # of a count that is over

    feeding.feed()

    assert OutsideEngine.objects.get().epoch == relations.revision().epoch
    assert feeding.compare(500).different == 0


def test_one_at_a_time_and_only_a_server_that_is_set(in_acme, servers, task):
    with pytest.raises(BadRequest):
        engines.start("casbin", by=BY)
    servers.RELATIONS_SERVERS = {"spicedb": ("", ""), "openfga": (NOBODYS, SECRET)}
    with pytest.raises(EngineFault, match="SPICEDB_URL is not set"):
        engines.start("spicedb", by=BY)
    with pytest.raises(EngineFault, match="/stores"):
        engines.start("openfga", by=BY)
    assert not OutsideEngine.objects.exists()
    with pytest.raises(Conflict):
        engines.stop(by=BY)


def test_what_a_server_is_told_at_the_beginning_and_end_is_said_before_and_after(
    in_acme, servers, openfga
):
    engines.start("openfga", by=BY)
    servers.RELATIONS_SERVERS = {"openfga": (NOBODYS, SECRET)}
    with pytest.raises(EngineFault):
        feeding.compare(1)

    engines.stop(by=BY)

    rows = list(StagedEntry.objects.order_by("id"))[-4:]
    said = [json.loads(bytes(row.leaf)) for row in rows]
    assert [one["phase"] for one in said] == ["intent", "result"] * 2
    assert said[0]["trace"] == said[1]["trace"] != said[2]["trace"] == said[3]["trace"]
    assert "/stores" in json.loads(bytes(rows[-1].payload))["left_there"]
    assert not OutsideEngine.objects.exists()


def test_a_wrong_secret_is_a_fault_and_no_answer(in_acme, servers, openfga, task):
    servers.RELATIONS_SERVERS = {**servers.RELATIONS_SERVERS, "openfga": (openfga.address, "x")}
    with pytest.raises(EngineFault, match="401"):
        engines.start("openfga", by=BY)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"result": []},
        {"result": {}},
        {"result": {"0": {"error": {"message": "no"}}}},
        {"result": {"0": {"allowed": "yes"}}},
        {"result": {"0": None}},
    ],
)
def test_an_answer_that_says_nothing_lets_nobody_in(in_acme, servers, openfga, task, said):
    engines.start("openfga", by=BY)
    answer = openfga._check
    openfga._check = lambda *asked: (200, said)
    try:
        with pytest.raises(EngineFault):
            feeding.compare(1)
    finally:
        openfga._check = answer


def test_the_command_says_what_it_did(acme, servers):
    def said(*words):
        out = StringIO()
        call_command("relations_engine", f"{acme.slug}.localhost", *words, stdout=out)
        return out.getvalue()

    assert "decides nothing" in said("start", "--engine", "openfga")
    assert "fed up to revision" in said("feed")
    assert "0 differ" in said("compare", "--questions", "50")
    assert "decides from now on" in said("decide", "--questions", "50")
    with pytest.raises(CommandError, match="in use already"):
        said("start", "--engine", "spicedb")
    assert "asked no more" in said("stop")
    assert "no server" in said("feed")
    with pytest.raises(CommandError, match="say which"):
        said("start")


def _other(company):
    return Project.objects.create(slug="elsewhere", name="Elsewhere")


def _tell(name, put=(), drop=()):
    """Change what the server has behind the back of the tuples here."""
    known = OutsideEngine.objects.get()
    place = feeding.Place(current_tenant_id(), known.store)
    known.token = engine_called(name).write(place, put, drop)
    known.save()


def _as_developer(user):
    """The tuple by which somebody is one."""
    found = Tuple.objects.get(relation="developer", subject_id=user.pk)
    return Edge(found.object_type, found.object_id.int, "developer", "user", user.pk.int, "active")
