"""Evidence packs on pages: ordering, watching, taking away."""

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent import upkeep
from authz import people
from authz.roles import Role
from evidence.models import Pack
from tenants.actor import system_actor
from tenants.models import Project
from tenants.scope import tenant_scope
from tests.portal.standing import pack_of, proposal_of, sealed


@pytest.fixture
def proposal(acme):
    with tenant_scope(acme.scope):
        return proposal_of(acme.people["bo"], acme.project)


@pytest.fixture
def pack(acme, proposal):
    """A pack that is ready, of a log that is sealed."""
    with tenant_scope(acme.scope):
        sealed()
        return pack_of(proposal, b"PK-the-pack")


def test_an_auditor_orders_a_pack(acme, proposal, sign_in, entries):
    answer = sign_in(acme, "iris").post(f"/proposals/{proposal.pk}/packs/", follow=True)

    page = answer.content.decode()
    assert "Queued" in page
    assert 'hx-trigger="every 1s"' in page
    assert "Look again" in page
    with tenant_scope(acme.scope):
        assert Pack.objects.get().requested_by_name == "Iris"
    assert entries(acme)[-1] == ("pack.export", "ok")


def test_the_part_that_changes_is_asked_for_alone(acme, pack, sign_in):
    headers = {"HX-Request": "true", "HX-Target": "status"}

    part = sign_in(acme, "iris").get(f"/packs/{pack.pk}/", headers=headers).content.decode()

    assert "<html" not in part
    assert "Ready" in part
    assert "hx-trigger" not in part


def test_a_pack_that_is_ready_says_how_to_verify_it(acme, pack, sign_in):
    page = sign_in(acme, "iris").get(f"/packs/{pack.pk}/").content.decode()

    assert pack.sha256 in page
    name = f"countersign-pack-{str(pack.pk)[:8]}.zip"
    key = f"countersign/{acme.slug}/{acme.scope.tenant_id}+"
    assert f"make verify PACK={name} KEY=&#x27;{key}" in page
    assert f"countersign-verify {name} --key &#x27;{key}" in page


def test_a_pack_that_could_not_be_built_says_why_and_can_be_ordered_again(acme, pack, sign_in):
    with tenant_scope(acme.scope):
        Pack.objects.update(state=Pack.State.FAILED, problem="the store has no room left")

    page = sign_in(acme, "iris").get(f"/packs/{pack.pk}/").content.decode()

    assert "the store has no room left" in page
    assert f'action="/packs/{pack.pk}/again/"' in page
    assert "Download" not in page


def test_a_download_is_the_file_and_an_entry(acme, pack, sign_in, entries):
    answer = sign_in(acme, "iris").get(f"/packs/{pack.pk}/download/")

    assert answer.getvalue() == b"PK-the-pack"
    assert answer["Content-Disposition"].startswith("attachment; filename=")
    assert entries(acme)[-1] == ("pack.download", "ok")


def test_a_pack_says_how_long_its_file_is_kept(acme, pack, sign_in):
    iris = sign_in(acme, "iris")
    until = f"{pack.expires_at:%Y-%m-%d}"

    assert f"kept until {until}" in iris.get(f"/packs/{pack.pk}/").content.decode()
    assert f"until {until}" in iris.get("/packs/").content.decode()
    said = iris.get(f"/api/v1/packs/{pack.pk}").json()
    assert (said["can_be_taken"], said["deleted_at"]) == (True, None)


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "deleted"])
def test_a_pack_whose_file_is_gone_says_so_and_can_be_ordered_again(
    acme, proposal, sign_in, entries, deleted
):
    iris = sign_in(acme, "iris")
    with tenant_scope(acme.scope):
        sealed()
        gone = pack_of(proposal, over=True)
        if deleted:
            upkeep.delete_expired_packs(by=system_actor("retention", "job"))
            gone.refresh_from_db()
    address = f"/packs/{gone.pk}/"

    page, said = iris.get(address).content.decode(), iris.get(f"/api/v1{address[:-1]}").json()
    refused = iris.get(f"{address}download/")
    answer = iris.post(f"{address}again/")

    assert "The file is gone" in page
    assert (
        (f"deleted on {gone.deleted_at:%Y-%m-%d}" in page) if deleted else "deleted on" not in page
    )
    assert f"{address}download/" not in page
    assert (said["can_be_taken"], bool(said["deleted_at"])) == (False, deleted)
    assert (refused.status_code, b"order it again" in refused.content) == (409, True)
    with tenant_scope(acme.scope):
        new = Pack.objects.get(state=Pack.State.QUEUED)
    assert answer["Location"] == f"/packs/{new.pk}/"
    assert (new.kind, new.object_id, new.run) == (gone.kind, gone.object_id, gone.run)
    assert entries(acme)[-1] == ("pack.export", "ok")


def test_a_pack_whose_file_is_there_or_on_its_way_is_not_ordered_again(acme, pack, sign_in):
    iris = sign_in(acme, "iris")
    with tenant_scope(acme.scope):
        unbuilt = pack_of(proposal_of(acme.people["bo"], acme.project), None)

    for one in (pack, unbuilt):
        assert iris.post(f"/packs/{one.pk}/again/").status_code == 409
        assert b"again/" not in iris.get(f"/packs/{one.pk}/").content
    with tenant_scope(acme.scope):
        assert Pack.objects.count() == 2


def test_a_pack_about_a_period_is_ordered_again_just_as_it_was(acme, proposal, sign_in):
    iris = sign_in(acme, "iris")
    order = {"kind": "repository", "repository": str(proposal.repository_id), "nonce": "7 11"}
    first = iris.post("/api/v1/packs", order | {"sample_size": 3}, "application/json").json()
    with tenant_scope(acme.scope):
        Pack.objects.update(state=Pack.State.FAILED, problem="no room")

    again = iris.post(f"/api/v1/packs/{first['id']}/again")

    assert again.status_code == 202
    with tenant_scope(acme.scope):
        old, new = Pack.objects.order_by("created_at")
    for field in ("kind", "object_id", "title", "nonce", "sample_size", "period_from"):
        assert getattr(new, field) == getattr(old, field)


def test_only_who_may_order_packs_orders_one_again(acme, globex, proposal, sign_in, entries):
    with tenant_scope(acme.scope):
        gone = pack_of(proposal, over=True)

    for door in (f"/packs/{gone.pk}/again/", f"/api/v1/packs/{gone.pk}/again"):
        assert sign_in(acme, "bo").post(door).status_code == 403
        assert entries(acme)[-1] == ("pack.export.denied", "denied")
        assert sign_in(globex, "iris").post(door).status_code == 404
    with tenant_scope(acme.scope):
        assert Pack.objects.count() == 1


def test_there_is_nothing_to_download_before_it_is_built(acme, proposal, sign_in, entries):
    with tenant_scope(acme.scope):
        unbuilt = pack_of(proposal, None)

    answer = sign_in(acme, "iris").get(f"/packs/{unbuilt.pk}/download/")

    assert answer.status_code == 409
    assert ("pack.download", "ok") not in entries(acme)


def test_the_list_shows_what_was_ordered(acme, pack, sign_in):
    page = sign_in(acme, "iris").get("/packs/").content.decode()

    assert f'href="/packs/{pack.pk}/"' in page
    assert "Ready" in page


def test_an_empty_list_says_where_packs_come_from(acme, sign_in):
    assert "Choose a proposal" in sign_in(acme, "iris").get("/packs/").content.decode()


def test_packs_are_for_auditors_and_admins(acme, pack, sign_in, entries):
    for name in ("iris", "tomas"):
        for path in ("/packs/", f"/packs/{pack.pk}/", f"/packs/{pack.pk}/download/"):
            assert sign_in(acme, name).get(path).status_code == 200
    for name in ("bo", "ada"):
        client = sign_in(acme, name)
        for path in ("/packs/", f"/packs/{pack.pk}/", f"/packs/{pack.pk}/download/"):
            assert client.get(path).status_code == 403
            assert entries(acme)[-1] == ("pack.export.denied", "denied")
        assert client.post(f"/proposals/{pack.object_id}/packs/").status_code == 403
    nobody = sign_in(acme)
    for path in ("/packs/", f"/packs/{pack.pk}/", f"/packs/{pack.pk}/download/"):
        assert nobody.get(path).status_code == 302
    assert nobody.post(f"/proposals/{pack.object_id}/packs/").status_code == 302


def test_packs_of_other_tenants_and_projects_do_not_exist(acme, globex, pack, sign_in, entries):
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
    before = entries(acme)

    for stranger in (sign_in(globex, "tomas"), sign_in(globex, "eve"), sign_in(acme, "vic")):
        for known in (pack.pk, uuid4()):
            assert stranger.get(f"/packs/{known}/").status_code == 404
            assert stranger.get(f"/packs/{known}/download/").status_code == 404
        assert stranger.post(f"/proposals/{pack.object_id}/packs/").status_code == 404
    assert entries(acme) == before
    assert str(pack.pk) not in sign_in(globex, "iris").get("/packs/").content.decode()


def test_more_packs_do_not_mean_more_queries(acme, pack, proposal, sign_in):
    iris = sign_in(acme, "iris")
    iris.get("/packs/")

    with CaptureQueriesContext(connection) as few:
        iris.get("/packs/")
    with tenant_scope(acme.scope):
        for _ in range(5):
            pack_of(proposal)
    with CaptureQueriesContext(connection) as many:
        iris.get("/packs/")

    assert len(many) == len(few) > 3
