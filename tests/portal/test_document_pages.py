"""Documents for controls, frameworks brought along, counts of the log: by page and by API."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from agent import log_check
from agent.control_documents import today
from evidence.models import ControlDocument, LogCheck, OwnFramework
from tenants.scope import tenant_scope
from tests.evidence.small_catalogue import small_catalogue
from tests.portal.standing import sealed

RULE = "second-person"


def form(**also):
    return {
        "framework": "ssdf-1.1",
        "title": "Training plan",
        "owner": "Head of engineering",
        "valid_until": f"{today() + timedelta(days=30)}",
        "controls": ["ssdf-1.1:PO.2.2"],
        "file": SimpleUploadedFile("plan.html", b"<script>alert(1)</script>", "text/html"),
    } | also


@pytest.fixture
def document(acme, sign_in):
    """Tomas has added it; it waits."""
    answer = sign_in(acme, "tomas").post("/controls/documents/new/", form())
    assert answer.status_code == 302
    with tenant_scope(acme.scope):
        return ControlDocument.objects.get()


def test_an_admin_adds_a_document_and_an_auditor_accepts_it(acme, sign_in, document):
    address = f"/controls/documents/{document.pk}/"
    tomas, iris = sign_in(acme, "tomas"), sign_in(acme, "iris")
    own = tomas.get(address).content.decode()
    assert "waits for a second person" in own
    assert 'value="accept"' not in own

    page = iris.post(address, {"answer": "accept", "sha256": document.sha256}, follow=True)

    assert "it counts from now on" in page.content.decode()
    control = iris.get("/controls/ssdf-1.1/of/PO.2.2/").content.decode()
    assert "Organisational upload" in control
    assert "Training plan" in control
    framework = iris.get("/controls/ssdf-1.1/").content.decode()
    assert f'href="{address}"' in framework
    assert "Training plan (Head of engineering, good until" in framework
    assert '<a class="square strength-2"' in iris.get("/controls/").content.decode()


def test_whoever_added_a_document_cannot_accept_it_by_hand_either(acme, sign_in, document):
    answer = sign_in(acme, "tomas").post(
        f"/controls/documents/{document.pk}/", {"answer": "accept", "sha256": document.sha256}
    )

    assert answer.status_code == 403
    with tenant_scope(acme.scope):
        assert ControlDocument.objects.get().state == "waiting"


def test_what_was_typed_comes_back_with_what_is_wrong(acme, sign_in):
    answer = sign_in(acme, "tomas").post(
        "/controls/documents/new/", form(valid_until="2001-01-01", owner="")
    )

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "must be a day from today on" in page
    assert "is empty" in page
    assert 'value="Training plan"' in page
    assert 'value="ssdf-1.1:PO.2.2" checked' in page
    with tenant_scope(acme.scope):
        assert not ControlDocument.objects.exists()


def test_a_file_comes_back_byte_for_byte_and_is_never_shown_by_the_browser(
    acme, sign_in, entries, document
):
    answer = sign_in(acme, "iris").get(f"/controls/documents/{document.pk}/file/")

    assert answer.content == b"<script>alert(1)</script>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="plan.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert entries(acme)[-1] == ("document.download", "ok")


def test_a_newer_version_begins_with_what_the_older_one_said(acme, sign_in, document):
    page = sign_in(acme, "tomas").get(f"/controls/documents/new/?replaces={document.pk}")

    text = page.content.decode()
    assert "A newer version of “Training plan”" in text
    assert 'value="Head of engineering"' in text
    assert 'value="ssdf-1.1:PO.2.2" checked' in text


@pytest.mark.parametrize(
    "path",
    ["/controls/documents/", "/controls/documents/{}/", "/controls/documents/{}/file/"],
)
def test_documents_are_for_admins_and_auditors_of_the_tenant(acme, globex, sign_in, document, path):
    address = path.format(document.pk)
    assert sign_in(acme, "iris").get(address).status_code == 200
    assert sign_in(acme, "bo").get(address).status_code == 403
    if "{" in path:
        assert sign_in(globex, "iris").get(address).status_code == 404


def test_a_document_by_the_api_from_adding_to_accepting(acme, sign_in):
    tomas, iris = sign_in(acme, "tomas"), sign_in(acme, "iris")
    sent = form(controls="ssdf-1.1:PO.2.2, ssdf-1.1:PO.2.3")

    added = tomas.post("/api/v1/documents", sent)

    assert added.status_code == 201, added.content
    row = added.json()
    assert (row["state"], row["owner"], row["version"]) == ("waiting", "Head of engineering", 1)
    answer = iris.post(
        f"/api/v1/documents/{row['id']}/answer",
        {"answer": "accept", "sha256": row["sha256"]},
        content_type="application/json",
    )
    assert answer.json()["state"] == "accepted"
    assert iris.get("/api/v1/documents").json()["count"] == 1
    file = iris.get(f"/api/v1/documents/{row['id']}/file")
    assert file.content == b"<script>alert(1)</script>"
    frameworks = {one["id"]: one for one in iris.get("/api/v1/controls").json()}
    assert frameworks["ssdf-1.1"]["by_strength"]["organisational upload"] == 2
    controls = iris.get("/api/v1/controls/ssdf-1.1").json()
    shown = next(one for one in controls if one["id"] == "PO.2.3")
    assert {"document": row["id"], "title": "Training plan"} in shown["evidence"]
    assert iris.get("/api/v1/controls/iso-1").status_code == 404


def test_a_framework_is_brought_mapped_and_removed_on_pages(acme, sign_in):
    tomas = sign_in(acme, "tomas")
    file = SimpleUploadedFile("house.json", small_catalogue(), "application/json")

    page = tomas.post("/controls/import/", {"id": "house", "file": file}, follow=True)

    assert "House rules is among your frameworks" in page.content.decode()
    assert "level 2" in page.content.decode()
    tomas.post("/controls/house/of/X-1(1)/", {"rules": [RULE]})
    with tenant_scope(acme.scope):
        row = OwnFramework.objects.get()
        assert row.rules == {"X-1(1)": [RULE]}
    assert "Take it out again" in tomas.get("/controls/house/").content.decode()
    assert "Take it out again" not in sign_in(acme, "iris").get("/controls/house/").content.decode()
    tomas.post("/controls/house/remove/")
    assert tomas.get("/controls/house/").status_code == 404


def test_verify_now_counts_the_log_and_shows_the_result(acme, sign_in):
    with tenant_scope(acme.scope):
        size = sealed().size
    iris = sign_in(acme, "iris")

    page = iris.post("/audit/checks/", follow=True)

    assert 'hx-trigger="every 1s"' in page.content.decode()
    with tenant_scope(acme.scope):
        check = LogCheck.objects.get()
        log_check.run_check(check.pk)
    done = iris.get(f"/audit/checks/{check.pk}/").content.decode()
    assert "The log holds" in done
    assert f"{size}, each hashed anew" in done
    assert 'hx-trigger="every 1s"' not in done
    assert "Holds" in iris.get("/audit/checks/").content.decode()
    assert sign_in(acme, "bo").post("/audit/checks/").status_code == 403
