"""The JSON API, tried by those who may, those who may not, those from elsewhere, nobody."""

import json
from base64 import b64decode
from hashlib import sha256
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from agent.models import Proposal, Review, Task
from authz import people
from authz.roles import Role
from evidence.models import Pack
from portal.management.commands import write_openapi
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.portal.standing import DIFF, pack_of, proposal_of, repository_in, sealed, task_of

API = "/api/v1"
PROBLEM = "application/problem+json"


@pytest.fixture
def proposal(acme):
    """Bo's request, waiting for somebody to countersign it."""
    with tenant_scope(acme.scope):
        return proposal_of(acme.people["bo"], acme.project)


@pytest.fixture
def elsewhere(acme):
    """A second project of acme, with a developer who has no role in the first."""
    with tenant_scope(acme.scope):
        project = Project.objects.create(slug="payroll", name="Payroll")
        tomas = acme.people["tomas"].actor("cli")
        acme.people["vic"] = people.admit(
            "vic@example.com",
            "Vic",
            [Role.DEVELOPER],
            tenant=people.AsTenant(acme.scope.tenant_id),
            project=project,
            by=tomas,
        )
    return project


def call(client: Client, method: str, path: str, body: object = None, **headers: str):
    options = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    return getattr(client, method)(API + path, headers=headers, **options)


READS = [
    ("/me", "tomas", None),
    ("/repositories", "tomas", None),
    ("/recommendations", "tomas", None),
    ("/recommendations/examples", "tomas", None),
    ("/recommendations/{task}", "tomas", None),
    ("/proposals", "tomas", None),
    ("/proposals/{proposal}", "tomas", None),
    ("/proposals/{proposal}/diff", "tomas", None),
    ("/proposals/{proposal}/files/docs/adr/one.md", "tomas", None),
    ("/members", "tomas", None),
    ("/packs", "iris", "pack.export"),
    ("/packs/{pack}", "iris", "pack.export"),
    ("/packs/{pack}/download", "iris", "pack.export"),
    ("/log/key", "iris", "ledger.view"),
    ("/log/checkpoint", "iris", "ledger.view"),
    ("/log/entries", "iris", "ledger.view"),
]


@pytest.mark.parametrize(("path", "may", "needs"), READS)
def test_reading_is_for_members_who_may(acme, globex, proposal, sign_in, entries, path, may, needs):
    with tenant_scope(acme.scope):
        pack = pack_of(proposal)
        sealed()
    path = path.format(task=proposal.task_id, proposal=proposal.pk, pack=pack.pk)

    assert call(sign_in(acme, may), "get", path).status_code == 200
    answer = call(sign_in(acme, "bo"), "get", path)
    if needs is None:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer["Content-Type"]) == (403, PROBLEM)
        assert (f"{needs}.denied", "denied") in entries(acme)
    nobody = call(sign_in(acme), "get", path)
    assert (nobody.status_code, nobody["Content-Type"]) == (401, PROBLEM)


ONE = [
    ("get", "/recommendations/{task}"),
    ("post", "/recommendations/{task}/cancellation"),
    ("post", "/recommendations/{task}/resumption"),
    ("get", "/proposals/{proposal}"),
    ("get", "/proposals/{proposal}/diff"),
    ("get", "/proposals/{proposal}/files/docs/adr/one.md"),
    ("post", "/proposals/{proposal}/countersignature"),
    ("post", "/proposals/{proposal}/rejection"),
    ("post", "/proposals/{proposal}/packs"),
    ("get", "/packs/{pack}"),
    ("get", "/packs/{pack}/download"),
]


@pytest.mark.parametrize(("method", "path"), ONE)
def test_what_one_may_not_know_of_looks_like_what_does_not_exist(
    acme, globex, elsewhere, proposal, sign_in, entries, method, path
):
    with tenant_scope(acme.scope):
        known = {"task": proposal.task_id, "proposal": proposal.pk, "pack": pack_of(proposal).pk}
    absent = dict.fromkeys(known, uuid4())
    body = {"digest": proposal.digest, "comment": "no"} if method == "post" else None
    before = entries(acme), entries(globex)

    for stranger in (sign_in(globex, "eve"), sign_in(acme, "vic")):
        answer = call(stranger, method, path.format(**known), body)
        missing = call(stranger, method, path.format(**absent), body)

        assert (answer.status_code, answer["Content-Type"]) == (404, PROBLEM)
        assert answer.json() | {"instance": ""} == missing.json() | {"instance": ""}
    assert (entries(acme), entries(globex)) == before
    with tenant_scope(acme.scope):
        assert Proposal.objects.get().state == Proposal.State.OPEN


def test_lists_hold_nothing_of_other_projects_or_tenants(
    acme, globex, elsewhere, proposal, sign_in
):
    for stranger in (sign_in(globex, "eve"), sign_in(acme, "vic")):
        for path in ("/repositories", "/recommendations", "/proposals"):
            assert call(stranger, "get", path).json() == {"items": [], "count": 0}
    assert call(sign_in(acme, "bo"), "get", "/proposals").json()["count"] == 1


def test_me_says_who_one_is_with_which_roles(acme, sign_in):
    me = call(sign_in(acme, "bo"), "get", "/me").json()

    assert me["name"] == "Bo"
    assert me["tenant"]["slug"] == acme.slug
    assert me["roles"] == [{"role": "developer", "project_id": str(acme.project.pk)}]
    assert "recommendation.create" in me["permissions"]
    assert "proposal.countersign" not in me["permissions"]


def test_a_developer_files_follows_and_cancels_a_recommendation(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")

    filed = call(
        bo, "post", "/recommendations", {"repository": str(repository.pk), "title": "Shop"}
    )
    assert filed.status_code == 201
    task = filed.json()
    assert (task["state"], task["phase"], task["title"]) == ("queued", "plan", "Shop")
    assert task["requester"]["name"] == "Bo"
    assert task["proposal_id"] is None

    cancelled = call(bo, "post", f"/recommendations/{task['id']}/cancellation")
    assert cancelled.status_code == 202
    again = call(bo, "get", f"/recommendations/{task['id']}").json()
    assert again["actions"] == []
    with tenant_scope(acme.scope):
        assert Task.objects.get().cancel_asked_by == "Bo"
    assert entries(acme)[-2:] == [("recommendation.create", "ok"), ("task.cancel", "ok")]


def test_an_auditor_may_not_file_or_stop_work_and_that_is_recorded(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        task = task_of(acme.people["bo"], acme.project)
    iris = sign_in(acme, "iris")
    repository = str(task.repository_id)

    filed = call(iris, "post", "/recommendations", {"repository": repository, "title": "Shop"})
    stopped = call(iris, "post", f"/recommendations/{task.pk}/cancellation")

    assert (filed.status_code, stopped.status_code) == (403, 403)
    assert filed.json()["detail"].startswith("none of your roles here may")
    assert entries(acme)[-2:] == [
        ("recommendation.create.denied", "denied"),
        ("task.cancel.denied", "denied"),
    ]


def test_a_repository_that_one_may_not_know_of_cannot_be_asked_about(
    acme, globex, elsewhere, sign_in
):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    body = {"repository": str(repository.pk), "title": "Shop"}

    for stranger in (sign_in(globex, "eve"), sign_in(acme, "vic")):
        assert call(stranger, "post", "/recommendations", body).status_code == 404


def test_bad_input_is_answered_field_by_field(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")
    body = {"repository": str(repository.pk), "title": "Shop"}

    shape = call(bo, "post", "/recommendations", {"repository": "x", "colour": "red"})
    sense = call(bo, "post", "/recommendations", body | {"hosting": "moon"})
    broken = bo.post(f"{API}/recommendations", "{", content_type="application/json")
    query = call(bo, "get", "/proposals?limit=9999")
    strict = Client(enforce_csrf_checks=True, headers={"host": acme.host})
    strict.cookies = bo.cookies
    strict.get("/signin/")
    parts = strict.post(f"{API}/recommendations", b"-", content_type="multipart/form-data")

    assert (shape.status_code, shape["Content-Type"]) == (422, PROBLEM)
    assert set(shape.json()["errors"]) == {"repository", "colour", "title"}
    assert set(sense.json()["errors"]) == {"hosting"}
    assert (broken.status_code, broken["Content-Type"]) == (400, PROBLEM)
    assert set(query.json()["errors"]) == {"limit"}
    assert (parts.status_code, parts["Content-Type"]) == (400, PROBLEM)


def test_a_failed_task_can_be_resumed_and_a_running_one_cannot(acme, sign_in):
    with tenant_scope(acme.scope):
        failed = task_of(acme.people["bo"], acme.project, Task.State.FAILED, reason="no forge")
        running = task_of(acme.people["bo"], acme.project, Task.State.IN_PROGRESS)
    bo = sign_in(acme, "bo")

    resumed = call(bo, "post", f"/recommendations/{failed.pk}/resumption")
    refused = call(bo, "post", f"/recommendations/{running.pk}/resumption")

    assert (resumed.status_code, resumed.json()["state"]) == (202, "queued")
    assert (refused.status_code, refused["Content-Type"]) == (409, PROBLEM)


def test_examples_can_be_posted_back_as_they_are(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    bo = sign_in(acme, "bo")

    examples = call(bo, "get", "/recommendations/examples").json()
    statuses = [
        call(
            bo, "post", "/recommendations", example | {"repository": str(repository.pk)}
        ).status_code
        for example in examples
    ]

    assert len(examples) >= 3
    assert set(statuses) == {201}


def test_a_proposal_shows_what_is_read_before_countersigning(acme, proposal, sign_in):
    shown = call(sign_in(acme, "ada"), "get", f"/proposals/{proposal.pk}").json()

    assert shown["digest"] == proposal.digest
    assert shown["requester"]["name"] == "Bo"
    assert shown["files"][0]["path"] == "docs/adr/one.md"
    assert shown["result"][0]["winner"] == "django"
    assert shown["checks"][0]["ok"] is True
    assert {person["name"] for person in shown["countersigners"]} == {"Ada", "Lin", "Tomas"}
    assert shown["you"]["may_countersign"] is True
    assert call(sign_in(acme, "bo"), "get", f"/proposals/{proposal.pk}").json()["you"] == {
        "may_countersign": False,
        "reasons": ["whoever asked for it cannot let it through: a second person must"],
    }


def test_diff_and_files_are_served_as_they_were_kept(acme, proposal, sign_in):
    ada = sign_in(acme, "ada")

    diff = call(ada, "get", f"/proposals/{proposal.pk}/diff")
    file = call(ada, "get", f"/proposals/{proposal.pk}/files/docs/adr/one.md")
    absent = call(ada, "get", f"/proposals/{proposal.pk}/files/../../etc/passwd")

    assert (diff["Content-Type"], diff.content) == ("text/x-diff; charset=utf-8", DIFF)
    assert (file["Content-Type"], file.content) == ("text/plain; charset=utf-8", b"# One\n")
    assert file["X-Content-Type-Options"] == "nosniff"
    assert absent.status_code == 404


def test_a_second_person_countersigns_what_they_read(acme, proposal, sign_in, entries):
    path = f"/proposals/{proposal.pk}/countersignature"

    own = call(sign_in(acme, "bo"), "post", path, {"digest": proposal.digest})
    stale = call(sign_in(acme, "ada"), "post", path, {"digest": "0" * 64})
    signed = call(sign_in(acme, "ada"), "post", path, {"digest": proposal.digest, "comment": "ok"})
    late = call(sign_in(acme, "lin"), "post", path, {"digest": proposal.digest})

    assert [own.status_code, stale.status_code, signed.status_code, late.status_code] == [
        403,
        409,
        201,
        409,
    ]
    assert signed.json()["verdict"] == "countersigned"
    with tenant_scope(acme.scope):
        assert Review.objects.get().reviewer == acme.people["ada"]
    assert [action for action, _ in entries(acme)][-4:] == [
        "proposal.countersign.denied",
        "proposal.countersign.refused",
        "proposal.countersign",
        "proposal.countersign.refused",
    ]


def test_a_rejection_needs_a_reason(acme, proposal, sign_in):
    path, ada = f"/proposals/{proposal.pk}/rejection", sign_in(acme, "ada")

    silent = call(ada, "post", path, {"digest": proposal.digest, "comment": " "})
    said = call(ada, "post", path, {"digest": proposal.digest, "comment": "too costly"})

    assert (silent.status_code, set(silent.json()["errors"])) == (422, {"comment"})
    assert (said.status_code, said.json()["comment"]) == (201, "too costly")


def test_an_auditor_orders_a_pack_and_a_developer_does_not(acme, proposal, sign_in, entries):
    path = f"/proposals/{proposal.pk}/packs"

    refused = call(sign_in(acme, "bo"), "post", path)
    ordered = call(sign_in(acme, "iris"), "post", path)
    early = call(sign_in(acme, "iris"), "get", f"/packs/{ordered.json()['id']}/download")

    assert (refused.status_code, ordered.status_code, early.status_code) == (403, 202, 409)
    assert ordered.json()["state"] == "queued"
    assert entries(acme)[-2:] == [("pack.export.denied", "denied"), ("pack.export", "ok")]


def test_a_download_gives_the_kept_bytes_and_is_recorded(acme, proposal, sign_in, entries):
    with tenant_scope(acme.scope):
        pack = pack_of(proposal, b"PK-the-pack")

    answer = call(sign_in(acme, "iris"), "get", f"/packs/{pack.pk}/download")

    content = answer.getvalue()
    assert (content, answer["Content-Type"]) == (b"PK-the-pack", "application/zip")
    assert sha256(content).hexdigest() == pack.sha256
    assert entries(acme)[-1] == ("pack.download", "ok")


def test_a_damaged_pack_is_not_handed_out(acme, proposal, sign_in, entries):
    with tenant_scope(acme.scope):
        pack = pack_of(proposal)
        Pack.objects.update(sha256="f" * 64)

    answer = call(sign_in(acme, "iris"), "get", f"/packs/{pack.pk}/download")

    assert (answer.status_code, answer["Content-Type"]) == (410, PROBLEM)
    assert ("pack.download", "ok") not in entries(acme)


def test_the_log_can_be_copied_and_checked_from_outside(acme, proposal, sign_in):
    with tenant_scope(acme.scope):
        checkpoint = sealed()
    iris = sign_in(acme, "iris")

    key = call(iris, "get", "/log/key").json()
    note = call(iris, "get", "/log/checkpoint").content.decode()
    first = call(iris, "get", "/log/entries?limit=2").json()
    rest = call(iris, "get", f"/log/entries?after={first['after']}").json()

    assert note.startswith(f"{key['origin']}\n{checkpoint.size}\n")
    found = first["items"] + rest["items"]
    assert [entry["index"] for entry in found] == list(range(checkpoint.size))
    assert rest["after"] is None
    for entry in found:
        assert sha256(b"\x00" + b64decode(entry["leaf"])).hexdigest() == entry["leaf_hash"]
        assert json.loads(b64decode(entry["leaf"])) == entry["said"]


def test_one_task_s_part_of_the_log_can_be_asked_for(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)
    body = {"repository": str(repository.pk), "title": "Shop"}
    task = call(sign_in(acme, "bo"), "post", "/recommendations", body).json()
    with tenant_scope(acme.scope):
        sealed()

    found = call(sign_in(acme, "iris"), "get", f"/log/entries?run={task['id']}").json()["items"]

    assert [entry["said"]["action"] for entry in found] == ["recommendation.create"]
    assert json.loads(b64decode(found[0]["payload"]))["repository"] == "shop"


def test_a_log_without_a_checkpoint_says_so(acme, sign_in):
    iris = sign_in(acme, "iris")

    for path in ("/log/key", "/log/checkpoint"):
        assert call(iris, "get", path).status_code == 409


def test_an_admin_admits_changes_and_removes_people(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")
    body = {"email": "Kim@example.com", "name": "Kim", "roles": ["auditor"]}

    admitted = call(tomas, "post", "/members", body)
    twice = call(tomas, "post", "/members", body)
    kim = admitted.json()["id"]
    project = str(acme.project.pk)
    roles = {"roles": ["developer"], "project": project}
    changed = call(tomas, "put", f"/members/{kim}/roles", roles)
    wide = call(tomas, "put", f"/members/{kim}/roles", {"roles": ["auditor"], "project": project})
    removed = call(tomas, "delete", f"/members/{kim}")
    gone = call(tomas, "delete", f"/members/{kim}")

    assert (admitted.status_code, twice.status_code) == (201, 409)
    assert admitted.json()["email"] == "kim@example.com"
    assert changed.status_code == 200
    assert {grant["role"] for grant in changed.json()["roles"]} == {"auditor", "developer"}
    assert (wide.status_code, set(wide.json()["errors"])) == (422, {"roles"})
    assert (removed.status_code, gone.status_code) == (204, 404)
    assert {"member.admit", "project_role.change", "member.remove"} <= {
        action for action, outcome in entries(acme) if outcome == "ok"
    }


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_nobody_but_an_admin_touches_people(acme, sign_in, entries, name):
    client, lin = sign_in(acme, name), acme.people["lin"].pk
    body = {"email": "kim@example.com", "name": "Kim", "roles": ["auditor"]}

    statuses = [
        call(client, "post", "/members", body).status_code,
        call(client, "put", f"/members/{lin}/roles", {"roles": ["tenant_admin"]}).status_code,
        call(client, "delete", f"/members/{lin}").status_code,
    ]

    assert statuses == [403, 403, 403]
    assert [action for action, _ in entries(acme)][-3:] == [
        "member.admit.denied",
        "role.change.denied",
        "member.remove.denied",
    ]


def test_the_last_admin_stays(acme, sign_in):
    tomas = sign_in(acme, "tomas")

    assert call(tomas, "delete", f"/members/{acme.people['tomas'].pk}").status_code == 409


def test_people_of_another_tenant_cannot_be_touched(acme, globex, sign_in):
    stranger, bo = sign_in(globex, "tomas"), acme.people["bo"].pk

    assert call(stranger, "put", f"/members/{bo}/roles", {"roles": []}).status_code == 404
    assert call(stranger, "delete", f"/members/{bo}").status_code == 404
    listed = call(stranger, "get", "/members").json()["items"]
    assert str(bo) not in {member["id"] for member in listed}


def test_a_project_s_people_are_all_that_its_developers_see(acme, elsewhere, sign_in):
    listed = call(sign_in(acme, "vic"), "get", "/members").json()["items"]

    # Vic, with those whose roles cover the whole tenant.
    assert {member["name"] for member in listed} == {"Vic", "Tomas", "Iris"}


def test_agents_are_not_dismissed_like_people(acme, sign_in):
    tomas = sign_in(acme, "tomas")
    listed = call(tomas, "get", "/members").json()["items"]
    agent = next(member for member in listed if member["kind"] == "agent")

    assert call(tomas, "delete", f"/members/{agent['id']}").status_code == 404


def test_a_change_without_csrf_token_is_refused(acme, sign_in):
    client = Client(enforce_csrf_checks=True, headers={"host": acme.host})
    nobody = Client(enforce_csrf_checks=True, headers={"host": acme.host})
    with tenant_scope(acme.scope):
        client.force_login(acme.people["tomas"])
    body = {"email": "kim@example.com", "name": "Kim", "roles": ["auditor"]}

    without = call(client, "post", "/members", body)
    client.get("/signin/")
    token = client.cookies["csrftoken"].value
    given = call(client, "post", "/members", body, x_csrftoken=token)

    assert (without.status_code, without["Content-Type"]) == (403, PROBLEM)
    assert given.status_code == 201
    assert call(nobody, "post", "/members", body).status_code == 401


def test_an_unknown_address_of_the_api_is_a_problem_too(acme, sign_in):
    answer = call(sign_in(acme), "get", "/nonsense")

    assert (answer.status_code, answer["Content-Type"]) == (404, PROBLEM)


def test_the_description_is_served_and_the_same_as_the_file(acme, sign_in):
    served = call(sign_in(acme), "get", "/openapi.json").json()

    assert served == json.loads(write_openapi.FILE.read_text())
    assert served["openapi"] == "3.1.0"
    call_command("write_openapi", check=True)


def test_a_description_that_is_out_of_date_is_noticed(monkeypatch, tmp_path):
    old = tmp_path / "openapi.json"
    old.write_text("{}\n")
    monkeypatch.setattr(write_openapi, "FILE", old)

    with pytest.raises(CommandError):
        call_command("write_openapi", check=True, stderr=StringIO())


def test_states_are_described_as_they_are():
    described = json.loads(write_openapi.FILE.read_text())["components"]["schemas"]

    for name, state in {
        "RecommendationOut": Task.State,
        "ProposalOut": Proposal.State,
        "PackOut": Pack.State,
    }.items():
        assert described[name]["properties"]["state"]["enum"] == state.values


def test_every_endpoint_documents_its_problems():
    described = json.loads(write_openapi.FILE.read_text())

    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            documented = set(operation["responses"])
            assert "401" in documented, path
            assert operation["description"], path
            if "{" in path:
                assert {"403", "404"} <= documented, path
            if method != "get":
                # Decisions are asked by POST, for the length of the question; nothing is changed.
                conflicts = set() if path == "/api/v1/decisions" else {"409"}
                assert {"403", "422"} | conflicts <= documented, path
