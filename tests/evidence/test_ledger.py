"""The ledger of a tenant: committed with the change, placed once, signed."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.db import connection, transaction

from authz.people import AsTenant
from evidence import ledger
from evidence.merkle import leaf_hash, root_from_inclusion, tree_root
from evidence.models import Checkpoint, Entry, LogHead, Payload, StagedEntry
from evidence.notes import verify_checkpoint
from evidence.signing import FileKeys, KeyLost, VerifierKey
from tenants.actor import system_actor
from tenants.scope import tenant_scope


@pytest.fixture
def keys(tmp_path):
    return FileKeys(tmp_path / "keys")


def _record(company, count=1, **facts):
    for number in range(count):
        ledger.record(
            "test.note",
            by=system_actor("test", "cli"),
            on=AsTenant(company.scope.tenant_id),
            facts={"number": number, **facts},
        )


def test_an_entry_is_undone_with_its_transaction(in_acme):
    before = StagedEntry.objects.count()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        _record(in_acme)
        raise ZeroDivisionError

    assert StagedEntry.objects.count() == before


def test_sealing_gives_every_entry_one_place_without_gaps(in_acme, keys):
    _record(in_acme, 7)

    checkpoint = ledger.seal(keys)

    assert list(Entry.objects.values_list("index", flat=True)) == list(range(checkpoint.size))
    assert StagedEntry.objects.count() == 0


def test_the_signed_root_is_the_root_over_the_stored_bytes(in_acme, keys):
    _record(in_acme, 5)
    ledger.seal(keys)
    _record(in_acme, 9)

    checkpoint = ledger.seal(keys)

    leaves = [bytes(entry.leaf) for entry in Entry.objects.all()]
    assert bytes(checkpoint.root) == tree_root([leaf_hash(leaf) for leaf in leaves])
    key = VerifierKey.parse(ledger.signer(keys).vkey)
    signed = verify_checkpoint(checkpoint.note, key)
    assert (signed.origin, signed.size) == (ledger.origin_of(in_acme.scope), checkpoint.size)


def test_every_entry_can_be_proved_to_stand_under_the_checkpoint(in_acme, keys):
    _record(in_acme, 6)
    checkpoint = ledger.seal(keys)

    for entry in Entry.objects.all():
        path = ledger.proof(entry, checkpoint)
        root = root_from_inclusion(entry.index, checkpoint.size, bytes(entry.leaf_hash), path)
        assert root == bytes(checkpoint.root)


def test_sealing_twice_signs_once(in_acme, keys):
    _record(in_acme)

    first, second = ledger.seal(keys), ledger.seal(keys)

    assert first.pk == second.pk
    assert Checkpoint.objects.count() == 1


def test_facts_lie_outside_the_tree_under_a_salted_commitment(in_acme, keys):
    _record(in_acme, secret="ada's phone number")
    ledger.seal(keys)

    entry = Entry.objects.order_by("-index").first()

    assert b"phone" not in bytes(entry.leaf)
    assert Payload.objects.get(pk=entry.pk).facts["secret"] == "ada's phone number"


def test_a_lost_key_is_an_error_not_a_new_key(in_acme, keys, tmp_path):
    _record(in_acme)
    ledger.seal(keys)
    _record(in_acme)

    with pytest.raises(KeyLost):
        ledger.seal(FileKeys(tmp_path / "somewhere else"))

    assert StagedEntry.objects.count() == 1


def test_sequencers_in_parallel_place_every_entry_once(acme, keys):
    def work():
        with tenant_scope(acme.scope):
            for _ in range(5):
                _record(acme, 4)
                ledger.seal(keys)
        connection.close()

    with tenant_scope(acme.scope):
        ledger.seal(keys)
        before = LogHead.objects.get().size
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with tenant_scope(acme.scope):
        assert LogHead.objects.get().size == before + 80
        assert list(Entry.objects.values_list("index", flat=True)) == list(range(before + 80))


SEAL_AND_DIE = """
import os, sys, django
django.setup()
from evidence import ledger
from evidence.signing import FileKeys
from tenants.scope import scope_of_host, tenant_scope
from pathlib import Path
ledger._sign = lambda *_: os.kill(os.getpid(), 9)
with tenant_scope(scope_of_host(sys.argv[1])):
    ledger.seal(FileKeys(Path(sys.argv[2])))
"""


def test_a_sequencer_killed_before_it_signs_leaves_everything_staged(in_acme, keys, tmp_path):
    _record(in_acme, 3)
    waiting = StagedEntry.objects.count()

    died = subprocess.run(
        [sys.executable, "-c", SEAL_AND_DIE, in_acme.host, str(keys.folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ,
        check=False,
    )

    assert died.returncode == -9
    assert StagedEntry.objects.count() == waiting
    assert Entry.objects.count() == 0
    assert ledger.seal(keys).size == waiting
