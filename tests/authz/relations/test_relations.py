"""One face for questions about rights: strict, the same from memory and in SQL, never a yes by
mistake."""

import pickle
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from agent.models import Proposal, Repository, Task
from authz import relations, tuples
from authz.graph import Graph, Ref
from authz.model import MODEL
from authz.models import Grant, Revision, Share, Team, TeamMember
from authz.permissions import Permission as P
from authz.relations import object_of, person
from authz.roles import Role
from evidence.models import Pack
from tenants.backend.prepared import Prepared
from tenants.models import Membership, Project
from tenants.scope import tenant_scope
from tests.portal.standing import pack_of, proposal_of
from tests.tenants.operators import as_role

TABLES = {
    "project": Project,
    "repository": Repository,
    "task": Task,
    "proposal": Proposal,
    "pack": Pack,
}


@pytest.fixture(params=["memory", "sql"])
def engine(request, settings):
    """Each test with it is answered by both."""
    settings.RELATIONS = request.param
    relations.forget()
    return request.param


@pytest.fixture
def work(in_acme):
    """Two projects with work in each, one task of which is shared with iris' team."""
    other = Project.objects.create(slug="other", name="Other")
    repository = Repository.objects.create(project=other, name="other-shop")
    proposals = [proposal_of(in_acme.people["ada"], in_acme.project) for _ in range(2)]
    for rows in (
        Proposal.objects.filter(pk=proposals[1].pk),
        Task.objects.exclude(proposal=proposals[0]),
    ):
        rows.update(project=other, repository=repository)
    proposals = [Proposal.objects.get(pk=proposal.pk) for proposal in proposals]
    packs = [pack_of(proposal) for proposal in proposals]
    team = Team.objects.create(slug="guests", name="Guests")
    return in_acme, other, proposals, packs, team


def _may(company, name, held, thing):
    return relations.check(person(company.people[name].pk), held, object_of(thing))


def test_roles_count_where_they_are_given(work, engine):
    acme, _, (here, there), packs, _ = work

    assert _may(acme, "ada", P.PROPOSAL_VIEW, here)
    assert not _may(acme, "ada", P.PROPOSAL_VIEW, there)
    assert _may(acme, "tomas", P.PROPOSAL_VIEW, there)
    assert _may(acme, "iris", P.PACK_EXPORT, packs[1])
    assert not _may(acme, "bo", P.PACK_EXPORT, packs[0])
    assert not _may(acme, "bo", P.PROPOSAL_COUNTERSIGN, here)


def test_whoever_asked_for_work_does_not_let_it_through(work, engine):
    acme, _, (here, _), _, _ = work

    assert not _may(acme, "ada", P.PROPOSAL_COUNTERSIGN, here)
    assert _may(acme, "ada", P.PROPOSAL_REJECT, here)
    assert _may(acme, "lin", P.PROPOSAL_COUNTERSIGN, here)


def test_a_shared_task_is_seen_with_its_proposal_and_nothing_else(work, engine):
    acme, other, (_, there), packs, team = work
    inner = Team.objects.create(slug="inner", name="Inner")
    TeamMember.objects.create(team=inner, user=acme.people["bo"])
    TeamMember.objects.create(team=team, nested=inner)
    Share.objects.create(object_type="task", object_id=there.task_id, team=team)

    assert _may(acme, "bo", P.TASK_VIEW, there.task)
    assert _may(acme, "bo", P.PROPOSAL_VIEW, there)
    assert not _may(acme, "bo", P.TASK_CANCEL, there.task)
    assert not _may(acme, "bo", P.PROPOSAL_VIEW, other)
    assert not _may(acme, "bo", P.PROPOSAL_VIEW, packs[1])
    assert not _may(acme, "bo", P.REPOSITORY_VIEW, there.repository)


def test_a_suspended_person_holds_nothing_by_any_way(work, engine):
    acme, other, (here, there), _, team = work
    tomas = acme.people["tomas"]
    TeamMember.objects.create(team=team, user=tomas)
    Share.objects.create(object_type="project", object_id=other.pk, team=team)
    Share.objects.create(object_type="task", object_id=here.task_id, user=tomas)
    assert _may(acme, "tomas", P.TASK_VIEW, there.task)

    Membership.objects.filter(user=tomas).update(state=Membership.State.SUSPENDED)

    for held in P:
        for thing in (other, there.task, here.task, here, acme.project):
            assert not _may(acme, "tomas", held, thing)
    assert tomas.pk not in relations.subjects_with(P.TASK_VIEW, object_of(here.task))
    assert relations.objects_with(person(tomas.pk), P.TASK_VIEW, "task") == []
    assert relations.explain(person(tomas.pk), P.TASK_VIEW, object_of(other)).why == "inactive"

    Membership.objects.filter(user=tomas).update(state=Membership.State.ACTIVE)
    assert _may(acme, "tomas", P.TASK_VIEW, there.task)


def test_what_ends_counts_for_nothing_from_then_on_without_any_write(work, engine):
    acme, _, (_, there), _, _ = work
    Grant.objects.create(
        user=acme.people["bo"],
        role=Role.AUDITOR,
        expires_at=timezone.now() + timedelta(milliseconds=700),
    )
    assert _may(acme, "bo", P.PROPOSAL_VIEW, there)
    revision = relations.revision()

    time.sleep(0.8)

    assert not _may(acme, "bo", P.PROPOSAL_VIEW, there)
    assert relations.revision() == revision
    assert (
        relations.explain(person(acme.people["bo"].pk), P.PROPOSAL_VIEW, object_of(there)).why
        == "expired"
    )


def test_the_longest_of_two_equal_roles_counts(in_acme, engine):
    bo = in_acme.people["bo"]
    soon = timezone.now() + timedelta(milliseconds=500)
    Grant.objects.create(user=bo, role=Role.AUDITOR, source="admin", expires_at=soon)
    held = (person(bo.pk), P.LEDGER_VIEW, Ref("tenant", in_acme.scope.tenant_id.int))
    assert relations.check(*held)
    longer = Grant.objects.create(
        user=bo, role=Role.AUDITOR, source="sso", expires_at=soon + timedelta(hours=1)
    )
    time.sleep(0.6)
    assert relations.check(*held)
    relations.forget()
    assert relations.check(*held)
    Grant.objects.filter(pk=longer.pk).update(expires_at=None)
    relations.forget()
    assert relations.check(*held)
    longer.delete()
    assert not relations.check(*held)


def test_what_is_taken_away_bites_at_the_next_question(in_acme, engine):
    bo, project = in_acme.people["bo"], in_acme.project
    for _ in range(3):
        grant = Grant.objects.create(user=bo, role=Role.PROJECT_ADMIN, project=project)
        assert _may(in_acme, "bo", P.PROJECT_ROLE_CHANGE, project)
        grant.delete()
        assert not _may(in_acme, "bo", P.PROJECT_ROLE_CHANGE, project)


def test_a_transaction_sees_its_own_changes_and_nobody_else_does(in_acme, engine):
    bo, project = in_acme.people["bo"], in_acme.project
    assert not _may(in_acme, "bo", P.PROJECT_ROLE_CHANGE, project)

    with transaction.atomic():
        Grant.objects.create(user=bo, role=Role.PROJECT_ADMIN, project=project)
        assert _may(in_acme, "bo", P.PROJECT_ROLE_CHANGE, project)
        assert bo.pk in relations.subjects_with(P.PROJECT_ROLE_CHANGE, object_of(project))
        assert relations.explain(person(bo.pk), P.PROJECT_ROLE_CHANGE, object_of(project)).allowed
        transaction.set_rollback(True)

    assert not _may(in_acme, "bo", P.PROJECT_ROLE_CHANGE, project)


def test_tenants_never_meet(acme, globex, engine):
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["ada"], acme.project)
        tomas = acme.people["tomas"]
        assert relations.check(person(tomas.pk), P.PROPOSAL_VIEW, object_of(proposal))
    with tenant_scope(globex.scope):
        for user in (tomas, globex.people["tomas"]):
            assert not relations.check(person(user.pk), P.PROPOSAL_VIEW, object_of(proposal))
            assert not relations.check(
                person(user.pk), P.TASK_VIEW, Ref("tenant", acme.scope.tenant_id.int)
            )
        assert relations.objects_with(person(tomas.pk), P.PROPOSAL_VIEW, "proposal") == []


def _everything(company):
    return [
        (person(user.pk), held, type)
        for user in company.people.values()
        for type in TABLES
        for held in MODEL[type].permissions
    ]


def test_lists_are_what_single_questions_allow(work, engine):
    """Filtered by columns in PostgreSQL, listed as ids, asked one by one: the same each way."""
    acme, other, (_, there), _, team = work
    TeamMember.objects.create(team=team, user=acme.people["bo"])
    Share.objects.create(object_type="task", object_id=there.task_id, team=team)
    Share.objects.create(object_type="project", object_id=other.pk, user=acme.people["lin"])
    Grant.objects.create(user=acme.people["iris"], role=Role.AGENT, project=other)
    sizes = set()
    for subject, held, type in _everything(acme):
        rows = list(TABLES[type].objects.all())
        answers = relations.check_many(subject, [(held, object_of(row)) for row in rows])
        single = {row.pk for row, yes in zip(rows, answers, strict=True) if yes}
        filtered = TABLES[type].objects.filter(relations.list_filter(subject, held, type))
        assert {row.pk for row in filtered} == single, (subject, held, type)
        assert set(relations.objects_with(subject, held, type)) == single, (subject, held, type)
        sizes.add((type, len(single)))
    assert {("task", 0), ("task", 1), ("task", 2), ("proposal", 1), ("pack", 1)} <= sizes


def test_a_list_of_rows_beside_a_task_is_filtered_by_the_task(work, engine):
    acme, _, (here, there), _, _ = work
    bo = person(acme.people["bo"].pk)
    Share.objects.create(object_type="task", object_id=there.task_id, user=acme.people["bo"])

    seen = Proposal.objects.filter(relations.list_filter(bo, P.TASK_VIEW, "task", "task__"))

    assert {row.pk for row in seen} == {here.pk, there.pk}
    nobody = relations.list_filter(bo, P.LEDGER_VIEW, "task", "task__")
    assert not Proposal.objects.filter(nobody).exists()
    assert not Task.objects.filter(relations.list_filter(bo, "no.such", "task")).exists()


def test_who_may_and_what_explains_it(work, engine):
    acme, _, (here, _), _, _ = work
    names = {user.pk: name for name, user in acme.people.items()}

    may = relations.subjects_with(P.PROPOSAL_COUNTERSIGN, object_of(here))
    why = relations.explain(person(acme.people["lin"].pk), P.PROPOSAL_COUNTERSIGN, object_of(here))
    barred = relations.explain(
        person(acme.people["ada"].pk), P.PROPOSAL_COUNTERSIGN, object_of(here)
    )
    missing = relations.explain(
        person(acme.people["bo"].pk), P.PROPOSAL_COUNTERSIGN, object_of(here)
    )

    assert {names[id] for id in may} == {"lin", "tomas"}
    steps = [(s.edge.object_type, s.edge.relation, s.edge.subject_type) for s in why.path]
    assert steps == [
        ("proposal", "project", "project"),
        ("project", "project_admin", "user"),
        ("user", "active", "user"),
    ]
    assert (barred.allowed, barred.why) == (False, "excluded")
    assert [step.edge.relation for step in barred.barred_by] == ["task", "requester"]
    assert missing.why == "missing"
    assert {(on.type, relation) for on, relation in missing.needed} == {
        ("project", "project_admin"),
        ("tenant", "project_admin"),
        ("tenant", "tenant_admin"),
    }


# Of the memory alone ------------------------------------------------------------------------------


@pytest.fixture
def memory(settings):
    settings.RELATIONS = "memory"
    relations.forget()


@pytest.fixture
def no_sql(monkeypatch):
    """Answers in SQL are a failure, so that a test sees which of the two answers."""

    def never(*_):
        raise AssertionError("asked in SQL")

    monkeypatch.setattr(relations, "_check_in_sql", never)


def _asked(company, name="tomas"):
    return relations.check(person(company.people[name].pk), P.TASK_VIEW, object_of(company.project))


def _queries(company, monkeypatch):
    """What is asked of PostgreSQL for one check."""
    asked = []
    rows, run = relations._rows, Prepared.run
    with monkeypatch.context() as patch:
        patch.setattr(relations, "_rows", lambda q, v=(): asked.append(q) or rows(q, v))
        patch.setattr(Prepared, "run", lambda one, *said: asked.append(one) or run(one, *said))
        assert _asked(company)
    names = {relations._REVISION: "revision", relations._ALL: "all", relations._CHANGES: "changes"}
    return [names.get(query, "sql") for query in asked]


def test_a_question_costs_one_reading_of_the_revision(in_acme, memory, no_sql, monkeypatch):
    assert _queries(in_acme, monkeypatch) == ["revision", "all"]
    assert _queries(in_acme, monkeypatch) == ["revision"]
    Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
    assert _queries(in_acme, monkeypatch) == ["revision", "changes"]
    assert _queries(in_acme, monkeypatch) == ["revision"]


def test_long_behind_everything_is_read_anew(in_acme, memory, no_sql, monkeypatch):
    assert _asked(in_acme)
    monkeypatch.setattr(relations, "LONG_BEHIND", 1)
    Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
    Grant.objects.create(user=in_acme.people["bo"], role=Role.AGENT)
    assert _queries(in_acme, monkeypatch) == ["revision", "all"]


def test_tuples_made_anew_are_read_anew(in_acme, memory, no_sql, monkeypatch):
    assert _asked(in_acme)
    with as_role("owner"), transaction.atomic():
        tuples.fill("pool")
    assert _queries(in_acme, monkeypatch) == ["revision", "all"]


def test_changes_leave_the_graph_as_reading_it_anew_does(in_acme, memory, no_sql):
    assert _asked(in_acme)
    proposal = proposal_of(in_acme.people["ada"], in_acme.project)
    team = Team.objects.create(slug="devs", name="Devs")
    TeamMember.objects.create(team=team, user=in_acme.people["bo"])
    share = Share.objects.create(object_type="task", object_id=proposal.task_id, team=team)
    Grant.objects.filter(user=in_acme.people["lin"]).delete()
    until = timezone.now() + timedelta(hours=1)
    Share.objects.filter(pk=share.pk).update(expires_at=until)
    Membership.objects.filter(user=in_acme.people["iris"]).update(state="suspended")
    with transaction.atomic():
        twice = Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
        twice.delete()

    assert _asked(in_acme)
    changed = relations._memory[in_acme.scope.tenant_id].graph
    anew, _, _ = relations._load()

    assert (changed.ends, changed.size) == (anew.ends, anew.size)
    for one, other in zip(changed.edges, anew.edges, strict=True):
        assert _alike(one) == _alike(other)
    assert {slot: _alike(one) for slot, one in changed._groups.items()} == {
        slot: _alike(one) for slot, one in anew._groups.items()
    }


def _alike(edges):
    """A set of one is as good as the one."""
    return {key: {found} if isinstance(found, int) else found for key, found in edges.items()}


def test_uncommitted_tuples_never_get_into_the_memory(in_acme, memory):
    bo, project = in_acme.people["bo"], in_acme.project
    with transaction.atomic():
        Grant.objects.create(user=bo, role=Role.TENANT_ADMIN)
        assert _may(in_acme, "bo", P.PROJECT_CREATE, project)
        assert in_acme.scope.tenant_id not in relations._memory
        transaction.set_rollback(True)


def test_a_graph_that_fails_is_answered_for_by_sql(in_acme, memory, monkeypatch, caplog):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(Graph, "check", broken)

    assert _asked(in_acme)
    assert not relations.check(
        person(in_acme.people["bo"].pk), P.LEDGER_VIEW, object_of(in_acme.project)
    )
    assert "answered in SQL" in caplog.text


def test_without_either_there_is_no_answer(in_acme, memory, monkeypatch):
    def broken(*_):
        raise DatabaseError("gone")

    monkeypatch.setattr(relations, "_rows", broken)

    with pytest.raises(DatabaseError):
        _asked(in_acme)


def test_a_graph_that_somebody_else_reads_is_not_waited_for(in_acme, memory, monkeypatch):
    assert _asked(in_acme)
    kept = relations._memory[in_acme.scope.tenant_id]
    monkeypatch.setattr(relations, "PATIENCE", 0.01)
    with kept.lock:
        monkeypatch.setattr(Graph, "check", lambda *_: pytest.fail("asked a locked graph"))
        assert _asked(in_acme)


def test_the_tenants_asked_about_longest_ago_make_room(acme, globex, memory, settings):
    with tenant_scope(acme.scope):
        assert _asked(acme)
    size = relations._memory[acme.scope.tenant_id].graph.size
    assert size > 5
    settings.RELATIONS_TUPLES = size + 1
    with tenant_scope(globex.scope):
        assert _asked(globex)
    assert list(relations._memory) == [globex.scope.tenant_id]
    settings.RELATIONS_TUPLES = 1  # never less than the tenant that is asked about
    with tenant_scope(acme.scope):
        assert _asked(acme)
    assert list(relations._memory) == [acme.scope.tenant_id]


def test_a_zookie_names_a_state(in_acme):
    before = relations.revision()
    Grant.objects.create(user=in_acme.people["bo"], role=Role.AUDITOR)
    after = relations.revision()

    assert (after.tenant_id, after.epoch) == (before.tenant_id, before.epoch)
    assert after.number == before.number + 1
    assert str(after) == f"{Revision.objects.get().pk}/{after.number}"


def test_ids_made_the_quick_way_are_as_any_other():
    numbers = [0, 1, 2**128 - 1, *(uuid4().int for _ in range(100))]

    for made, number in zip(relations._uuids(numbers), numbers, strict=True):
        usual = UUID(int=number)
        assert (made, hash(made), str(made)) == (usual, hash(usual), str(usual))
        assert (made.is_safe, made.version) == (usual.is_safe, usual.version)
        assert pickle.dumps(made) == pickle.dumps(usual)
