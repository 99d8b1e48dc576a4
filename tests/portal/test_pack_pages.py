"""Evidence packs on pages: ordering, watching, taking away."""

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from authz import people
from authz.roles import Role
from evidence.models import Pack
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
    assert f'action="/proposals/{pack.object_id}/packs/"' in page
    assert "Download" not in page


def test_a_download_is_the_file_and_an_entry(acme, pack, sign_in, entries):
    answer = sign_in(acme, "iris").get(f"/packs/{pack.pk}/download/")

    assert answer.content == b"PK-the-pack"
    assert answer["Content-Disposition"].startswith("attachment; filename=")
    assert entries(acme)[-1] == ("pack.download", "ok")


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
