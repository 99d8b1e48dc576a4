"""Signing keys in a real PKCS#11 token: SoftHSM, as Debian has it."""

import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from evidence import ledger
from evidence.keys_here import keys_here
from evidence.models import Checkpoint, LogKey
from evidence.notes import verify_checkpoint
from evidence.pkcs11_keys import TokenKeys
from evidence.recount import recount
from evidence.signing import FileKeys, KeyFault, VerifierKey
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.evidence.keys_contract import ORIGIN, KeysContract

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711"


@pytest.fixture(scope="module", autouse=True)
def token(tmp_path_factory):
    """A token in a folder of its own; the library reads its settings once a process."""
    folder = tmp_path_factory.mktemp("softhsm")
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(conf))
        subprocess.run(
            [
                *("softhsm2-util", "--init-token", "--free", "--label", "test"),
                *("--pin", PIN, "--so-pin", PIN),
            ],
            check=True,
            capture_output=True,
        )
        yield


@pytest.fixture
def keys():
    return TokenKeys(MODULE, "test", PIN)


@pytest.fixture
def reopened():
    return TokenKeys(MODULE, "test", PIN)


class TestTokenKeys(KeysContract):
    """Keys in a token are as good as any."""


def test_of_two_keys_never_put_on_record_none_is_chosen(keys):
    tenant = uuid4()
    first = keys.create(tenant, ORIGIN)
    second = keys.create_next(tenant, ORIGIN)

    assert keys.signer_for(tenant, first.vkey).id != keys.signer_for(tenant, second.vkey).id
    with pytest.raises(KeyFault, match="2 keys"):
        keys.adopt(tenant, ORIGIN)


@pytest.mark.parametrize(
    "broken",
    [
        TokenKeys(MODULE, "test", "0000"),
        TokenKeys(MODULE, "another", PIN),
        TokenKeys("/nowhere/lib.so", "test", PIN),
    ],
    ids=["wrong PIN", "no such token", "no such library"],
)
def test_a_token_that_cannot_be_used_is_a_key_fault_without_the_pin(broken):
    with pytest.raises(KeyFault) as fault:
        broken.create(uuid4(), ORIGIN)

    assert broken.pin not in str(fault.value)
    assert broken.pin not in repr(broken)


@pytest.fixture
def pin(tmp_path):
    path = tmp_path / "pin"
    path.write_text(f"{PIN}\n")
    path.chmod(0o600)
    with override_settings(KEYS_MODULE=MODULE, KEYS_TOKEN="test", KEYS_PIN_FILE=path):
        yield


def test_a_log_moves_from_files_to_the_token(acme, tmp_path, pin):
    assert isinstance(keys_here(), TokenKeys)
    folder, by = tmp_path / "keys", system_actor("an operator", "cli")
    with tenant_scope(acme.scope):
        ledger.record("test.note", by=by, on=acme.project)
        old = ledger.seal(FileKeys(folder))

    call_command("rotate_log_key", acme.host, reason="a token", from_files=folder)

    for path in folder.iterdir():
        path.unlink()
    with tenant_scope(acme.scope):
        ledger.record("test.note", by=by, on=acme.project)
        head = ledger.seal(keys_here())
        first, second = (VerifierKey.parse(t.vkey) for t in LogKey.objects.order_by("valid_from"))
        announced = Checkpoint.objects.get(size=LogKey.objects.get(vkey=str(second)).valid_from)
        assert verify_checkpoint(old.note, first).size == old.size
        assert verify_checkpoint(announced.note, first).size > old.size
        assert verify_checkpoint(head.note, second).size == head.size
        assert len(ledger.key_terms(head)) == 2
        assert recount().checkpoints == 3


def test_a_log_whose_key_is_not_in_the_files_stays_as_it_is(acme, tmp_path, pin):
    by = system_actor("an operator", "cli")
    with tenant_scope(acme.scope):
        ledger.record("test.note", by=by, on=acme.project)
        sealed = ledger.seal(FileKeys(tmp_path / "keys"))

    with pytest.raises(CommandError, match="restore it from a backup"):
        call_command("rotate_log_key", acme.host, reason="x", from_files=tmp_path / "empty")

    with tenant_scope(acme.scope):
        assert LogKey.objects.count() == 1
        ledger.record("test.note", by=by, on=acme.project)
        assert ledger.seal(FileKeys(tmp_path / "keys")).size == sealed.size + 1


def test_a_pin_that_others_can_read_is_refused(tmp_path):
    pin = tmp_path / "pin"
    pin.write_text(PIN)
    pin.chmod(0o644)

    with (
        override_settings(KEYS_MODULE=MODULE, KEYS_PIN_FILE=pin),
        pytest.raises(KeyFault, match="open to other accounts"),
    ):
        keys_here()
    with (
        override_settings(KEYS_MODULE=MODULE, KEYS_PIN_FILE=None),
        pytest.raises(KeyFault, match="needs KEYS_PIN_FILE"),
    ):
        keys_here()


def test_files_are_used_unless_a_module_is_named(tmp_path):
    with override_settings(KEYS_MODULE="", KEYS_DIR=tmp_path):
        assert keys_here() == FileKeys(Path(tmp_path))
    with (
        override_settings(KEYS_MODULE="", KEYS_DIR=None),
        pytest.raises(RuntimeError, match="only the evidence worker"),
    ):
        keys_here()
