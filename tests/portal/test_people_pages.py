"""The people pages: who is here, joining, changing roles, leaving."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from authz import people
from authz.models import Grant
from authz.permissions import Permission
from authz.roles import ROLES, Role
from portal.pages import words
from tenants.models import Membership, Project, User
from tenants.scope import tenant_scope


@pytest.fixture
def payroll(acme):
    """A second project, with Vic as its only developer."""
    with tenant_scope(acme.scope):
        project = Project.objects.create(slug="payroll", name="Payroll")
        acme.people["vic"] = people.admit(
            "vic@example.com",
            "Vic",
            [Role.DEVELOPER],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=project,
            by=acme.people["tomas"].actor("cli"),
        )
    return project


def roles_of(company, name):
    with tenant_scope(company.scope):
        return sorted(
            Grant.objects.filter(user=company.people[name]).values_list("role", flat=True)
        )


KIM = {"email": "kim@example.com", "name": "Kim", "roles": ["auditor"], "project": ""}


def test_members_are_shown_with_roles_and_agents_apart(acme, sign_in):
    page = sign_in(acme, "tomas").get("/people/").content.decode()

    members, agents = page.split('id="agents"')
    assert f"tomas@{acme.slug}.example" in members
    assert "Project admin" in members
    assert "Countersign agent" in agents.split("</table>")[0]
    assert "Change roles of Bo" in members


def test_the_matrix_has_a_row_for_every_permission_and_a_column_for_every_role(acme, sign_in):
    matrix = sign_in(acme, "bo").get("/people/").content.decode().split('id="matrix"')[1]

    for permission in Permission:
        assert f'title="{permission}"' in matrix
        assert permission in words.DEEDS
    for role in ROLES:
        assert role.title in matrix
    held = sum(len(permissions) for permissions in ROLES.values())
    assert matrix.count('aria-label="yes"') == held


def invitation_in(answer):
    """The path of the invitation link on a page."""
    return re.search(r">http://[^/<]+(/signin/invitation/[\w-]+/)</textarea>", answer).group(1)


def test_an_admin_admits_a_person_and_gets_a_link_to_send_once(acme, sign_in, entries):
    answer = sign_in(acme, "tomas").post("/people/", KIM)

    page = answer.content.decode()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert "Kim is a member now" in page
    with tenant_scope(acme.scope):
        assert User.objects.get(email="kim@example.com").grants.get().role == Role.AUDITOR
    assert entries(acme)[-2:] == [("member.admit", "ok"), ("member.invite", "ok")]
    kim = sign_in(acme)
    assert "You are invited as Kim" in kim.get(invitation_in(page)).content.decode()
    assert kim.post(invitation_in(page)).status_code == 302
    assert kim.get("/account/").status_code == 200


def test_a_new_invitation_replaces_the_one_before(acme, sign_in, entries):
    tomas, lin = sign_in(acme, "tomas"), acme.people["lin"].pk

    first = tomas.post(f"/people/{lin}/invitation/")
    second = tomas.post(f"/people/{lin}/invitation/")

    assert second["Cache-Control"] == "no-store"
    nobody = sign_in(acme)
    assert nobody.post(invitation_in(first.content.decode())).status_code == 403
    assert nobody.post(invitation_in(second.content.decode())).status_code == 302
    assert entries(acme).count(("member.invite", "ok")) == 2
    assert invitation_in(second.content.decode()) not in tomas.get("/people/").content.decode()


def test_last_seen_and_who_gives_each_role_are_shown(acme, sign_in):
    with tenant_scope(acme.scope):
        Membership.objects.filter(user=acme.people["lin"]).update(
            source="scim", seen_at=timezone.now() - timedelta(hours=3)
        )
        Grant.objects.create(user=acme.people["lin"], role=Role.AUDITOR, source="directory")
        Grant.objects.create(
            user=acme.people["lin"],
            role=Role.PROJECT_ADMIN,
            project=acme.project,
            source="directory",
        )

    page = sign_in(acme, "tomas").get("/people/").content.decode()

    lin = page.split(f"lin@{acme.slug}.example")[1].split("</tr>")[0]
    assert "3\N{NO-BREAK SPACE}hours ago" in lin
    assert "The directory (SCIM)" in lin
    assert re.search(r"Auditor.*?· directory<", lin)
    assert re.search(r"Project admin.*?· (by hand, directory|directory, by hand)<", lin)
    assert "never" in page.split(f"iris@{acme.slug}.example")[1].split("</tr>")[0]


def test_a_suspended_member_is_shown_as_such_and_can_be_removed(acme, sign_in, entries):
    bo = acme.people["bo"].pk
    with tenant_scope(acme.scope):
        Membership.objects.filter(user_id=bo).update(state=Membership.State.SUSPENDED)
    tomas = sign_in(acme, "tomas")

    row = tomas.get("/people/").content.decode()
    row = row.split(f"bo@{acme.slug}.example")[1].split("</tr>")[0]
    invited = tomas.post(f"/people/{bo}/invitation/")
    removed = tomas.post(f"/people/{bo}/remove/")

    assert "Suspended" in row
    assert "/roles/" not in row
    assert invited.status_code == 404
    assert removed.status_code == 302
    assert entries(acme)[-1] == ("member.remove", "ok")


def test_roles_from_groups_are_shown_and_no_form_takes_or_doubles_them(acme, sign_in):
    bo = acme.people["bo"].pk
    with tenant_scope(acme.scope):
        Grant.objects.create(user_id=bo, role=Role.AUDITOR, source="sso")
    tomas = sign_in(acme, "tomas")

    form = tomas.get(f"/people/{bo}/roles/").content.decode()
    tomas.post(f"/people/{bo}/roles/", {"roles": []})

    assert "From groups of the directory, besides: Auditor" in form
    assert 'value="auditor" checked' not in form
    assert "auditor" in roles_of(acme, "bo")


def test_what_was_typed_stays_when_it_cannot_be_used(acme, sign_in):
    typed = KIM | {"email": "not-an-address", "roles": ["developer"]}

    answer = sign_in(acme, "tomas").post("/people/", typed)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "is not an e-mail address" in page
    assert 'value="not-an-address"' in page
    assert 'value="Kim"' in page
    assert 'value="developer" checked' in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"roles": []}, "choose at least one role"),
        ({"roles": ["emperor"]}, "unknown"),
        ({"roles": ["agent"]}, "cannot be handed out"),
        ({"project": "nonsense"}, "choose one from the list"),
        ({"name": " "}, "is empty"),
    ],
)
def test_every_wrong_field_is_answered_on_the_page(acme, sign_in, wrong, said):
    answer = sign_in(acme, "tomas").post("/people/", KIM | wrong)

    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_somebody_who_is_a_member_already_is_not_added_again(acme, sign_in):
    typed = KIM | {"email": acme.people["bo"].email}

    answer = sign_in(acme, "tomas").post("/people/", typed)

    assert answer.status_code == 409
    assert "is a member already" in answer.content.decode()


def test_an_admin_changes_tenant_wide_roles(acme, sign_in, entries):
    iris = acme.people["iris"].pk

    answer = sign_in(acme, "tomas").post(
        f"/people/{iris}/roles/", {"roles": ["auditor", "tenant_admin"]}, follow=True
    )

    assert "are changed" in answer.content.decode()
    assert roles_of(acme, "iris") == ["auditor", "tenant_admin"]
    assert entries(acme)[-1] == ("role.change", "ok")


def test_a_project_admin_changes_roles_of_the_project_and_of_nothing_else(
    acme, payroll, sign_in, entries
):
    ada, bo = sign_in(acme, "ada"), acme.people["bo"].pk

    form = ada.get(f"/people/{bo}/roles/").content.decode()
    within = ada.post(
        f"/people/{bo}/roles/", {"project": acme.project.pk, "roles": ["project_admin"]}
    )
    beyond = ada.post(f"/people/{bo}/roles/", {"roles": ["tenant_admin"]})
    unknown = ada.post(f"/people/{bo}/roles/", {"project": payroll.pk, "roles": ["developer"]})

    assert "Project Platform" in form
    assert "The whole tenant" not in form
    assert within.status_code == 302
    assert (beyond.status_code, unknown.status_code) == (403, 404)
    assert roles_of(acme, "bo") == ["project_admin"]
    assert entries(acme)[-2:] == [("project_role.change", "ok"), ("role.change.denied", "denied")]


def test_the_last_admin_cannot_give_the_role_away_or_leave(acme, sign_in):
    tomas, own = sign_in(acme, "tomas"), acme.people["tomas"].pk

    given_away = tomas.post(f"/people/{own}/roles/", {"roles": ["auditor"]})
    left = tomas.post(f"/people/{own}/remove/")

    for answer in (given_away, left):
        assert answer.status_code == 409
        assert "without an admin" in answer.content.decode()
    assert 'value="auditor" checked' in given_away.content.decode()
    assert roles_of(acme, "tomas") == ["tenant_admin"]


def test_removing_asks_first_then_ends_membership_and_session(acme, sign_in, entries):
    tomas, bo, bo_id = sign_in(acme, "tomas"), sign_in(acme, "bo"), acme.people["bo"].pk

    question = tomas.get(f"/people/{bo_id}/remove/")
    assert "Developer in Platform" in question.content.decode()
    with tenant_scope(acme.scope):
        assert acme.people["bo"].is_active
    done = tomas.post(f"/people/{bo_id}/remove/", follow=True)

    assert "Bo is not a member any more" in done.content.decode()
    assert bo.get("/people/").status_code == 302
    with tenant_scope(acme.scope):
        assert Membership.objects.get(user_id=bo_id).state == Membership.State.REMOVED
    assert entries(acme)[-1] == ("member.remove", "ok")


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_nobody_but_an_admin_admits_or_removes(acme, sign_in, entries, name):
    client, lin = sign_in(acme, name), acme.people["lin"].pk

    page = client.get("/people/").content.decode()
    statuses = [
        client.post("/people/", KIM).status_code,
        client.get(f"/people/{lin}/remove/").status_code,
        client.post(f"/people/{lin}/remove/").status_code,
        client.post(f"/people/{lin}/invitation/").status_code,
    ]

    assert "Add a person" not in page
    assert "/remove/" not in page
    assert "/invitation/" not in page
    assert "/sessions/" not in page
    assert statuses == [403, 403, 403, 403]
    assert [action for action, _ in entries(acme)][-4:] == [
        "member.admit.denied",
        "member.remove.denied",
        "member.remove.denied",
        "member.invite.denied",
    ]


@pytest.mark.parametrize("name", ["bo", "iris"])
def test_whoever_may_change_no_roles_is_told_who_can_help(acme, sign_in, entries, name):
    answer = sign_in(acme, name).get(f"/people/{acme.people['lin'].pk}/roles/")

    assert answer.status_code == 403
    page = answer.content.decode()
    assert "Who can help" in page
    assert f"tomas@{acme.slug}.example" in page
    assert answer["X-Request-Id"] in page
    assert entries(acme)[-1] == ("role.change.denied", "denied")


def test_people_of_another_tenant_do_not_exist(acme, globex, sign_in, entries):
    stranger, bo = sign_in(globex, "tomas"), acme.people["bo"].pk
    before = entries(acme)

    assert f"bo@{acme.slug}.example" not in stranger.get("/people/").content.decode()
    for path in (f"/people/{bo}/roles/", f"/people/{bo}/remove/"):
        assert stranger.get(path).status_code == 404
        assert stranger.post(path).status_code == 404
    assert stranger.post(f"/people/{bo}/invitation/").status_code == 404
    assert entries(acme) == before


def test_people_of_other_projects_are_not_shown(acme, payroll, sign_in):
    vic = sign_in(acme, "vic")

    page = vic.get("/people/").content.decode()

    assert "vic@example.com" in page
    assert f"tomas@{acme.slug}.example" in page
    assert f"bo@{acme.slug}.example" not in page
    assert vic.get(f"/people/{acme.people['bo'].pk}/roles/").status_code == 404


def test_a_member_without_any_role_may_not_look_at_the_others(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        Grant.objects.filter(user=acme.people["bo"]).delete()

    assert sign_in(acme, "bo").get("/people/").status_code == 403
    assert entries(acme)[-1] == ("member.view.denied", "denied")


def test_nobody_is_sent_to_sign_in(acme, sign_in):
    lin = acme.people["lin"].pk
    for path in ("/people/", f"/people/{lin}/roles/", f"/people/{lin}/remove/"):
        answer = sign_in(acme).get(path)
        assert (answer.status_code, answer.url.split("?")[0]) == (302, "/signin/")


def test_more_people_do_not_mean_more_queries(acme, sign_in):
    tomas = sign_in(acme, "tomas")
    tomas.get("/people/")

    with CaptureQueriesContext(connection) as few:
        tomas.get("/people/")
    with tenant_scope(acme.scope):
        for number in range(10):
            people.admit(
                f"more-{number}@example.com",
                f"More {number}",
                [Role.DEVELOPER],
                tenant=people.AsTenant(acme.scope.tenant_id),
                project=acme.project,
                by=acme.people["tomas"].actor("cli"),
            )
    with CaptureQueriesContext(connection) as many:
        tomas.get("/people/")

    assert len(many) == len(few) > 3


def test_a_long_list_of_members_is_paged_filtered_and_sorted_by_its_address(acme, sign_in):
    with tenant_scope(acme.scope):
        for number in range(30):
            people.admit(
                f"zed-{number:02}@example.com",
                f"Zed {number:02}",
                [Role.AUDITOR],
                tenant=people.AsTenant(acme.scope.tenant_id),
                project=None,
                by=acme.people["tomas"].actor("cli"),
            )
        zed = User.objects.get(email="zed-29@example.com")
        Membership.objects.filter(user=zed).update(
            state=Membership.State.SUSPENDED, seen_at=timezone.now()
        )
    tomas = sign_in(acme, "tomas")

    def read(query):
        return tomas.get(f"/people/?{query}").content.decode()

    assert "zed-29@example.com" not in read("")
    assert "zed-29@example.com" in read("page=2")
    assert "1–25 of 35" in read("")
    assert "zed-29@example.com" in read("q=ZED-29")
    assert "ada@" not in read("q=zed")
    suspended = read("state=suspended")
    assert "zed-29@example.com" in suspended
    assert "zed-28@example.com" not in suspended
    assert "Nobody fits this filter" in read("q=%00nobody-of-that-name")
    assert "zed-00@example.com" in read("sort=-name&page=2")
