"""Facts go when their time is over; leaves and proofs stay."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from authz import retention
from authz.errors import BadRequest, Denied
from evidence import ledger
from evidence.models import DecisionRecord, Entry, Payload
from evidence.recount import recount
from evidence.shipping import ship
from evidence.signing import FileKeys
from evidence.spool import Spool
from tenants.actor import system_actor
from tenants.scope import tenant_scope, tenants_with_evidence_work

BY = system_actor("test", "cli")


@pytest.fixture
def later(monkeypatch):
    """The clock of the retention, some days on."""

    def move(days):
        now = timezone.now() + timedelta(days=days)
        monkeypatch.setattr(retention.timezone, "now", lambda: now)

    return move


@pytest.fixture
def sealed(in_acme, tmp_path):
    ledger.record("test.note", by=BY, on=in_acme.project, facts={"phone": "0123"})
    kept = {"digest": "ab"}
    ledger.record("proposal.countersign", by=BY, on=in_acme.project, facts=kept)
    ledger.seal(FileKeys(tmp_path / "keys"))
    return in_acme


def test_ninety_days_is_the_least_and_what_is_set_is_on_record(sealed, entries):
    with pytest.raises(BadRequest, match="90"):
        retention.keep_for(89, "cheaper", by=BY)

    retention.keep_for(90, "contract", by=BY)

    assert retention.days_kept() == 90
    assert entries(sealed)[-1] == ("retention.change", "ok")


@pytest.mark.parametrize("name", ["ada", "bo", "iris"])
def test_only_an_admin_of_the_tenant_says_how_long(sealed, name):
    with pytest.raises(Denied):
        retention.keep_for(90, "x", by=sealed.people[name].actor("page"))

    retention.keep_for(120, "x", by=sealed.people["tomas"].actor("page"))
    assert retention.days_kept() == 120


def test_nothing_goes_before_its_time(sealed, later):
    retention.keep_for(90, "contract", by=BY)
    later(89)

    assert retention.apply(by=BY) == 0


def test_facts_go_with_their_salts_and_the_log_proves_the_same(sealed, later, tmp_path, entries):
    retention.keep_for(90, "contract", by=BY)
    note, signed = (Entry.objects.get(action=a) for a in ("test.note", "proposal.countersign"))
    before, leaf = recount(), bytes(note.leaf)
    later(91)

    assert retention.apply(by=BY) > 1

    assert recount() == before
    assert bytes(Entry.objects.get(pk=note.pk).leaf) == leaf
    assert not Payload.objects.filter(pk=note.pk).exists()
    # What was countersigned must stay provable.
    assert Payload.objects.get(pk=signed.pk).facts == {"digest": "ab"}
    assert entries(sealed)[-1] == ("retention.apply", "ok")
    assert retention.apply(by=BY) == 0


def test_decisions_go_too(acme, later, tmp_path):
    spool = Spool(tmp_path / "spool")
    read = {
        **dict.fromkeys(("actor_type", "actor_id", "door", "action", "object_type"), "x"),
        **dict.fromkeys(("object_id", "outcome", "policy_digest", "revision", "trace"), "x"),
    }
    at = (timezone.now() - timedelta(days=100)).isoformat()
    record = {**read, "relation_path": [], "at": at, "latency_ms": 1}
    spool.append([(acme.scope.tenant_id, record)])
    ship(spool.folder)
    assert acme.scope.tenant_id in tenants_with_evidence_work("expired")

    with tenant_scope(acme.scope):
        retention.keep_for(90, "contract", by=BY)
        retention.apply(by=BY)

        assert DecisionRecord.objects.count() == 0


def test_an_operator_sets_it_by_command(acme, capsys):
    call_command("keep_facts", acme.host, "--days", "365", "--reason", "contract")
    with pytest.raises(CommandError, match="90"):
        call_command("keep_facts", acme.host, "--days", "7")

    assert "365 days" in capsys.readouterr().out
