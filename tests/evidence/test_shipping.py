"""From the spool into PostgreSQL: once each, in order, bound to the ledger, gaps named."""

import json
from hashlib import sha256

import pytest

from evidence.models import DecisionRecord, StagedEntry
from evidence.shipping import ship
from evidence.spool import FIRST, Spool, read_frames
from tenants.scope import tenant_scope

RECORD = {
    "at": "2026-11-23T12:00:00+00:00",
    "actor_type": "human",
    "actor_id": "ada",
    "door": "page",
    "action": "ledger.view",
    "object_type": "tenant",
    "object_id": "7",
    "outcome": "ok",
    "policy_digest": "ab",
    "relation_path": ["grant"],
    "revision": "12",
    "latency_ms": 0.25,
    "trace": "0af7651916cd43dd8448eb211c80319c",
}


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def _append(spool, company, count, **also):
    spool.append([(company.scope.tenant_id, {**RECORD, **also, "n": n}) for n in range(count)])


def _arrived(company):
    with tenant_scope(company.scope):
        return list(DecisionRecord.objects.order_by("writer", "seq"))


def _leaves(company, action):
    with tenant_scope(company.scope):
        staged = [
            (json.loads(bytes(one.leaf)), json.loads(bytes(one.payload)))
            for one in StagedEntry.objects.exclude(payload=None).order_by("id")
        ]
    return [(leaf, facts) for leaf, facts in staged if leaf["action"] == action]


def test_a_record_arrives_with_every_field_and_once(acme, spool):
    _append(spool, acme, 3)

    first, again = ship(spool.folder), ship(spool.folder)

    assert (first.records, again.records) == (3, 0)
    row = _arrived(acme)[0]
    assert (row.writer, row.seq, row.actor_id, row.action) == (
        spool.writer,
        0,
        "ada",
        "ledger.view",
    )
    assert (row.outcome, row.policy_digest, row.relation_path) == ("ok", "ab", ["grant"])
    assert (row.revision, row.latency_ms, row.trace) == ("12", 0.25, RECORD["trace"])


def test_each_tenant_gets_its_own_records_and_an_entry_that_names_the_head(acme, globex, spool):
    _append(spool, acme, 4)
    _append(spool, globex, 2)
    _append(spool, acme, 1)

    ship(spool.folder)

    assert [row.seq for row in _arrived(acme)] == list(range(5))
    assert [row.seq for row in _arrived(globex)] == [0, 1]
    ((leaf, facts),) = _leaves(acme, "decision.batch")
    head = FIRST
    for row in _arrived(acme):
        assert json.loads(bytes(row.body))["prev"] == head
        head = sha256(bytes(row.body)).hexdigest()
    assert facts == {"from": 0, "to": 4, "count": 5, "head": head}
    assert leaf["object"] == {"type": "decisionwriter", "id": spool.writer}


def test_records_that_come_twice_or_after_a_lost_cursor_stand_once(acme, spool):
    _append(spool, acme, 3)
    ship(spool.folder)
    for cursor in spool.folder.glob("*.at"):
        cursor.unlink()
    _append(spool, acme, 2)

    ship(spool.folder)

    assert [row.seq for row in _arrived(acme)] == list(range(5))
    assert len(_leaves(acme, "decision.batch")) == 2


def test_missing_numbers_become_a_gap_in_the_ledger(acme, spool):
    _append(spool, acme, 2)
    (path,) = spool.folder.glob("*.spool")
    kept = path.read_bytes()
    _append(spool, acme, 3)
    lost = path.read_bytes()[len(kept) :]
    frames = [record.end - len(kept) for record in read_frames(path, len(kept))]
    path.write_bytes(kept + lost[frames[1] :])

    assert ship(spool.folder).gaps == 1

    ((leaf, facts),) = _leaves(acme, "decision.gap")
    assert (leaf["phase"], leaf["outcome"]) == ("gap", "failed")
    assert (facts["from"], facts["to"], facts["writer"]) == (2, 3, spool.writer)
    assert [row.seq for row in _arrived(acme)] == [0, 1, 4]


def test_a_changed_record_breaks_the_chain_and_is_named(acme, spool):
    _append(spool, acme, 1)
    (path,) = spool.folder.glob("*.spool")
    other = Spool(spool.folder / "elsewhere")
    other.writer = spool.writer
    other.append([(acme.scope.tenant_id, {**RECORD, "actor_id": "somebody else"})])
    _append(spool, acme, 1)
    whole = path.read_bytes()
    ((first, second),) = [tuple(read_frames(path))]
    (forged,) = (spool.folder / "elsewhere").glob("*.spool")
    path.write_bytes(forged.read_bytes() + whole[first.end :])
    assert second.said["prev"] == first.digest

    ship(spool.folder)

    ((_, facts),) = _leaves(acme, "decision.gap")
    assert "not what it names" in facts["reason"]


def test_a_file_goes_when_its_writer_is_gone_and_all_of_it_has_arrived(acme, spool):
    _append(spool, acme, 2)
    ship(spool.folder)
    assert len(list(spool.folder.iterdir())) == 2  # the file, and how far it was read

    spool.close()
    assert ship(spool.folder).files == 1

    assert list(spool.folder.iterdir()) == []


def test_what_a_killed_writer_left_half_written_is_no_gap(acme, spool):
    _append(spool, acme, 2)
    (path,) = spool.folder.glob("*.spool")
    spool.close()
    path.write_bytes(path.read_bytes() + b"\x00\x00\x01\x00half")

    shipped = ship(spool.folder)

    assert (shipped.records, shipped.gaps, shipped.files) == (2, 0, 1)


def test_a_damaged_file_is_put_aside_and_named_in_every_tenant_it_speaks_of(acme, globex, spool):
    _append(spool, acme, 1)
    _append(spool, globex, 1)
    _append(spool, acme, 1)
    (path,) = spool.folder.glob("*.spool")
    spool.close()
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)

    assert ship(spool.folder).gaps == 2

    for company in (acme, globex):
        ((_, facts),) = _leaves(company, "decision.gap")
        assert facts["reason"] == "the spool is damaged"
    assert [path.suffix for path in spool.folder.iterdir()] == [".damaged"]


def test_trouble_with_one_file_keeps_no_other_waiting(acme, spool, tmp_path):
    nobody = Spool(spool.folder)
    nobody.writer = "0" * 32  # read first
    nobody.append([(acme.project.pk, RECORD)])  # no tenant has this id
    _append(spool, acme, 1)

    with pytest.raises(ExceptionGroup, match="1 spools"):
        ship(spool.folder)

    assert len(_arrived(acme)) == 1
