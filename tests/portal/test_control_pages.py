"""Control coverage on pages, and packs about more than one proposal."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from evidence.models import OwnFramework, Pack
from tenants.scope import tenant_scope
from tests.portal.standing import proposal_of, repository_in, sealed


def test_an_auditor_sees_every_framework_and_each_control(acme, sign_in):
    with tenant_scope(acme.scope):
        proposal_of(acme.people["bo"], acme.project)
        sealed()
    iris = sign_in(acme, "iris")

    overview = iris.get("/controls/").content.decode()
    ssdf = iris.get("/controls/ssdf-1.1/").content.decode()
    some = iris.get("/controls/ssdf-1.1/", {"strength": "proved per PR"}).content.decode()

    assert all(name in overview for name in ("NIST SSDF 1.1", "OWASP ASVS 5.0", "SLSA 1.1"))
    assert "PO.2.2" in ssdf
    assert "only a document that people add could show it" in ssdf
    assert ">PO.2.2</a>" in ssdf
    assert ">PO.2.2</a>" not in some
    assert '<a class="square strength-4"' in ssdf
    assert iris.get("/controls/iso-1/").status_code == 404


@pytest.mark.parametrize("address", ["/controls/", "/controls/ssdf-1.1/", "/packs/order/"])
def test_coverage_and_orders_are_for_admins_and_auditors(acme, sign_in, address):
    assert sign_in(acme, "bo").get(address).status_code == 403


def test_an_order_that_makes_no_sense_comes_back_with_what_was_typed(acme, sign_in):
    answer = sign_in(acme, "iris").post(
        "/packs/order/", {"kind": "period", "from": "soon", "nonce": "seventeen"}
    )

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "is no date; write it as 2026-11-23" in page
    assert 'value="seventeen"' in page


def test_an_auditor_orders_a_pack_about_a_repository(acme, sign_in):
    with tenant_scope(acme.scope):
        repository = repository_in(acme.project)

    answer = sign_in(acme, "iris").post(
        "/packs/order/", {"kind": "repository", "repository": str(repository.pk)}, follow=True
    )

    assert "Repository shop" in answer.content.decode()
    with tenant_scope(acme.scope):
        pack = Pack.objects.get()
    assert (pack.kind, pack.object_id) == ("repository", str(repository.pk))
    # Whoever may not see the whole log does not learn that it exists.
    assert sign_in(acme, "ada").get(f"/packs/{pack.pk}/").status_code == 404
    assert sign_in(acme, "tomas").get(f"/packs/{pack.pk}/").status_code == 200


def test_the_api_takes_the_same_order(acme, sign_in):
    iris = sign_in(acme, "iris")

    answer = iris.post(
        "/api/v1/packs",
        {"kind": "framework", "framework": "ssdf-1.1"},
        content_type="application/json",
    )

    assert answer.status_code == 202
    assert answer.json()["kind"] == "framework"


FORMATS = Path(__file__).parents[1] / "evidence" / "three_formats"


@pytest.mark.parametrize("kind", ["json", "yaml", "xml"])
def test_an_admin_brings_a_framework_along_in_each_format(acme, sign_in, kind):
    tomas = sign_in(acme, "tomas")
    form = tomas.get("/controls/import/").content.decode()
    files = {
        field: SimpleUploadedFile(f"{name}.{kind}", (FORMATS / f"{name}.{kind}").read_bytes())
        for field, name in (("file", "catalogue"), ("profiles", "profile"))
    }

    answer = tomas.post("/controls/import/", files | {"id": "house"})

    assert form.count(f".{kind},") == 2
    assert (answer.status_code, answer["Location"]) == (302, "/controls/house/")
    with tenant_scope(acme.scope):
        row = OwnFramework.objects.get()
    assert [[(one["id"], one["level"]) for one in group["controls"]] for group in row.groups] == [
        [("z-1", 1)],
        [("AC-2", 0)],
        [("AC-1", 1), ("AC-1(1)", 0)],
    ]


def test_a_framework_that_could_harm_comes_back_with_what_to_do(acme, sign_in):
    laughs = b"<!DOCTYPE catalog [<!ENTITY a 'ha'>]><catalog>&a;</catalog>"

    answer = sign_in(acme, "tomas").post(
        "/controls/import/",
        {"id": "house", "file": SimpleUploadedFile("c.xml", laughs)},
    )

    assert answer.status_code == 422
    assert "OSCAL has no use for it; take it out" in answer.content.decode()
    with tenant_scope(acme.scope):
        assert not OwnFramework.objects.exists()


def test_the_name_of_an_uploaded_file_says_what_its_content_leaves_open(acme, sign_in):
    flow = b"{catalog: {metadata: {title: T, version: 1}, controls: [{id: a, title: Locks}]}}"
    tomas = sign_in(acme, "tomas")

    answers = [
        tomas.post(address, {"id": "house", "file": SimpleUploadedFile("c.yaml", flow)})
        for address in ("/controls/import/", "/api/v1/frameworks")
    ]

    assert [answer.status_code for answer in answers] == [302, 201]
