"""Proofs of a log without reading all of it; keys that follow each other."""

from base64 import b64decode

import pytest
from django.core.management import call_command
from django.test import override_settings

from authz import log_keys
from evidence import ledger, subtrees
from evidence.merkle import (
    inclusion_path,
    inclusion_proof,
    leaf_hash,
    root_from_inclusion,
    verify_consistency,
)
from evidence.models import Checkpoint, Entry, LogKey, StagedEntry, SubtreeRoot
from evidence.notes import InclusionProof, NoteFault, parse_proof, verify_checkpoint, write_proof
from evidence.recount import LogBroken, recount
from evidence.signing import FileKeys, KeyFault, VerifierKey
from tenants.actor import system_actor
from tenants.scope import tenant_scope

BY = system_actor("test", "cli")


@pytest.fixture
def keys(tmp_path):
    return FileKeys(tmp_path / "keys")


def _grow(company, count):
    for number in range(count):
        ledger.record("test.note", by=BY, on=company.project, facts={"number": number})


def test_proofs_that_read_subtrees_are_those_of_the_whole_log(
    in_acme, keys, django_assert_max_num_queries
):
    _grow(in_acme, 300)
    first = ledger.seal(keys)
    _grow(in_acme, 300)
    head = ledger.seal(keys)
    hashes = ledger.leaf_hashes(head.size)

    assert list(SubtreeRoot.objects.values_list("level", "index")) == [(1, 0), (1, 1)]
    for index in (0, 255, 256, 511, 512, head.size - 1):
        entry = Entry.objects.get(index=index)
        with django_assert_max_num_queries(5):
            found = ledger.proof(entry, head)
        assert found == inclusion_proof(index, hashes)
    for old in (1, 256, first.size, 512, head.size):
        root = bytes(first.root) if old == first.size else None
        found = ledger.consistency(old, head)
        if root:
            assert verify_consistency(old, head.size, root, bytes(head.root), found)


def test_a_log_from_before_there_were_subtrees_catches_up(in_acme, keys, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(subtrees, "keep_up", lambda size: None)
        _grow(in_acme, 520)
        ledger.seal(keys)
    assert SubtreeRoot.objects.count() == 0

    _grow(in_acme, 1)
    ledger.seal(keys)

    assert SubtreeRoot.objects.count() == 2


def test_a_new_key_signs_from_its_index_on_and_the_old_one_stands_by_it(in_acme, keys):
    _grow(in_acme, 3)
    ledger.seal(keys)
    old = VerifierKey.parse(LogKey.objects.get().vkey)

    key = log_keys.rotate(keys, "once a year", by=BY)
    _grow(in_acme, 2)
    after = ledger.seal(keys)

    new = VerifierKey.parse(key.vkey)
    last_of_old = Checkpoint.objects.get(size=key.valid_from)
    assert verify_checkpoint(last_of_old.note, old).size == key.valid_from
    assert verify_checkpoint(after.note, new).size == after.size
    with pytest.raises(NoteFault):
        verify_checkpoint(after.note, old)
    announced = Entry.objects.get(action="log_key.rotate")
    assert announced.index < key.valid_from
    # In the leaf itself, so that erasing facts cannot take it away.
    assert announced.said["object"] == {
        "type": "logkey",
        "id": key.vkey.removeprefix(f"{new.name}+"),
    }
    assert recount().size == after.size


def test_a_head_signed_by_a_key_whose_time_was_over_does_not_hold(in_acme, keys):
    _grow(in_acme, 3)
    ledger.seal(keys)
    old = LogKey.objects.get()
    log_keys.rotate(keys, "seen by somebody", by=BY)
    _grow(in_acme, 1)
    old_signer = keys.signer_for(in_acme.scope.tenant_id, old.vkey)
    real = ledger.signer
    ledger.signer = lambda _keys: old_signer
    try:
        ledger.seal(keys)
    finally:
        ledger.signer = real

    with pytest.raises(LogBroken, match="head over"):
        recount()


def test_rotating_twice_keeps_every_key(in_acme, keys):
    _grow(in_acme, 1)
    ledger.seal(keys)
    for _ in range(2):
        log_keys.rotate(keys, "again", by=BY)
        _grow(in_acme, 1)
        ledger.seal(keys)

    assert LogKey.objects.count() == 3
    assert len(list(keys.folder.glob("*.pem"))) == 3
    for key in LogKey.objects.all():
        assert keys.signer_for(in_acme.scope.tenant_id, key.vkey).vkey == key.vkey
    recount()


def test_a_log_without_entries_hands_nothing_over(in_acme, keys):
    made = keys.create_next(in_acme.scope.tenant_id, "x")
    StagedEntry.objects.all().delete()

    with pytest.raises(KeyFault, match="empty"):
        ledger.hand_over(keys, made)


def test_an_operator_rotates_by_command(acme, tmp_path, capsys):
    keys = FileKeys(tmp_path / "keys")
    with tenant_scope(acme.scope):
        _grow(acme, 1)
        ledger.seal(keys)

    with override_settings(KEYS_DIR=keys.folder):
        call_command("rotate_log_key", acme.host, "--reason", "drill")

    with tenant_scope(acme.scope):
        newest = LogKey.objects.order_by("-valid_from").first()
    assert newest.vkey in capsys.readouterr().out


def test_the_api_gives_proofs_that_verify_outside(acme, keys, sign_in):
    with tenant_scope(acme.scope):
        _grow(acme, 9)
        first = ledger.seal(keys)
        _grow(acme, 5)
        head = ledger.seal(keys)
        key = VerifierKey.parse(LogKey.objects.get().vkey)
        entry = Entry.objects.get(index=4)
    iris = sign_in(acme, "iris")

    said = iris.get("/api/v1/log/entries/4/proof").content
    old = iris.get(f"/api/v1/log/entries/4/proof?size={first.size}").content
    lines, _, note = (
        iris.get(f"/api/v1/log/consistency?old={first.size}").content.decode().partition("\n\n")
    )
    listed = iris.get("/api/v1/log/checkpoints").json()

    for text, size in ((said, head.size), (old, first.size)):
        proof = parse_proof(text)
        signed = verify_checkpoint(proof.checkpoint_note, key)
        root = root_from_inclusion(4, size, leaf_hash(bytes(entry.leaf)), list(proof.hashes))
        assert (signed.size, signed.root) == (size, root)
    hashes = [b64decode(line) for line in lines.splitlines()]
    newest = verify_checkpoint(note, key)
    assert verify_consistency(first.size, head.size, bytes(first.root), newest.root, hashes)
    assert [one["size"] for one in listed["items"]] == [head.size, first.size]
    assert {one["state"] for one in listed["items"]} == {"LOCAL"}
    assert iris.get(f"/api/v1/log/checkpoints/{first.size}").content.decode() == first.note


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("entries/99999/proof", 404),
        ("checkpoints/99999", 404),
        ("consistency?old=99999", 409),
        ("consistency?old=0", 422),
        ("consistency", 422),
        ("entries/0/proof?size=99999", 404),
    ],
)
def test_what_the_log_never_had_cannot_be_proved(acme, keys, sign_in, address, status):
    with tenant_scope(acme.scope):
        ledger.seal(keys)

    assert sign_in(acme, "iris").get(f"/api/v1/log/{address}").status_code == status


def test_a_proof_in_a_million_entries_is_small():
    # Its size follows from the tree's depth; the hashes themselves do not matter.
    hashes = inclusion_path(777_777, 1_000_000, lambda level, index: bytes(32))
    note = "countersign/acme/x\n1000000\n" + "A" * 44 + "\n\n" + ("— w " + "A" * 104 + "\n") * 3

    assert len(hashes) <= 20
    assert len(write_proof(InclusionProof(777_777, tuple(hashes), note))) <= 2_000
