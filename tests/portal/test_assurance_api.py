"""What the pages of the audit and of controls do, over the API: same functions, same answers."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from agent import log_check, own_frameworks
from authz import retention
from evidence.models import LogCheck, OwnFramework, Retention
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.evidence.small_catalogue import small_catalogue, small_profile
from tests.portal.standing import sealed

API = "/api/v1"


def put(client, path, body):
    return client.put(API + path, body, "application/json")


def brought(client, **fields):
    files = {
        "file": SimpleUploadedFile("house.json", small_catalogue(), "application/json"),
    }
    return client.post(f"{API}/frameworks", files | {"id": "house"} | fields)


@pytest.fixture
def house(acme):
    """A framework that acme brought along."""
    with tenant_scope(acme.scope):
        by = acme.people["tomas"].actor("page", signed_in=JUST_NOW)
        return own_frameworks.import_framework("house", small_catalogue(), by=by)


def test_an_admin_changes_how_long_facts_are_kept(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")

    before = tomas.get(f"{API}/log/retention").json()
    answer = put(tomas, "/log/retention", {"days": 400, "reason": "as our contract says"})

    assert before == {"days": Retention.DEFAULT_DAYS, "set_at": None, "least_days": 90}
    assert (answer.status_code, answer.json()["days"]) == (200, 400)
    assert entries(acme)[-1] == ("retention.change", "ok")
    with tenant_scope(acme.scope):
        assert retention.days_kept() == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"days": 89, "reason": "cheaper"}, "days"),
        ({"days": 40_000, "reason": "for ever"}, "days"),
        ({"days": 400, "reason": " "}, "reason"),
        ({"days": 400, "reason": "x" * 501}, "reason"),
        ({"days": 400}, "reason"),
    ],
)
def test_what_cannot_be_kept_is_named_by_field(acme, sign_in, body, field):
    answer = put(sign_in(acme, "tomas"), "/log/retention", body)

    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]
    with tenant_scope(acme.scope):
        assert not Retention.objects.exists()


def test_who_cosigns_is_said(acme, sign_in):
    with tenant_scope(acme.scope):
        sealed()

    said = sign_in(acme, "iris").get(f"{API}/log/witnesses").json()

    assert said == {"quorum": 0, "state": "LOCAL", "witnesses": []}


def test_an_auditor_has_the_log_counted_and_follows_it(acme, sign_in, entries):
    iris = sign_in(acme, "iris")
    with tenant_scope(acme.scope):
        sealed()

    asked = iris.post(f"{API}/log/checks")
    again = iris.post(f"{API}/log/checks")
    with tenant_scope(acme.scope):
        log_check.run_check(LogCheck.objects.get().pk)
    said = iris.get(f"{API}/log/checks/{asked.json()['id']}").json()

    assert (asked.status_code, asked.json()["state"]) == (202, "queued")
    assert again.json()["id"] == asked.json()["id"]
    assert said["state"] == "holds"
    assert said["entries_done"] == said["entries_total"] > 0
    assert iris.get(f"{API}/log/checks").json()["items"] == [said]
    assert entries(acme)[-1] == ("ledger.verify", "ok")


def test_an_admin_brings_a_framework_along_maps_it_and_takes_it_out(acme, sign_in, entries):
    tomas = sign_in(acme, "tomas")
    profile = SimpleUploadedFile("low.json", small_profile("x-1"), "application/json")

    made = brought(tomas, profiles=profile)
    rules = [rule["id"] for rule in tomas.get(f"{API}/control-rules").json()]
    mapped = put(tomas, "/frameworks/house/controls/X-1", {"rules": rules[:2]})
    listed = tomas.get(f"{API}/frameworks").json()
    controls = tomas.get(f"{API}/controls/house").json()
    removed = tomas.delete(f"{API}/frameworks/house")

    assert (made.status_code, made.json()["id"], made.json()["controls"]) == (201, "house", 3)
    assert mapped.json()["rules"] == {"X-1": sorted(rules[:2])}
    assert listed == [mapped.json()]
    assert {row["id"]: row["level"] for row in controls}["X-1"] == 1
    assert removed.status_code == 204
    assert entries(acme)[-3:] == [("framework.change", "ok")] * 3
    assert tomas.get(f"{API}/frameworks").json() == []


def test_what_cannot_be_brought_along_is_named(acme, sign_in):
    tomas = sign_in(acme, "tomas")

    taken = brought(tomas, id="ssdf-1.1")
    other = brought(tomas, file=SimpleUploadedFile("x.json", b"{}", "application/json"))

    assert (taken.status_code, list(taken.json()["errors"])) == (422, ["id"])
    assert (other.status_code, list(other.json()["errors"])) == (422, ["file"])
    with tenant_scope(acme.scope):
        assert not OwnFramework.objects.exists()


def test_a_mapping_to_what_is_not_there_is_refused(acme, sign_in, house):
    tomas = sign_in(acme, "tomas")

    rule = put(tomas, "/frameworks/house/controls/X-1", {"rules": ["no-such-rule"]})
    control = put(tomas, "/frameworks/house/controls/Z-9", {"rules": []})
    framework = put(tomas, "/frameworks/ssdf-1.1/controls/PO.1.1", {"rules": []})

    assert (rule.status_code, list(rule.json()["errors"])) == (422, ["rules"])
    assert (control.status_code, framework.status_code) == (409, 404)


READS = ("/log/retention", "/log/witnesses", "/log/checks", "/frameworks", "/control-rules")


@pytest.mark.parametrize("path", READS)
def test_reading_is_for_auditors_and_admins(acme, sign_in, entries, path):
    for name in ("iris", "tomas"):
        assert sign_in(acme, name).get(API + path).status_code == 200
    assert sign_in(acme, "bo").get(API + path).status_code == 403
    assert entries(acme)[-1] == ("ledger.view.denied", "denied")
    assert sign_in(acme).get(API + path).status_code == 401


def test_changing_is_for_whom_it_is_for(acme, globex, sign_in, entries, house):
    def tried(client):
        other = SimpleUploadedFile("x.json", small_catalogue("X"), "application/json")
        return [
            put(client, "/log/retention", {"days": 400, "reason": "x"}).status_code,
            client.post(f"{API}/log/checks").status_code,
            brought(client, id="xs", file=other).status_code,
            put(client, "/frameworks/house/controls/X-1", {"rules": []}).status_code,
            client.delete(f"{API}/frameworks/house").status_code,
        ]

    assert tried(sign_in(acme, "bo")) == [403] * 5
    # Auditors have the log counted; they change neither retention nor frameworks.
    assert tried(sign_in(acme, "iris")) == [403, 202, 403, 403, 403]
    assert entries(acme)[-1] == ("framework.change.denied", "denied")
    # The stranger changes her own; the framework is not there for her.
    assert tried(sign_in(globex, "tomas")) == [200, 202, 201, 404, 404]
    with tenant_scope(acme.scope):
        assert OwnFramework.objects.get().framework_id == "house"
        assert not Retention.objects.exists()
