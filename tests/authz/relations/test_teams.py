"""Teams and shares: who may change them, what is left in the ledger, circles refused."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from agent.models import Proposal, Task
from authz import people, provisioning, relations, teams
from authz.decisions import decide, visible
from authz.errors import BadRequest, Conflict, Denied
from authz.models import Share, Team, TeamMember
from authz.permissions import Permission as P
from authz.relations import object_of, person
from authz.roles import Role
from tenants.actor import directory_actor
from tenants.models import DirectoryPerson, Project
from tenants.scope import tenant_scope
from tests.portal.standing import proposal_of, task_of


def _by(company, name="tomas"):
    return company.people[name].actor("page")


def _team(company, slug):
    return teams.create_team(slug, slug.capitalize(), by=_by(company))


def _sees(company, name, thing):
    return relations.check(person(company.people[name].pk), P.TASK_VIEW, object_of(thing))


@pytest.fixture
def elsewhere(in_acme):
    """A task of a project in which bo has no role."""
    other = Project.objects.create(slug="other", name="Other")
    task = task_of(in_acme.people["ada"], in_acme.project)
    type(task).objects.filter(pk=task.pk).update(project=other)
    task.refresh_from_db()
    return task


def test_a_team_sees_what_is_shared_with_it_until_somebody_leaves(in_acme, elsewhere, entries):
    before = len(entries(in_acme))
    inner, outer = _team(in_acme, "inner"), _team(in_acme, "outer")
    teams.add_member(inner, in_acme.people["bo"], by=_by(in_acme))
    teams.nest(inner, outer, by=_by(in_acme))
    assert not _sees(in_acme, "bo", elsewhere)

    teams.share(elsewhere, outer, by=_by(in_acme))
    assert _sees(in_acme, "bo", elsewhere)
    assert [str(one.team) for one in teams.shares_of(elsewhere)] == ["Outer"]

    teams.remove_member(inner, in_acme.people["bo"], by=_by(in_acme))
    assert not _sees(in_acme, "bo", elsewhere)
    assert entries(in_acme)[before:] == [
        *[("team.change", "ok")] * 4,
        ("share.change", "ok"),
        ("team.change", "ok"),
    ]


@pytest.mark.parametrize("way", ["unnest", "unshare", "remove_team"])
def test_each_link_of_the_chain_can_be_cut(in_acme, elsewhere, way):
    inner, outer = _team(in_acme, "inner"), _team(in_acme, "outer")
    teams.add_member(inner, in_acme.people["bo"], by=_by(in_acme))
    teams.nest(inner, outer, by=_by(in_acme))
    teams.share(elsewhere, outer, by=_by(in_acme))
    assert _sees(in_acme, "bo", elsewhere)

    if way == "unnest":
        teams.unnest(inner, outer, by=_by(in_acme))
    elif way == "unshare":
        teams.unshare(elsewhere, outer, by=_by(in_acme))
    else:
        teams.remove_team(inner, by=_by(in_acme))

    assert not _sees(in_acme, "bo", elsewhere)


def test_a_share_with_a_person_ends_by_itself(in_acme, elsewhere):
    bo = in_acme.people["bo"]
    until = timezone.now() + timedelta(hours=1)
    teams.share(elsewhere, bo, until=until, by=_by(in_acme))
    teams.share(elsewhere, bo, by=_by(in_acme))  # for good now
    assert Share.objects.get().expires_at is None

    teams.share(elsewhere, bo, until=until, by=_by(in_acme))
    why = relations.explain(person(bo.pk), P.TASK_VIEW, object_of(elsewhere))

    assert why.path[0].until == pytest.approx(until.timestamp())
    with pytest.raises(BadRequest, match="has passed"):
        teams.share(elsewhere, bo, until=timezone.now(), by=_by(in_acme))


@pytest.mark.parametrize("name", ["ada", "lin"])
def test_project_admins_share_what_is_in_their_project(in_acme, elsewhere, name, entries):
    task = task_of(in_acme.people["bo"], in_acme.project)
    iris = in_acme.people["iris"]

    teams.share(task, iris, by=_by(in_acme, name))
    with pytest.raises(Denied):
        teams.share(elsewhere, iris, by=_by(in_acme, name))

    assert entries(in_acme)[-2:] == [("share.change", "ok"), ("share.change.denied", "denied")]


@pytest.mark.parametrize("name", ["bo", "iris", "ada"])
def test_only_who_runs_the_tenant_changes_teams(in_acme, name, entries):
    team = _team(in_acme, "devs")
    by, bo = _by(in_acme, name), in_acme.people["bo"]
    for attempt in (
        lambda: teams.create_team("other", "Other", by=by),
        lambda: teams.add_member(team, bo, by=by),
        lambda: teams.remove_member(team, bo, by=by),
        lambda: teams.nest(team, team, by=by),
        lambda: teams.unnest(team, team, by=by),
        lambda: teams.remove_team(team, by=by),
    ):
        with pytest.raises(Denied):
            attempt()
        assert entries(in_acme)[-1] == ("team.change.denied", "denied")
    assert [one.slug for one in Team.objects.all()] == ["devs"]


def test_circles_are_refused_however_long(in_acme, entries):
    one, two, three = (_team(in_acme, slug) for slug in ("one", "two", "three"))
    teams.nest(one, two, by=_by(in_acme))
    teams.nest(two, three, by=_by(in_acme))

    for inner, outer in ((three, one), (two, one), (one, one)):
        with pytest.raises(Conflict, match="contain"):
            teams.nest(inner, outer, by=_by(in_acme))
        assert entries(in_acme)[-1] == ("team.change.refused", "denied")
    assert TeamMember.objects.count() == 2


def test_two_at_once_make_no_circle_either(acme):
    with tenant_scope(acme.scope):
        one, two = _team(acme, "one"), _team(acme, "two")
    ready = threading.Barrier(2)
    ended = []

    def put(inner, outer):
        try:
            with tenant_scope(acme.scope):
                by = _by(acme)
                ready.wait(20)
                teams.nest(inner, outer, by=by)
                ended.append("in")
        except Conflict:
            ended.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=put, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["in", "refused"]


def test_what_makes_no_sense_is_refused(in_acme, elsewhere):
    devs, bo, by = _team(in_acme, "devs"), in_acme.people["bo"], _by(in_acme)
    gone = _team(in_acme, "gone")
    teams.remove_team(gone, by=by)
    teams.add_member(devs, bo, by=by)
    people.remove(in_acme.people["lin"], by=by)

    for attempt, refusal in (
        (lambda: teams.create_team("devs", "Again", by=by), BadRequest),
        (lambda: teams.create_team("No slug", "Name", by=by), BadRequest),
        (lambda: teams.create_team("empty", " ", by=by), BadRequest),
        (lambda: teams.add_member(devs, bo, by=by), Conflict),
        (lambda: teams.add_member(gone, bo, by=by), Conflict),
        (lambda: teams.add_member(devs, in_acme.people["lin"], by=by), Conflict),
        (lambda: teams.remove_member(devs, in_acme.people["ada"], by=by), Conflict),
        (lambda: teams.remove_team(gone, by=by), Conflict),
        (lambda: teams.unnest(devs, gone, by=by), Conflict),
        (lambda: teams.share(elsewhere, gone, by=by), Conflict),
        (lambda: teams.share(elsewhere, in_acme.people["lin"], by=by), Conflict),
        (lambda: teams.unshare(elsewhere, devs, by=by), Conflict),
        (lambda: teams.share(bo, devs, by=by), BadRequest),
    ):
        with pytest.raises(refusal):
            attempt()


def test_teams_of_another_tenant_do_not_exist(acme, globex):
    with tenant_scope(globex.scope):
        theirs = _team(globex, "theirs")
    with tenant_scope(acme.scope):
        task = proposal_of(acme.people["ada"], acme.project).task
        by = _by(acme)
        with pytest.raises(Conflict):
            teams.share(task, theirs, by=by)
        with pytest.raises(Conflict):
            teams.add_member(theirs, acme.people["bo"], by=by)
        with pytest.raises(Conflict):
            teams.share(task, globex.people["bo"], by=by)
        assert not Share.objects.exists()


@pytest.mark.parametrize("leave", ["by hand", "by the directory"])
def test_whoever_comes_back_has_no_team_and_no_share(in_acme, elsewhere, leave):
    bo = in_acme.people["bo"]
    team = _team(in_acme, "inner")
    teams.add_member(team, bo, by=_by(in_acme))
    teams.share(elsewhere, bo, by=_by(in_acme))

    if leave == "by hand":
        people.remove(bo, by=_by(in_acme))
    else:
        person_there = DirectoryPerson.objects.create(
            user=bo, user_name="bo", user_name_key="bo", resource={}
        )
        provisioning.remove_person(person_there, by=directory_actor(uuid4(), "directory"))
    people.admit(
        bo.email,
        bo.name,
        [Role.AUDITOR],
        tenant=people.AsTenant(in_acme.scope.tenant_id),
        project=None,
        by=_by(in_acme),
    )

    assert not TeamMember.objects.filter(team=team).exists()
    assert not Share.objects.exists()


def test_what_is_shared_appears_in_lists_and_opens_and_nothing_else_does(in_acme, elsewhere):
    bo = in_acme.people["bo"].actor("page")
    proposal = proposal_of(in_acme.people["ada"], in_acme.project)
    for rows in (Proposal.objects.filter(pk=proposal.pk), Task.objects.filter(pk=proposal.task_id)):
        rows.update(project=elsewhere.project)
    proposal.refresh_from_db()
    task = Task.objects.get(pk=proposal.task_id)
    assert task not in visible(bo, P.TASK_VIEW, Task.objects.all())
    assert not decide(bo, P.PROPOSAL_VIEW, proposal).allowed

    teams.share(task, in_acme.people["bo"], by=_by(in_acme))

    seen = set(visible(bo, P.TASK_VIEW, Task.objects.all()))
    assert task in seen
    assert elsewhere not in seen
    assert proposal in visible(bo, P.PROPOSAL_VIEW, Proposal.objects.all())
    said = decide(bo, P.PROPOSAL_VIEW, proposal)
    assert said.reasons == ["whoever this task is shared with may view a proposal"]
    assert said.recorded["relations"][0] == f"proposal:{proposal.pk}#task@task:{task.pk}"
    assert said.recorded["revision"] == str(relations.revision())
    assert not decide(bo, P.PROPOSAL_COUNTERSIGN, proposal).allowed
    assert not decide(bo, P.TASK_CANCEL, task).allowed
