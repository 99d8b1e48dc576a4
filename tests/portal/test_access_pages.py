"""Who can see or do this, what somebody can do, why somebody was refused, the matrix."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from authz import access, people, teams
from authz.matrix import cells
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import Role
from evidence.models import StagedEntry
from portal.pages.path_graph import Node, draw
from tenants.models import Membership, Project
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.standing import pack_of, proposal_of, sealed, task_of

CONSTRAINTS = {"title": "Customer portal"}


@pytest.fixture
def things(acme):
    """One object of each type in acme's project, asked for by ada."""
    with tenant_scope(acme.scope):
        proposal = proposal_of(acme.people["ada"], acme.project)
        pack = pack_of(proposal)
    return {
        "project": acme.project.pk,
        "repository": proposal.repository_id,
        "task": proposal.task_id,
        "proposal": proposal.pk,
        "pack": pack.pk,
    }


def _text(answer):
    """The page without its side list, tags and runs of blanks."""
    page = answer.content.decode().split('class="side-main"')[-1]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.mark.parametrize("kind", ["project", "repository", "task", "proposal", "pack"])
def test_every_object_says_who_may_do_what_with_it(acme, sign_in, things, kind):
    tomas = sign_in(acme, "tomas")
    with tenant_scope(acme.scope):
        found = access.holders(access.Ref(kind, things[kind].int))
        names = {user.pk: user.name for user in acme.people.values()}

    for permission in (Permission.TASK_VIEW, Permission.PACK_EXPORT, Permission.SHARE_CHANGE):
        answer = tomas.get(f"/access/{kind}/{things[kind]}/?permission={permission}")
        table = answer.content.decode().split("<tbody>")[1].split("</tbody>")[0]
        said = set(re.findall(r">([\w ]+)</a></td>", table))
        expected = {names[one] for one in found[permission] if one in names}
        expected |= {"Countersign agent"} if permission is Permission.TASK_VIEW else set()
        assert said == expected, permission
        assert answer.content.decode().count("<svg") == 1


def test_the_way_is_drawn_and_written_over_team_share_and_project(acme, sign_in, things):
    by = acme.people["tomas"].actor("page")
    with tenant_scope(acme.scope):
        kim = people.admit(
            "kim@example.com",
            "Kim",
            [Role.DEVELOPER],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=Project.objects.create(slug="else", name="Else"),
            by=by,
        )
        inner = teams.create_team("inner", "Inner", by=by)
        outer = teams.create_team("outer", "Outer", by=by)
        teams.add_member(inner, kim, by=by)
        teams.nest(inner, outer, by=by)
        task = task_of(acme.people["ada"], acme.project)
        teams.share(task, outer, until=timezone.now() + timedelta(days=2), by=by)

    answer = sign_in(acme, "tomas").get(f"/access/task/{task.pk}/?permission=task.view&q=kim")

    said = _text(answer)
    assert "Shared request may look at it → Team Outer → Team Inner" in said
    assert "from now" in said
    boxes = re.findall(r"<title>([^<]+)</title>", answer.content.decode().split("<svg")[1])
    assert boxes == [
        "Request Customer portal",
        "Shared request may look at it",
        "Team Outer",
        "Team Inner",
        "Person Kim",
    ]


def test_whoever_asked_is_named_as_barred_from_countersigning(acme, sign_in, things):
    address = f"/access/proposal/{things['proposal']}/?permission=proposal.countersign"

    said = _text(sign_in(acme, "tomas").get(address))

    assert "Ada has the role but asked for it" in said
    assert "Only people may do this" in said
    assert "Countersign agent" not in said.split("Who may countersign")[1].split("Only people")[0]


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_members_of_the_project_may_look_others_learn_nothing(acme, globex, sign_in, things, name):
    with tenant_scope(acme.scope):
        other = Project.objects.create(slug="other", name="Other")
    client = sign_in(acme, name)

    assert client.get(f"/access/project/{things['project']}/").status_code == 200
    assert client.get(f"/access/project/{other.pk}/").status_code == (
        200 if name == "iris" else 404
    )
    assert client.get(f"/access/user/{acme.people['bo'].pk}/").status_code == 404
    eve = sign_in(globex, "eve")
    for kind, id in things.items():
        assert eve.get(f"/access/{kind}/{id}/").status_code == 404


def test_a_viewer_by_share_may_not_see_who_else_can(acme, sign_in, things, entries):
    by = acme.people["tomas"].actor("page")
    with tenant_scope(acme.scope):
        other = Project.objects.create(slug="other", name="Other")
        task = task_of(acme.people["tomas"], acme.project, constraints=CONSTRAINTS)
        type(task).objects.filter(pk=task.pk).update(project=other)
        teams.share(task, acme.people["bo"], by=by)
    bo = sign_in(acme, "bo")

    assert "/access/" not in bo.get(f"/recommendations/{task.pk}/").content.decode()
    assert bo.get(f"/access/task/{task.pk}/").status_code == 403
    assert entries(acme)[-1] == ("member.view.denied", "denied")


def test_what_a_person_can_do_says_where_and_why(acme, sign_in, things):
    bo = acme.people["bo"].pk
    with tenant_scope(acme.scope):
        Grant.objects.create(user_id=bo, role=Role.AUDITOR, source="directory")

    answer = sign_in(acme, "tomas").get(f"/people/{bo}/access/")

    tenant, project = answer.content.decode().split('id="place-2"')
    assert "Role of the whole tenant Auditor" in tenant
    assert "Read the ledger" in tenant
    assert "Role of the project Developer" in project
    assert "Ask for a recommendation" in project
    assert "Countersign" not in project.split("Whoever asked")[0]
    assert f"/people/{bo}/access/" in sign_in(acme, "tomas").get("/people/").content.decode()


def test_people_see_their_own_rights_and_those_of_whom_they_know(acme, globex, sign_in):
    with tenant_scope(acme.scope):
        other = Project.objects.create(slug="other", name="Other")
        kim = people.admit(
            "kim@example.com",
            "Kim",
            [Role.DEVELOPER],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=other,
            by=acme.people["tomas"].actor("page"),
        )
        acme.people["kim"] = kim
    bo = sign_in(acme, "bo")

    assert "What you can do" in _text(bo.get(f"/people/{acme.people['bo'].pk}/access/"))
    lin = bo.get(f"/people/{acme.people['lin'].pk}/access/")
    assert lin.status_code == 200
    assert "Other" not in lin.content.decode()
    assert bo.get(f"/people/{kim.pk}/access/").status_code == 404
    assert sign_in(globex, "eve").get(f"/people/{kim.pk}/access/").status_code == 404
    with tenant_scope(acme.scope):
        kim.grants.all().delete()
    assert "Nothing yet" in _text(sign_in(acme, "kim").get(f"/people/{kim.pk}/access/"))


def test_a_suspended_person_can_do_nothing(acme, sign_in):
    bo = acme.people["bo"].pk
    with tenant_scope(acme.scope):
        Membership.objects.filter(user_id=bo).update(state=Membership.State.SUSPENDED)

    said = _text(sign_in(acme, "tomas").get(f"/people/{bo}/access/"))

    assert "Bo is suspended" in said
    assert "Developer" not in said


def _record(acme):
    with tenant_scope(acme.scope):
        return StagedEntry.objects.order_by("-id").first().pk


def test_a_refusal_names_its_record_and_the_nearest_who_can_help(acme, sign_in, things):
    bo = sign_in(acme, "bo")

    answer = bo.post(f"/proposals/{things['proposal']}/countersign/", {"digest": "x"})

    said, record = answer.content.decode(), _record(acme)
    assert answer.status_code == 403
    assert str(record) in said
    people_named = re.findall(r"mailto:(\w+)@", said)
    # Project admins give roles there; the tenant's admin comes with them.
    assert set(people_named) == {"ada", "lin", "tomas"}
    assert f"id <code>{acme.people['ada'].pk}</code>" in said

    why = bo.get(f"/refusals/{record}/")
    assert "none of your roles here may" in why.content.decode().lower()
    assert "countersign a proposal" in why.content.decode()
    assert sign_in(acme, "tomas").get(f"/refusals/{record}/").status_code == 200
    with tenant_scope(acme.scope):
        sealed()
    assert "of the ledger" in _text(bo.get(f"/refusals/{record}/"))


def test_whoever_asked_is_sent_to_those_who_may_countersign(acme, sign_in, things):
    answer = sign_in(acme, "ada").post(
        f"/proposals/{things['proposal']}/countersign/", {"digest": "x"}
    )

    assert answer.status_code == 403
    assert set(re.findall(r"mailto:(\w+)@", answer.content.decode())) >= {"lin", "tomas"}
    assert "mailto:ada@" not in answer.content.decode()


def test_a_program_is_told_the_same_as_a_problem(acme, sign_in, things):
    bo = sign_in(acme, "bo")

    answer = bo.put(
        f"/api/v1/members/{acme.people['bo'].pk}/roles",
        {"roles": ["auditor"], "project": None},
        content_type="application/json",
    )

    said = json.loads(answer.content)
    assert answer.status_code == 403
    assert said["permission"] == "role.change"
    assert said["decision"] == str(_record(acme))
    assert {"id": str(acme.people["tomas"].pk), "name": "Tomas"} in said["help"]


def test_others_learn_nothing_of_a_refusal(acme, globex, sign_in, things):
    sign_in(acme, "bo").get("/audit/")
    record = _record(acme)

    assert sign_in(acme, "lin").get(f"/refusals/{record}/").status_code == 404
    assert sign_in(globex, "tomas").get(f"/refusals/{record}/").status_code == 404
    assert sign_in(acme, "tomas").get(f"/refusals/{uuid4()}/").status_code == 404
    with tenant_scope(acme.scope):
        allowed = StagedEntry.objects.order_by("id").first().pk
    assert sign_in(acme, "tomas").get(f"/refusals/{allowed}/").status_code == 404


def test_nobody_is_named_for_a_project_that_one_may_not_know(acme):
    with tenant_scope(acme.scope):
        other = Project.objects.create(slug="other", name="Other")
        people.change_roles(
            acme.people["lin"],
            [Role.PROJECT_ADMIN],
            project=other,
            by=acme.people["tomas"].actor("page", signed_in=JUST_NOW),
        )
        bo, on = acme.people["bo"], access.Ref("project", other.pk.int)
        said = access.relations.explain(access.person(bo.pk), Permission.SHARE_CHANGE, on)
        named = access.who_can_help(Permission.SHARE_CHANGE, said, on, bo.pk)

    assert (on, "project_admin") in said.needed
    assert [one.name for one in named] == ["Tomas"]


def test_the_roles_page_shows_what_a_role_would_change_before_it_does(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        pack_of(proposal_of(acme.people["ada"], acme.project))
        before = entries(acme)
    bo, typed = acme.people["bo"].pk, {"roles": ["auditor"], "preview": "1"}

    answer = sign_in(acme, "tomas").post(f"/people/{bo}/roles/", typed)

    said = _text(answer)
    assert "The whole tenant: look at requests, see what models cost" in said
    assert "take evidence packs away" in said
    assert "1 instead of 0 evidence packs" in said
    assert 'value="auditor" checked' in answer.content.decode()
    with tenant_scope(acme.scope):
        assert not Grant.objects.filter(user_id=bo, role=Role.AUDITOR).exists()
    assert entries(acme) == before


def test_the_preview_is_for_those_who_may_make_the_change(acme, sign_in):
    typed = {"roles": ["developer"], "project": str(acme.project.pk), "preview": "1"}
    address = f"/people/{acme.people['lin'].pk}/roles/"

    assert sign_in(acme, "bo").post(address, typed).status_code == 403
    answer = sign_in(acme, "ada").post(address, typed)
    assert "countersign a proposal" in _text(answer).split("Would see")[1]
    assert sign_in(acme, "ada").post(address, {"preview": "1"}).status_code == 403


def test_the_matrix_page_is_the_matrix(acme, sign_in):
    page = sign_in(acme, "bo").get("/help/permissions/").content.decode()

    rows = re.findall(r'<tr><th scope="row"[^>]*title="([\w.]+)">(.*?)</tr>', page, re.DOTALL)
    reached = {}
    for cell in cells():
        if cell.allowed:
            reached.setdefault(cell.permission.value, set()).add(cell.held_as)
    assert {permission for permission, _ in rows} == set(reached)
    for permission, cells_of in rows:
        filled = [one for one in re.findall(r"<td[^>]*>(.*?)</td>", cells_of) if ">no<" not in one]
        assert len(filled) == len(reached[permission]), permission


def test_members_by_project_say_by_whom_and_are_filtered(acme, sign_in):
    by = acme.people["tomas"].actor("page")
    with tenant_scope(acme.scope):
        Grant.objects.create(
            user=acme.people["iris"], role=Role.DEVELOPER, project=acme.project, source="directory"
        )
        team = teams.create_team("guests", "Guests", by=by)
        kim = people.admit(
            "kim@example.com",
            "Kim",
            [Role.DEVELOPER],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=Project.objects.create(slug="else", name="Else"),
            by=by,
        )
        teams.add_member(team, kim, by=by)
        teams.share(acme.project, team, by=by)
    tomas, address = sign_in(acme, "tomas"), f"/people/projects/{acme.project.pk}/"

    def names(query=""):
        page = tomas.get(address + query).content.decode()
        table = page.split("<tbody>")[1].split("</tbody>")[0] if "<tbody>" in page else ""
        return re.findall(r"/access/\">([^<]+)</a>", table)

    assert names() == ["Ada", "Bo", "Countersign agent", "Iris", "Kim", "Lin", "Tomas"]
    assert names("?way=team") == ["Kim"]
    assert names("?way=group") == ["Iris"]
    assert names("?role=project:project_admin") == ["Ada", "Lin"]
    assert names("?role=tenant:auditor&way=group") == []
    assert names("?q=to") == ["Tomas"]
    page = tomas.get(address).content.decode()
    assert "team Guests" in page
    assert "Platform" in tomas.get("/people/projects/").content.decode()


def test_a_project_that_one_may_not_know_has_no_page(acme, globex, sign_in):
    with tenant_scope(acme.scope):
        other = Project.objects.create(slug="other", name="Other")
    bo = sign_in(acme, "bo")

    assert bo.get(f"/people/projects/{other.pk}/").status_code == 404
    assert "Other" not in bo.get("/people/projects/").content.decode()
    assert sign_in(globex, "eve").get(f"/people/projects/{acme.project.pk}/").status_code == 404


def test_names_cannot_break_out_of_the_picture():
    evil = '"><script>alert(1)</script>&'
    chain = [Node((1,), "object", "Task", evil), Node((2,), "person", "Person", evil)]

    picture = draw([chain], evil)

    assert "<script" not in picture
    assert picture.count("<rect") == 2


def test_what_ways_have_in_common_is_drawn_once():
    def way(name):
        return [
            Node(("task",), "object", "Request", "One"),
            Node(("project",), "place", "Project", "Platform"),
            Node((name,), "person", "Person", name),
        ]

    picture = draw([way("Ada"), way("Bo"), way("Lin")], "Who")

    assert picture.count("<rect") == 5
    assert picture.count("<path") == 4
    tops = re.findall(r'class="node person" transform="translate\(\d+ ([\d.]+)\)', picture)
    assert len(set(tops)) == 3
