"""Keys in files: made once, closed to others, never made again behind anybody's back."""

import os
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from evidence.signing import FileKeys, KeyFault, KeyLost
from tests.evidence.keys_contract import KeysContract

ACME = UUID(int=1)
ORIGIN = f"countersign/acme/{ACME}"


@pytest.fixture
def keys(tmp_path):
    return FileKeys(tmp_path / "keys")


@pytest.fixture
def reopened(keys):
    return FileKeys(keys.folder)


class TestFileKeys(KeysContract):
    """Keys in files are as good as any."""


def test_only_the_owner_can_read_the_file_of_a_key(keys):
    keys.create(ACME, ORIGIN)

    path = keys.folder / f"{ACME}.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.folder.stat().st_mode & 0o777 == 0o700


def test_a_lost_key_is_named_and_never_replaced(keys):
    made = keys.create(ACME, ORIGIN)
    path = keys.folder / f"{ACME}.pem"
    path.unlink()

    with pytest.raises(KeyLost, match="restore it from a backup"):
        keys.signer_for(ACME, made.vkey)
    assert not path.exists()


def test_a_file_that_holds_another_key_than_the_one_on_record_is_refused(keys):
    made = keys.create(ACME, ORIGIN)
    (keys.folder / f"{ACME}.pem").unlink()
    keys.create(ACME, ORIGIN)

    with pytest.raises(KeyFault, match="holds another key"):
        keys.signer_for(ACME, made.vkey)


def test_a_key_that_others_can_read_is_refused(keys):
    made = keys.create(ACME, ORIGIN)
    os.chmod(keys.folder / f"{ACME}.pem", 0o640)

    with pytest.raises(KeyFault, match="open to other accounts"):
        keys.signer_for(ACME, made.vkey)


def test_a_damaged_file_is_refused(keys):
    made = keys.create(ACME, ORIGIN)
    (keys.folder / f"{ACME}.pem").write_bytes(b"not a key")

    with pytest.raises(KeyFault, match="readable private key"):
        keys.signer_for(ACME, made.vkey)


def test_a_key_of_another_kind_is_refused(keys):
    made = keys.create(ACME, ORIGIN)
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (keys.folder / f"{ACME}.pem").write_bytes(pem)

    with pytest.raises(KeyFault, match="not Ed25519"):
        keys.signer_for(ACME, made.vkey)


def test_an_origin_that_no_note_can_carry_leaves_no_file_behind(keys):
    with pytest.raises(ValueError, match="cannot name a key"):
        keys.create(ACME, "a plus + sign")
    assert not keys.folder.exists()


def test_a_signer_does_not_show_its_private_key(keys):
    made = keys.create(ACME, ORIGIN)

    assert made.private_key.private_bytes_raw().hex() not in repr(made)
    assert repr(made) == f"KeySigner('{made.vkey}')"
