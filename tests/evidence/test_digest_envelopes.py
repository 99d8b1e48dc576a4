"""Envelopes that are signed by the digest of what they hold, as the product and the verifier,
which share no code, open them."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.dsse import (
    DIGEST_TYPE,
    PAYLOAD_TYPE,
    EnvelopeFault,
    Subject,
    open_envelope,
    pre_authentication,
    sign_envelope,
    statement,
)
from evidence.signing import VerifierKey
from tests.evidence.verifier_corpus import (
    ORIGIN,
    Rejected,
    built,
    canonical,
    envelope,
    parse_key,
    short_signer,
    signer_named,
    unpacked,
)

WHOLE, SHORT = signer_named(ORIGIN), short_signer()  # one key
LIMIT = SHORT.longest
TYPES = {DIGEST_TYPE: PAYLOAD_TYPE, PAYLOAD_TYPE: DIGEST_TYPE}


def said_with(filler: int) -> bytes:
    """A statement with this many bytes of filler."""
    about = [Subject("a", {"sha256": "00" * 32})]
    return statement(about, "urn:x", {"a": "x" * filler})


# With this much the signed bytes are as many as SHORT takes.
FULL = LIMIT - len(pre_authentication(PAYLOAD_TYPE, said_with(0)))


def by_product(content: bytes) -> dict | None:
    """The statement, or None where it is refused."""
    try:
        return json.loads(open_envelope(content, [VerifierKey.parse(WHOLE.vkey)]))
    except EnvelopeFault:
        return None


def by_verifier(content: bytes) -> dict | None:
    try:
        said, key = envelope.statement("it", content, [parse_key(WHOLE.vkey)])
    except Rejected:
        return None
    assert str(key) == WHOLE.vkey
    return said


both = pytest.mark.parametrize("opened", [by_product, by_verifier])


def kind_of(content: bytes) -> str:
    return json.loads(content)["payloadType"]


def changed(content: bytes, **changes: object) -> bytes:
    """In the spelling of packs; payload and sig are given as bytes."""
    fields = json.loads(content)
    if "payload" in changes:
        fields["payload"] = b64encode(changes.pop("payload")).decode()
    if "sig" in changes:
        fields["signatures"][0]["sig"] = b64encode(changes.pop("sig")).decode()
    return canonical(fields | changes)


def signature_of(content: bytes) -> bytes:
    return b64decode(json.loads(content)["signatures"][0]["sig"])


fillers = st.integers(FULL - 20, FULL + 20) | st.integers(0, 20_000)


@both
@given(filler=fillers)
def test_a_statement_of_any_length_comes_back_out(opened, filler):
    said = said_with(filler)
    short = sign_envelope(said, SHORT)
    fits = len(pre_authentication(PAYLOAD_TYPE, said)) <= LIMIT

    assert opened(short) == json.loads(said)
    assert kind_of(short) == (PAYLOAD_TYPE if fits else DIGEST_TYPE)
    # Who signs any length makes the envelopes that there always were.
    assert kind_of(sign_envelope(said, WHOLE)) == PAYLOAD_TYPE
    assert (short == sign_envelope(said, WHOLE)) is fits
    assert b64decode(json.loads(short)["payload"]) == said


def test_the_limit_itself_still_fits():
    assert kind_of(sign_envelope(said_with(FULL), SHORT)) == PAYLOAD_TYPE
    assert kind_of(sign_envelope(said_with(FULL + 1), SHORT)) == DIGEST_TYPE


@both
@given(filler=fillers, seed=st.integers(0, 2**32))
def test_an_envelope_of_one_kind_is_none_of_the_other(opened, filler, seed):
    for signer in (SHORT, WHOLE):
        said = said_with(filler)
        content = sign_envelope(said, signer)
        kind, digest = kind_of(content), sha256(said).digest()
        swapped = TYPES[kind]
        other = sign_envelope(said_with(filler + 1 + seed % 7), signer)
        cut = said[: seed % len(said)]
        theirs = {
            PAYLOAD_TYPE: pre_authentication(PAYLOAD_TYPE, said),
            DIGEST_TYPE: pre_authentication(DIGEST_TYPE, digest),
        }
        refused = {
            "type swapped": changed(content, payloadType=swapped),
            "payload cut off": changed(content, payload=cut),
            "payload of another": changed(content, payload=b64decode(json.loads(other)["payload"])),
            "signature of another": changed(content, sig=signature_of(other)),
            "the digest as payload": changed(content, payload=digest),
            "the digest as payload, swapped": changed(content, payload=digest, payloadType=swapped),
            "signed as the other kind": changed(content, sig=WHOLE.sign(theirs[swapped])),
            # By the same key, with the right type and the other kind's body.
            "the other's body": changed(
                content,
                sig=WHOLE.sign(pre_authentication(kind, digest if kind == PAYLOAD_TYPE else said)),
            ),
            "without a type": changed(
                content,
                sig=WHOLE.sign(digest if kind == DIGEST_TYPE else said),
            ),
        }

        assert opened(content) == json.loads(said)
        assert [name for name, forged in refused.items() if opened(forged) is not None] == []
        # Nor is it the signature that is missing: with the right one each kind is accepted.
        assert opened(changed(content, sig=WHOLE.sign(theirs[kind]))) == json.loads(said)
        rightly = changed(content, payloadType=swapped, sig=WHOLE.sign(theirs[swapped]))
        assert opened(rightly) == json.loads(said)


@both
@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.in-toto+JSON",
        "application/vnd.countersign.in-toto.sha256+json ",
        "application/vnd.countersign.in-toto.sha512+json",
        "",
        None,
        7,
        [DIGEST_TYPE],
        {DIGEST_TYPE: PAYLOAD_TYPE},
    ],
)
def test_a_type_that_nobody_knows_is_refused_however_it_is_signed(opened, kind):
    said = said_with(2_000)

    for body, signer in ((said, WHOLE), (sha256(said).digest(), SHORT)):
        content = sign_envelope(said, signer)
        own = WHOLE.sign(pre_authentication(str(kind), body))
        assert opened(content) == json.loads(said)
        assert opened(changed(content, payloadType=kind)) is None
        assert opened(changed(content, payloadType=kind, sig=own)) is None


@pytest.mark.parametrize("signer", [SHORT, WHOLE], ids=["digest", "whole"])
def test_the_verifier_knows_one_spelling_of_either_kind(signer):
    content = sign_envelope(said_with(2_000), signer)
    respelled = [
        content + b"\n",
        content.replace(b":", b": ", 1),
        content.replace(b"countersign", b"\\u0063ountersign").replace(b"vnd.in", b"vnd\\u002ein"),
        json.dumps(dict(reversed(json.loads(content).items())), separators=(",", ":")).encode(),
        changed(content, more=1),
    ]

    assert by_verifier(content)
    assert [by_verifier(other) for other in respelled] == [None] * len(respelled)
    assert content not in respelled


def test_the_signed_bytes_are_what_is_written_down():
    """docs/evidence-pack.md, "Formats"."""
    said = said_with(2_000)
    message = (
        b"DSSEv1 47 application/vnd.countersign.in-toto.sha256+json 32 " + sha256(said).digest()
    )

    assert VerifierKey.parse(SHORT.vkey).verifies(signature_of(sign_envelope(said, SHORT)), message)


def test_a_pack_of_such_a_key_holds_both_kinds():
    files = unpacked(built("digests"))
    bundle = next(files[name] for name in files if name.endswith("intoto.jsonl"))

    assert kind_of(files["manifest.dsse.json"]) == DIGEST_TYPE
    assert [kind_of(line) for line in bundle.splitlines()] == [PAYLOAD_TYPE] * 3 + [DIGEST_TYPE]
