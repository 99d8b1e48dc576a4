"""The export of a tenant on its page and over the API: ordered, written, taken away, gone again."""

import json
import zipfile
from datetime import timedelta
from hashlib import sha256
from io import BytesIO

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils import timezone

from agent import dossier, erasure, jobs, upkeep
from agent.places import artifact_store
from authz import people
from evidence.intents import open_about
from evidence.models import Pack, StagedEntry
from evidence.signing import FileKeys
from evidence.store import Store, StoreFull
from portal import packs
from tenants.actor import system_actor
from tenants.models import Session
from tenants.scope import tenant_scope, tenants_with_evidence_work
from tests.at_browser import JUST_NOW
from tests.portal.standing import export_of, pack_of, proposal_of, sealed

PAGE, API = "/settings/export/", "/api/v1/exports"
DOORS = (PAGE, API)


def built(company):
    """What the evidence worker makes of the newest order."""
    with tenant_scope(company.scope):
        export = Pack.objects.filter(kind=Pack.Kind.EXPORT).first()
        dossier.build(export.pk, FileKeys(settings.KEYS_DIR))
        export.refresh_from_db()
    return export


def newest_facts(company):
    with tenant_scope(company.scope):
        staged = StagedEntry.objects.order_by("-id").first()
        return json.loads(bytes(staged.payload))


@pytest.mark.parametrize("door", DOORS)
def test_an_admin_orders_an_export_and_takes_it_away(acme, sign_in, entries, door):
    tomas = sign_in(acme, "tomas")
    with tenant_scope(acme.scope):
        pack_of(proposal_of(acme.people["bo"], acme.project), b"PK-the-pack")
        sealed()

    ordered = tomas.post(door)
    on_its_way = tomas.get(PAGE).content.decode()
    export = built(acme)
    page = tomas.get(PAGE).content.decode()
    said = tomas.get(f"{API}/{export.pk}").json()
    rest = f"{export.pk}/download/" if door == PAGE else f"/{export.pk}/download"
    answer = tomas.get(door + rest)

    assert ordered.status_code == (302 if door == PAGE else 202)
    assert 'hx-trigger="every 1s"' in on_its_way
    assert "Queued" in on_its_way
    assert "Order an export" not in on_its_way
    assert f"{PAGE}{export.pk}/download/" in page
    assert f"{export.expires_at:%Y-%m-%d}" in page
    assert (said["state"], said["can_be_taken"]) == ("ready", True)
    assert said["files_done"] == said["files_total"] > 0
    content = answer.getvalue()
    assert sha256(content).hexdigest() == said["sha256"]
    assert answer["Content-Length"] == str(len(content))
    with zipfile.ZipFile(BytesIO(content)) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        assert f"artifacts/{sha256(b'PK-the-pack').hexdigest()}" in opened.namelist()
    assert (manifest["missing"], manifest["tenant"]["slug"]) == ([], acme.slug)
    assert entries(acme)[-1] == ("export.download", "ok")
    assert newest_facts(acme)["sha256"] == said["sha256"]


def test_it_is_on_record_before_and_after(acme, sign_in, entries):
    sign_in(acme, "tomas").post(PAGE)
    export = built(acme)

    assert entries(acme)[-3:] == [
        ("export.order", "ok"),
        ("tenant.export", "ok"),
        ("tenant.export", "ok"),
    ]
    facts = newest_facts(acme)
    assert (facts["sha256"], facts["missing"]) == (export.sha256, 0)
    assert facts["rows"]["tenants_user"] == 6
    with tenant_scope(acme.scope):
        assert open_about("tenant.export", "pack", str(export.pk)) is None


def test_an_earlier_export_is_not_inside_the_next_one(acme, sign_in):
    with tenant_scope(acme.scope):
        earlier = export_of(b"all of yesterday")
    sign_in(acme, "tomas").post(PAGE)

    export = built(acme)

    with tenant_scope(acme.scope):
        content = artifact_store().get(acme.scope.tenant_id, export.sha256)
    with zipfile.ZipFile(BytesIO(content)) as opened:
        assert f"artifacts/{earlier.sha256}" not in opened.namelist()
        assert json.loads(opened.read("manifest.json"))["missing"] == []


@pytest.mark.parametrize("door", DOORS)
def test_one_at_a_time(acme, sign_in, door):
    tomas = sign_in(acme, "tomas")
    tomas.post(PAGE)

    refused = tomas.post(door)

    assert refused.status_code == 409
    assert b"on its way already" in refused.content
    with tenant_scope(acme.scope):
        assert Pack.objects.count() == 1


def test_an_export_that_cannot_be_kept_says_why_and_another_can_be_ordered(
    acme, sign_in, entries, monkeypatch
):
    def full(*_):
        raise StoreFull("the store has no room left; nothing was kept")

    tomas = sign_in(acme, "tomas")
    tomas.post(PAGE)
    monkeypatch.setattr(Store, "put_stream", full)

    built(acme)

    page = tomas.get(PAGE).content.decode()
    assert "the store has no room left" in page
    assert "Order an export" in page
    assert entries(acme)[-1] == ("tenant.export", "failed")


@pytest.mark.parametrize("name", ["ada", "bo", "iris", "lin"])
def test_it_is_for_tenant_admins_alone(acme, sign_in, entries, name):
    with tenant_scope(acme.scope):
        export = export_of()
    client = sign_in(acme, name)

    for door in (*DOORS, f"{PAGE}{export.pk}/download/", f"{API}/{export.pk}/download"):
        assert client.get(door).status_code == 403
        assert entries(acme)[-1] == ("export.order.denied", "denied")
    for door in DOORS:
        assert client.post(door).status_code == 403
    with tenant_scope(acme.scope):
        assert Pack.objects.count() == 1


def test_another_tenants_export_does_not_exist(acme, globex, sign_in):
    with tenant_scope(acme.scope):
        export = export_of()
    stranger = sign_in(globex, "tomas")

    assert stranger.get(f"{PAGE}{export.pk}/download/").status_code == 404
    assert stranger.get(f"{API}/{export.pk}").status_code == 404
    assert str(export.pk) not in stranger.get(PAGE).content.decode()


def test_whoever_signed_in_yesterday_signs_in_again_first(acme, sign_in, entries):
    with tenant_scope(acme.scope):
        export = export_of()
    tomas = sign_in(acme, "tomas")
    with tenant_scope(acme.scope):
        Session.objects.update(opened_at=timezone.now() - timedelta(hours=13))

    for answer in (tomas.post(PAGE), tomas.get(f"{PAGE}{export.pk}/download/")):
        assert answer.status_code == 403
        assert b"sign in again" in answer.content
    assert entries(acme)[-1] == ("export.order.denied", "denied")


def test_an_export_is_no_evidence_pack(acme, sign_in):
    """Auditors take packs away; an export holds far more than they may have."""
    with tenant_scope(acme.scope):
        export = export_of()

    for name in ("iris", "tomas"):
        client = sign_in(acme, name)
        for door in (f"/packs/{export.pk}/", f"/api/v1/packs/{export.pk}"):
            assert client.get(door).status_code == 404
        assert client.get(f"/packs/{export.pk}/download/").status_code == 404
        assert client.post(f"/packs/{export.pk}/again/").status_code == 404
        assert str(export.pk) not in client.get("/packs/").content.decode()
        assert client.get("/api/v1/packs").json()["count"] == 0


def test_its_file_goes_when_its_time_is_over_also_where_no_repository_is(acme, sign_in):
    with tenant_scope(acme.scope):
        export = export_of(over=True)
    assert acme.scope.tenant_id in tenants_with_evidence_work("files")

    jobs.delete_expired_packs()

    with tenant_scope(acme.scope):
        export.refresh_from_db()
        assert not artifact_store().holds(acme.scope.tenant_id, export.sha256)
    assert acme.scope.tenant_id not in tenants_with_evidence_work("files")
    tomas = sign_in(acme, "tomas")
    refused = tomas.get(f"{PAGE}{export.pk}/download/")
    assert refused.status_code == 409
    assert f"deleted {export.deleted_at:%Y-%m-%d}" in tomas.get(PAGE).content.decode()


def test_when_a_person_is_erased_exports_go_too(acme, sign_in):
    with tenant_scope(acme.scope):
        export = export_of()
        bo = acme.people["bo"]
        people.remove(bo, by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))
        erased = erasure.erase_person(bo, by=system_actor("test", "cli"))

    refused = sign_in(acme, "tomas").get(f"{PAGE}{export.pk}/download/")

    assert erased["exports"] == 1
    assert refused.status_code == 409
    with tenant_scope(acme.scope):
        assert upkeep.delete_expired_packs(by=system_actor("retention", "job")) == 1


def test_a_file_of_an_export_goes_out_bit_by_bit(in_acme):
    """As the web server asks for it: chunks of at most 1 MiB, never the whole file in memory."""
    content = b"x" * (3 << 20) + b"end"
    export = export_of(content)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    request = ASGIRequest(scope, BytesIO())
    request.actor = in_acme.people["tomas"].actor("page")

    answer = packs.pack_download(request, export)

    async def read():
        return [chunk async for chunk in answer]

    chunks = async_to_sync(read)()
    assert [len(chunk) for chunk in chunks] == [1 << 20, 1 << 20, 1 << 20, 3]
    assert b"".join(chunks) == content
