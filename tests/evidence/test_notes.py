"""Signed notes, against the format's own examples and another implementation."""

import aics_tlog
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.notes import (
    Checkpoint,
    InclusionProof,
    NoteFault,
    cosign,
    parse_checkpoint,
    parse_note,
    parse_proof,
    sign_checkpoint,
    sign_note,
    verify_checkpoint,
    verify_note,
    write_proof,
)
from evidence.signing import COSIGNATURE, VerifierKey
from tests.evidence.verifier_corpus import ORIGIN, TENANT, signer_named

LOG = signer_named(ORIGIN)
KEY = VerifierKey.parse(LOG.vkey)
WITNESS = signer_named("witness.example/w1", seed=2)
WITNESS_KEY = VerifierKey(WITNESS.name, VerifierKey.parse(WITNESS.vkey).public_key, COSIGNATURE)
ROOT = bytes(range(32))
NOTE = sign_checkpoint(ORIGIN, 41, ROOT, LOG)


def test_a_checkpoint_is_three_lines_and_a_signature_of_its_origin():
    lines = NOTE.split("\n")

    assert lines[:2] == [ORIGIN, "41"]
    assert lines[3] == ""
    assert lines[4].startswith(f"\N{EM DASH} {ORIGIN} ")
    assert verify_checkpoint(NOTE, KEY) == Checkpoint(ORIGIN, 41, ROOT)


def test_another_implementation_verifies_our_checkpoint_and_we_verify_its_own():
    other_key = aics_tlog.parse_vkey(LOG.vkey)

    result = aics_tlog.verify_checkpoint(aics_tlog.parse_note(NOTE), other_key)
    theirs = aics_tlog.sign_checkpoint(
        aics_tlog.Checkpoint(ORIGIN, 41, ROOT), LOG.private_key, ORIGIN
    )

    assert result.ok
    assert verify_checkpoint(theirs.serialise(), KEY).size == 41


def test_the_witness_line_is_the_one_of_the_cosignature_format():
    note = cosign(NOTE, WITNESS, at=1_763_874_000)

    _, signed_by = verify_note(note, [KEY, WITNESS_KEY])

    assert signed_by == [KEY, WITNESS_KEY]
    line = aics_tlog.parse_note(note).signatures[-1]
    assert aics_tlog.verify_cosignature(
        line.signature, WITNESS.name, WITNESS_KEY.public_key, ORIGIN, 41, ROOT
    )


def test_a_witness_that_saw_another_head_is_not_accepted():
    other = sign_checkpoint(ORIGIN, 42, ROOT, LOG)
    line = cosign(other, WITNESS, at=1).removeprefix(other)

    with pytest.raises(NoteFault, match="does not fit"):
        verify_note(NOTE + line, [KEY, WITNESS_KEY])


def test_the_key_of_another_tenant_does_not_verify():
    stranger = VerifierKey.parse(signer_named(ORIGIN, seed=3).vkey)

    with pytest.raises(NoteFault, match="not signed by any"):
        verify_checkpoint(NOTE, stranger)


def test_a_key_signs_heads_of_its_own_log_only():
    other = f"countersign/umbrella/{TENANT}"

    with pytest.raises(NoteFault, match="may not sign"):
        sign_checkpoint(other, 1, ROOT, LOG)
    with pytest.raises(NoteFault, match="another log"):
        verify_checkpoint(sign_note(Checkpoint(other, 1, ROOT).body, LOG), KEY)


def test_a_changed_text_no_longer_fits_its_signature():
    with pytest.raises(NoteFault, match="does not fit"):
        verify_checkpoint(NOTE.replace("\n41\n", "\n42\n"), KEY)


def test_lines_of_unknown_keys_are_ignored():
    note = sign_note(Checkpoint(ORIGIN, 41, ROOT).body, signer_named("someone.example", 4), LOG)

    assert verify_checkpoint(note, KEY).size == 41


def test_a_key_is_written_and_read_back():
    assert str(VerifierKey.parse(LOG.vkey)) == LOG.vkey
    assert LOG.vkey.split("+")[1] == KEY.key_id == KEY.key_hash.hex()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        LOG.vkey.replace(KEY.key_id, "00000000"),
        LOG.vkey.replace("acme", "umbrella"),
        LOG.vkey[:-4],
        LOG.vkey + "!",
    ],
)
def test_a_malformed_key_is_refused(text):
    with pytest.raises(ValueError, match=r"key|type"):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"text only\n",
        b"text\n\nno signature line\n",
        NOTE.encode()[:-1],
        NOTE.encode().replace(b"\n41\n", b"\n4\x001\n"),
        NOTE.encode() + b"\xff\n",
        NOTE.replace("\N{EM DASH}", "-").encode(),
        (Checkpoint(ORIGIN, 41, ROOT).body + "\n" + NOTE.split("\n\n")[1] * 17).encode(),
    ],
)
def test_a_malformed_note_is_refused(note):
    with pytest.raises(NoteFault):
        parse_note(note)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n1\n",
        "origin\n01\n" + "A" * 43 + "=\n",
        "origin\n-1\n" + "A" * 43 + "=\n",
        "\n1\n" + "A" * 43 + "=\n",
        "origin\n1\nAAAA\n",
        "origin\n1\n" + "A" * 43 + "=\nextension\n",
        "origin\n1\n" + "A" * 42 + "B=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text):
    with pytest.raises(NoteFault):
        parse_checkpoint(text)


@given(
    st.integers(0, 2**53),
    st.lists(st.binary(min_size=32, max_size=32), max_size=60),
    st.one_of(st.none(), st.binary(max_size=80)),
)
def test_a_proof_file_is_read_back_as_it_was_written(index, hashes, extra):
    proof = InclusionProof(index, tuple(hashes), NOTE, extra)

    assert parse_proof(write_proof(proof)) == proof


def test_a_proof_file_has_the_shape_that_the_format_gives():
    proof = InclusionProof(7, (ROOT,), NOTE)

    text = write_proof(proof)

    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 7\nAAECAwQF")
    assert text.endswith("\n\n" + NOTE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nindex 00\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\n" + NOTE,
        "c2sp.org/tlog-proof@v1\nextra ?\nindex 0\n\n" + NOTE,
    ],
)
def test_a_malformed_proof_file_is_refused(text):
    with pytest.raises(NoteFault):
        parse_proof(text)
