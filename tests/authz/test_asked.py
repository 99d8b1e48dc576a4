"""A request reads only what it asked about; whoever forgets to ask gets an error and no rows."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import Count

from agent import places
from agent.models import Draft, Message, Plan, Proposal, Repository, Task
from authz.change import change
from authz.decisions import decide, may, own, require, visible
from authz.errors import Denied
from authz.models import ApiToken, Grant
from authz.opened import BY_ANY, BY_RIGHT
from authz.people import AsTenant
from authz.permissions import Permission
from tenants.asked import Purpose, watched, without_asking
from tenants.errors import Unasked
from tenants.models import Project, User

ROOT = Path(__file__).resolve().parents[2]

# No request ever reads these outside of a change, a decision, or another purpose that is named.
NEVER_READ_BY_DOORS = {
    "agent_modelanswer",
    "authz_tuple",
    "authz_tuplelog",
    "authz_revision",
    "authz_outsideengine",
    "evidence_openintent",
    "evidence_decisionrecord",
    "evidence_decisionstream",
    "tenants_invitation",
    "tenants_replay",
}

# Every place where rows are touched without a question. One more needs a reason and a line here.
WITHOUT_ASKING = {
    ("authz/access.py", "DECIDE"): 1,
    ("authz/change.py", "CHANGE"): 1,
    ("authz/decisions.py", "DECIDE"): 6,
    ("authz/directory.py", "RECORD"): 1,
    ("authz/directory.py", "SIGN_IN"): 3,
    ("authz/refusals.py", "DECIDE"): 1,
    ("authz/tokens.py", "SIGN_IN"): 1,
    ("portal/packs.py", "DECIDE"): 1,
    ("portal/pages/access.py", "OWN"): 1,
    ("portal/pages/account.py", "OWN"): 1,
    ("portal/pages/context.py", "TELL"): 1,
    ("portal/pages/paths.py", "DECIDE"): 1,
    ("portal/signin/backend.py", "SIGN_IN"): 1,
    ("portal/signin/doors.py", "SIGN_IN"): 4,
    ("portal/signin/oidc.py", "SIGN_IN"): 2,
    ("portal/signin/saml.py", "SIGN_IN"): 3,
    ("portal/signin/sessions.py", "SIGN_IN"): 5,
    ("portal/templatetags/admins.py", "DECIDE"): 1,
}


@pytest.fixture
def by(in_acme):
    def named(name: str):
        return in_acme.people[name].actor("page")

    return named


@pytest.mark.parametrize(
    "read",
    [
        lambda: list(Task.objects.all()),
        lambda: Task.objects.first(),
        lambda: Task.objects.count(),
        lambda: Task.objects.exists(),
        lambda: list(Task.objects.values_list("pk", "state")),
        lambda: list(Task.objects.iterator()),
        lambda: Task.objects.aggregate(n=Count("pk")),
        lambda: Task.objects.values("state").annotate(n=Count("pk")).aggregate(m=Count("n")),
        lambda: list(Task.objects.all()[:3].union(Task.objects.all())),
        lambda: Task.objects.in_bulk([]) or Task.objects.in_bulk(),
        lambda: Task.objects.explain(),
        lambda: User.objects.first(),
    ],
    ids=[
        "rows",
        "first",
        "count",
        "exists",
        "values",
        "iterator",
        "aggregate",
        "aggregate_of_groups",
        "union",
        "in_bulk",
        "explain",
        "names_of_people",
    ],
)
def test_rows_that_nobody_asked_about_are_not_read(in_acme, read):
    with watched(), pytest.raises(Unasked, match="would be read"):
        read()


def test_rows_that_a_decision_filtered_are_read_and_so_is_what_is_narrowed_from_them(by):
    rows = visible(by("ada"), Permission.MEMBER_VIEW, Project.objects.all())
    with watched():
        assert rows.count() == 1
        assert rows.filter(slug="platform").get().name == "Platform"
        assert rows.order_by("name").values_list("slug", flat=True)[0] == "platform"


def test_a_yes_opens_its_tables_and_no_other(by, in_acme):
    with watched():
        require(by("ada"), Permission.TASK_VIEW, in_acme.project)
        assert not Task.objects.exists()
        assert not Plan.objects.exists()
        assert User.objects.exists()
        with pytest.raises(Unasked, match="authz_apitoken"):
            ApiToken.objects.exists()
        with pytest.raises(Unasked, match="authz_grant"):
            Grant.objects.exists()


def test_a_no_opens_nothing(by, in_acme):
    tenant = AsTenant(in_acme.scope.tenant_id)
    with watched():
        assert not decide(by("bo"), Permission.LEDGER_VIEW, tenant).allowed
        assert not may(by("bo"), Permission.TOKEN_REVOKE, tenant)
        with pytest.raises(Denied):
            require(by("bo"), Permission.MEMBER_ADMIT, tenant)
        for model in (ApiToken, User, Task):
            with pytest.raises(Unasked):
                model.objects.exists()


def test_what_was_asked_is_forgotten_with_the_request(by, in_acme):
    with watched():
        require(by("ada"), Permission.TASK_VIEW, in_acme.project)
    with watched(), pytest.raises(Unasked):
        Task.objects.exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda company: Draft.objects.filter(pk=company.project.pk).update(fields={}),
        lambda company: Draft.objects.filter(pk=company.project.pk).delete(),
        lambda company: company.project.save(),
        lambda company: Project.objects.create(slug="other", name="Other"),
        lambda company: Project.objects.bulk_create([Project(slug="other", name="Other")]),
        lambda company: company.project.delete(),
    ],
    ids=["update", "delete", "save", "create", "bulk_create", "delete_row"],
)
def test_rows_are_changed_in_a_change_alone(by, in_acme, write):
    names = set(Project.objects.values_list("slug", flat=True))
    with watched():
        require(by("ada"), Permission.TASK_VIEW, in_acme.project)
        with pytest.raises(Unasked, match=r"outside of change\(\)|would be read"):
            write(in_acme)
    assert set(Project.objects.values_list("slug", flat=True)) == names


def test_inside_a_change_rows_are_read_and_changed_and_afterwards_not(by, in_acme):
    tenant = AsTenant(in_acme.scope.tenant_id)
    with watched():
        with change(by("tomas"), Permission.PROJECT_CREATE, on=tenant) as facts:
            facts.about = Project.objects.create(slug="other", name="Other")
            assert not Repository.objects.exists()
        with pytest.raises(Unasked):
            Repository.objects.exists()
        with pytest.raises(Unasked):
            facts.about.delete()


def test_a_change_that_is_refused_leaves_nothing_open(by, in_acme):
    with watched():
        with (
            pytest.raises(Denied),
            change(by("bo"), Permission.PROJECT_CREATE, on=AsTenant(in_acme.scope.tenant_id)),
        ):
            raise AssertionError("must not begin")
        with pytest.raises(Unasked):
            Project.objects.exists()


def test_ones_own_rows_take_no_right(by, in_acme):
    with watched():
        assert not own(by("bo"), ApiToken.objects.all()).exists()
        with pytest.raises(Unasked):
            ApiToken.objects.exists()


def test_what_is_remembered_of_a_table_is_asked_about_too(in_acme):
    places.catalogue()
    with watched(), pytest.raises(Unasked, match="catalogueentry"):
        places.catalogue()


def test_a_purpose_ends_with_its_block(in_acme):
    with watched():
        with without_asking(Purpose.SIGN_IN):
            assert User.objects.exists()
        with pytest.raises(Unasked):
            User.objects.exists()


def test_jobs_and_commands_are_not_watched(in_acme):
    assert not Message.objects.exists()
    assert not Proposal.objects.exists()


@pytest.mark.parametrize(
    ("module", "address"),
    [
        ("portal.pages.tasks", "/tasks/"),
        ("portal.pages.proposals", "/proposals/"),
        ("portal.api.repositories", "/api/v1/repositories"),
        ("portal.api.tasks", "/api/v1/tasks"),
    ],
)
def test_a_door_that_forgets_to_ask_shows_an_error_and_no_rows(
    acme, sign_in, monkeypatch, module, address
):
    client = sign_in(acme, "ada")
    assert client.get(address).status_code == 200
    monkeypatch.setattr(f"{module}.visible", lambda by, permission, rows, *more: rows)

    with pytest.raises(Unasked):
        client.get(address)


def test_a_page_that_forgets_to_require_shows_an_error_and_no_rows(acme, sign_in, monkeypatch):
    client = sign_in(acme, "bo")
    assert client.get("/settings/services/").status_code == 403
    monkeypatch.setattr("portal.pages.tokens.require", lambda by, permission, on: None)

    with pytest.raises(Unasked):
        client.get("/settings/services/")


def test_every_table_of_a_tenant_says_which_rights_open_it():
    walled = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if any(field.column == "tenant_id" for field in model._meta.local_concrete_fields)
    }
    said = [*BY_ANY, *BY_RIGHT, *NEVER_READ_BY_DOORS]

    assert sorted(said) == sorted(walled - {"cells_domain"})


def test_a_purpose_ends_with_the_call_that_it_was_for_however_often_that_calls_itself(in_acme):
    @without_asking(Purpose.SIGN_IN)
    def counted(deeper):
        return counted(deeper - 1) if deeper else Project.objects.count()

    with watched():
        assert counted(2) == 1
        with pytest.raises(Unasked):
            Project.objects.count()


def test_every_place_that_touches_rows_without_asking_is_known():
    found: Counter[tuple[str, str]] = Counter()
    for package in ("portal", "agent", "authz", "evidence", "tenants"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Attribute) and node.attr in Purpose.__members__):
                    continue
                if ast.unparse(node.value) in {"Purpose", "asked.Purpose"}:
                    found[path.relative_to(ROOT).as_posix(), node.attr] += 1

    assert dict(found) == WITHOUT_ASKING


def test_doors_and_the_agent_send_no_sql_of_their_own_in_requests():
    # What goes past the ORM goes past the question, too. These are jobs, a lock, the health
    # check, and a search among repositories that its caller has asked about.
    known = {
        "agent/code_index.py",
        "agent/erasure.py",
        "agent/export.py",
        "agent/record.py",
        "agent/runner.py",
        "portal/pages/health.py",
        "portal/siem/exporting.py",
    }
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("portal", "agent")
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and (
            ast.unparse(node) in {"connection.cursor", "connections.cursor"}
            or (node.attr == "raw" and ast.unparse(node.value).endswith("objects"))
        )
    }

    assert found == known
