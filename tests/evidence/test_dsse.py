"""Envelopes: what is signed, by whom, over which statement."""

import json

import pytest

from evidence.dsse import (
    EnvelopeFault,
    Subject,
    open_envelope,
    pre_authentication,
    pull_request_subjects,
    sign_envelope,
    statement,
)
from evidence.signing import VerifierKey
from tests.evidence.verifier_corpus import ORIGIN, signer_named

SIGNER = signer_named(ORIGIN)
KEY = VerifierKey.parse(SIGNER.vkey)
STATEMENT = statement([Subject("diff.patch", {"sha256": "00" * 32})], "urn:x", {"a": 1})


def test_the_signed_bytes_are_those_of_the_published_example():
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_statement_comes_back_out_of_its_envelope():
    assert open_envelope(sign_envelope(STATEMENT, SIGNER), [KEY]) == STATEMENT


def test_an_envelope_names_its_key_by_eight_hex_digits():
    fields = json.loads(sign_envelope(STATEMENT, SIGNER))

    assert fields["signatures"][0]["keyid"] == KEY.key_id
    assert fields["payloadType"] == "application/vnd.in-toto+json"


def test_an_envelope_of_another_key_is_refused():
    envelope = sign_envelope(STATEMENT, signer_named(ORIGIN, seed=2))

    with pytest.raises(EnvelopeFault, match="not signed by any"):
        open_envelope(envelope, [KEY])


def test_a_changed_payload_is_refused():
    fields = json.loads(sign_envelope(STATEMENT, SIGNER))
    fields["payload"] = json.loads(sign_envelope(b"{}", SIGNER))["payload"]

    with pytest.raises(EnvelopeFault, match="not signed by any"):
        open_envelope(json.dumps(fields).encode(), [KEY])


@pytest.mark.parametrize("envelope", [b"", b"[]", b"{}", b'{"payload":1}', b"\xff"])
def test_what_is_no_envelope_is_refused(envelope):
    with pytest.raises(EnvelopeFault):
        open_envelope(envelope, [KEY])


def test_a_statement_without_a_subject_is_refused():
    with pytest.raises(ValueError, match="subject"):
        statement([], "urn:x", {})


def test_a_pull_request_is_named_by_its_head_and_by_its_diff():
    subjects = pull_request_subjects("a/b", 7, commit="1f", tree="2e", diff_sha256="00")

    assert [dict(subject.digest) for subject in subjects] == [
        {"gitCommit": "1f", "gitTree": "2e"},
        {"sha256": "00"},
    ]
