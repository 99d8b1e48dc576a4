"""Copies of the log reach a real syslog server, a collector and a file: all of it, in order."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from authz import log_export
from authz.errors import BadRequest, Denied
from authz.log_export import Said
from authz.models import LogDestination
from deploy.install import CHECKOUT
from evidence import ledger
from evidence.models import Checkpoint, Entry
from evidence.ocsf import checkpoint_event, event
from portal.siem.exporting import export_tenant
from portal.siem.transports import syslog_message
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.portal.siem.collectors import TOKEN, Rsyslog, authority, collector
from tests.portal.standing import sealed


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def syslog(tmp_path, certificates):
    server = Rsyslog(tmp_path, certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def hec(certificates):
    with collector(certificates) as made:
        yield made


def by(company, name="tomas"):
    return company.people[name].actor("page", signed_in=JUST_NOW)


def to(company, kind, address="", secret="", trusted=None, **also):
    said = Said(kind, kind, address, secret, trusted.trusted.read_text() if trusted else "")
    return log_export.add(said, by=by(company), **also)


def grow(company, count):
    for number in range(count):
        ledger.record("task.view", by=by(company), on=company.project, facts={"number": number})
    sealed()


def indexes(events):
    return [one["unmapped"]["index"] for one in events if "index" in one["unmapped"]]


def everything():
    return list(range(Entry.objects.count()))


def test_a_real_syslog_server_has_every_entry_once_and_the_signed_root(
    in_acme, syslog, certificates
):
    grow(in_acme, 5)
    to(in_acme, "syslog", syslog.address, trusted=certificates)
    sealed()

    sent = export_tenant()

    taken = syslog.taken()
    assert sent.problems == 0
    assert indexes(taken) == everything()
    newest = Checkpoint.objects.order_by("-size").first()
    assert taken[-1]["unmapped"]["root"] == bytes(newest.root).hex()
    assert taken[-1]["unmapped"]["size"] == newest.size == len(everything())
    first = syslog.file.read_text("utf-8").splitlines()[0]
    assert re.match(
        r"<11[0-9]>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ countersign - 6003 \[\S+ uid=\"", first
    )


def test_a_collector_that_was_busy_gets_it_all_later(in_acme, hec, certificates):
    grow(in_acme, 3)
    added = to(in_acme, "hec", hec.address, TOKEN, certificates)
    hec.refusing = 1

    assert export_tenant().problems == 1
    added.refresh_from_db()
    assert (added.failures, added.next_index) == (1, 0)
    assert "Server is busy" in added.problem
    assert export_tenant().events == 0  # it pauses
    LogDestination.objects.update(tried_at=timezone.now() - timedelta(minutes=1))
    sealed()
    export_tenant()

    added.refresh_from_db()
    assert (added.failures, added.problem) == (0, "")
    events = [one["event"] for one in hec.events]
    assert indexes(events) == everything()
    assert hec.events[0]["time"] == events[0]["time"] / 1000


def test_an_answer_that_never_came_means_once_more_with_the_same_keys(in_acme, hec, certificates):
    grow(in_acme, 3)
    to(in_acme, "hec", hec.address, TOKEN, certificates)
    sealed()
    hec.lost = 1
    export_tenant()
    LogDestination.objects.update(tried_at=timezone.now() - timedelta(minutes=1))
    export_tenant()

    events = [one["event"] for one in hec.events if "index" in one["event"]["unmapped"]]
    assert len(events) == 2 * len(everything())
    assert sorted({one["unmapped"]["index"] for one in events}) == everything()
    assert len({one["metadata"]["uid"] for one in events}) == len(everything())


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        ("token", "403"),
        ("certificate", "CERTIFICATE_VERIFY_FAILED"),
        ("nobody", "does not answer"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(in_acme, hec, certificates, break_it, said):
    grow(in_acme, 1)
    added = to(
        in_acme,
        "hec",
        "https://127.0.0.1:1/" if break_it == "nobody" else hec.address,
        "wrong" if break_it == "token" else TOKEN,
        None if break_it == "certificate" else certificates,
    )
    export_tenant()

    added.refresh_from_db()
    assert said in added.problem
    assert added.next_index == 0
    assert TOKEN not in added.problem


def test_a_file_with_half_a_line_is_mended(in_acme, settings, tmp_path):
    settings.LOG_COPIES_DIR = tmp_path / "copies"
    grow(in_acme, 2)
    added = to(in_acme, "file")
    export_tenant()
    [path] = settings.LOG_COPIES_DIR.iterdir()
    with path.open("ab") as file:
        file.write(b'{"half": "a li')
    grow(in_acme, 2)

    export_tenant()

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert indexes(lines) == everything()
    assert path.name == f"{in_acme.scope.tenant_id}-{added.pk}.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hec", "syslog"])
def test_an_exporter_that_is_killed_again_and_again_loses_nothing(
    acme, hec, syslog, certificates, kind
):
    with tenant_scope(acme.scope):
        grow(acme, 900)
        address, secret = (hec.address, TOKEN) if kind == "hec" else (syslog.address, "")
        to(acme, kind, address, secret, certificates)
    environment = {**os.environ, "DATABASE_ROLE": "app"}
    command = [sys.executable, "manage.py", "export_log", "--follow"]
    for number in range(4):
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment)
        try:
            _wait_until(acme, number)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with tenant_scope(acme.scope):
            grow(acme, 50)
    with tenant_scope(acme.scope):
        LogDestination.objects.update(failures=0)
        export_tenant()
        events = [one["event"] for one in hec.events] if kind == "hec" else syslog.taken()
        assert sorted(set(indexes(events))) == everything()
        assert len(indexes(events)) <= len(everything()) + 4 * 200  # one batch a kill, at most


def _wait_until(acme, number):
    """Until the exporter has sent more than before, or a little longer each time."""
    with tenant_scope(acme.scope):
        before = LogDestination.objects.get().next_index
    for _ in range(200):
        time.sleep(0.05)
        with tenant_scope(acme.scope):
            if LogDestination.objects.get().next_index > before:
                time.sleep(0.01 * number)
                return
    pytest.fail("the exporter sends nothing")


def test_each_round_leaves_a_beat_that_others_can_look_at(acme, tmp_path):
    call_command("export_log", beat=tmp_path / "beat")

    assert (tmp_path / "beat").exists()


def test_from_now_on_leaves_out_what_was(in_acme, hec, certificates):
    grow(in_acme, 4)
    size = Entry.objects.count()
    to(in_acme, "hec", hec.address, TOKEN, certificates, from_now=True)
    sealed()
    export_tenant()

    assert indexes([one["event"] for one in hec.events]) == everything()[size:]


def test_a_secret_does_not_follow_to_another_address(in_acme, hec, certificates, entries):
    added = to(in_acme, "hec", hec.address, TOKEN, certificates)
    assert TOKEN not in added.secret

    with pytest.raises(BadRequest) as refusal:
        log_export.alter(added, Said("hec", "x", "https://elsewhere.example/"), by=by(in_acme))
    assert "secret" in refusal.value.errors
    log_export.alter(added, Said("hec", "renamed", hec.address), by=by(in_acme))
    added.refresh_from_db()
    assert log_export.secret_of(added) == TOKEN
    log_export.remove(added, by=by(in_acme))
    assert [entry for entry in entries(in_acme) if entry[0].startswith("log_export")] == [
        ("log_export.change", "ok"),
        ("log_export.change.refused", "denied"),
        ("log_export.change", "ok"),
        ("log_export.change", "ok"),
    ]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (Said("pigeon", "x"), "kind"),
        (Said("hec", " ", "https://a.example/", "t"), "name"),
        (Said("hec", "x", "a.example", "t"), "address"),
        (Said("hec", "x", "https://a.example/"), "secret"),
        (Said("syslog", "x", "a.example"), "address"),
        (Said("syslog", "x", "a.example:99999"), "address"),
        (Said("file", "x", "/etc/passwd"), "address"),
        (Said("syslog", "x", "a.example:6514", "", "no certificate"), "trusted"),
    ],
)
def test_bad_input_names_the_field(in_acme, said, field):
    with pytest.raises(BadRequest) as refusal:
        log_export.add(said, by=by(in_acme))
    assert field in refusal.value.errors


def test_only_an_admin_says_where_the_log_goes(in_acme, entries):
    with pytest.raises(Denied):
        log_export.add(Said("syslog", "x", "a.example:6514"), by=by(in_acme, "ada"))
    assert entries(in_acme)[-1] == ("log_export.change.denied", "denied")


def test_the_page_shows_how_far_a_copy_is(acme, sign_in, hec, certificates):
    tomas = sign_in(acme, "tomas")
    answer = tomas.post(
        "/settings/log/",
        {
            "kind": "hec",
            "name": "Splunk",
            "address": hec.address,
            "secret": TOKEN,
            "trusted": certificates.trusted.read_text(),
        },
    )
    assert answer.status_code == 302
    assert "not tried yet" in tomas.get("/settings/log/").content.decode()
    with tenant_scope(acme.scope):
        sealed()
        export_tenant()
    page = tomas.get("/settings/log/").content.decode()
    assert "all of them" in page
    assert TOKEN not in page
    wrong = tomas.post("/settings/log/", {"kind": "hec", "name": "", "address": "x"})
    assert wrong.status_code == 422
    assert "expected the collector" in wrong.content.decode()


# The words of OCSF 1.8.0 -----------------------------------------------------------------------

# Required of every event, of both classes, of the objects in them: the published dictionary.
BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
REQUIRED = {
    6003: BASE | {"actor", "api", "src_endpoint"},
    2003: BASE | {"compliance", "finding_info"},
}
ONE_OF = {
    "actor": {"user", "app_name", "app_uid", "process", "session", "iam_role", "invoked_by"},
    "src_endpoint": {"name", "ip", "uid", "hostname", "svc_name"},
}


@pytest.mark.parametrize(
    ("action", "actor", "outcome", "class_uid", "activity"),
    [
        ("task.cancel", "human", "ok", 6003, 3),
        ("recommendation.create", "agent", "ok", 6003, 1),
        ("proposal.view.denied", "human", "denied", 6003, 2),
        ("member.remove", "human", "ok", 6003, 4),
        ("proposal.countersign", "human", "ok", 2003, 1),
        ("proposal.countersign.denied", "human", "denied", 2003, 1),
        ("proposal.reject", "human", "ok", 2003, 1),
        ("tidy", "system", "failed", 6003, 3),
    ],
)
def test_events_hold_what_the_schema_asks_for(in_acme, action, actor, outcome, class_uid, activity):
    leaf = {
        "ts": "2026-11-23T10:00:00.123456Z",
        "tenant": str(in_acme.scope.tenant_id),
        "actor": {"type": actor, "id": "7", "name": "Bo", "on_behalf_of": None},
        "door": "page",
        "action": action,
        "object": {"type": "task", "id": "1"},
        "phase": "result",
        "outcome": outcome,
        "policy": None,
        "run": None,
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    told = event(json.dumps(leaf).encode(), origin="o/acme", index=41, product_version="0.1.0")

    assert (told["class_uid"], told["activity_id"]) == (class_uid, activity)
    assert REQUIRED[class_uid] <= set(told)
    assert told["type_uid"] == class_uid * 100 + activity
    assert told["category_uid"] == class_uid // 1000
    assert told["time"] == 1795428000123
    assert told["metadata"]["uid"] == "o/acme#41"
    assert {"product", "version"} <= set(told["metadata"])
    assert ONE_OF["actor"] & set(told["actor"])
    if class_uid == 6003:
        assert "operation" in told["api"]
        assert ONE_OF["src_endpoint"] & set(told["src_endpoint"])
    else:
        assert "uid" in told["finding_info"]
        assert told["compliance"]["status_id"] == (1 if action == "proposal.countersign" else 3)
    assert ("ai_model" in told) == (actor == "agent") == ("profiles" in told["metadata"])


def test_a_syslog_message_of_a_name_with_quotes_can_be_read():
    told = checkpoint_event(
        origin='o/"x]\\',
        size=1,
        root=b"\0" * 32,
        note="n",
        signed_at=timezone.now(),
        product_version="0.1.0",
    )
    message = syslog_message(told).decode()

    assert 'uid="o/\\"x\\]\\\\@1"]' in message
    assert json.loads(message[message.index("{") :]) == told
