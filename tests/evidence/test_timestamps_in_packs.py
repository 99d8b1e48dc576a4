"""Tokens of a time-stamping authority in packs: a real one's, and forged ones of every kind."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256, sha512
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from evidence.merkle import tree_root
from evidence.notes import cosign, sign_checkpoint
from tests.evidence.authority import (
    POLICY,
    TIME_STAMPING,
    Authority,
    Certified,
    certified,
    signed_by_anybody,
)
from tests.evidence.test_verifier import ALONE, WITNESS, command
from tests.evidence.verifier_corpus import built, log_key, sample, sealed, unpacked, verified

FILE = "timestamps/end.tsr"
NOTE = "log/checkpoints/end.note"


@dataclass
class World:
    """An authority with its CA, and room for others."""

    home: Path
    ca: Certified
    authority: Authority
    no_ca: Certified  # made by the CA, and not to make others

    def other(self, name: str, signer: Certified) -> Authority:
        return Authority(self.home / name, signer)

    def signed(self, digest: bytes, name: str, **made) -> bytes:
        """A token by a certificate of the same CA that may not stamp times."""
        signer = certified("signer", self.ca, **made)
        return signed_by_anybody(self.authority.stamp(digest), signer, self.home / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    home = tmp_path_factory.mktemp("authority")
    ca = certified("CA of times")
    authority = Authority(home / "it", certified("it", ca, usages=TIME_STAMPING))
    return World(home, ca, authority, certified("no CA", ca))


@pytest.fixture(scope="module")
def answer(world) -> bytes:
    """The authority's answer about the sample's head."""
    return world.authority.stamp(digest_of(unpacked(built())))


def digest_of(files) -> bytes:
    return sha256(files[NOTE]).digest()


@cache
def stamped(answer: bytes) -> bytes:
    """The sample with a token in it."""
    made = sample()
    made.timestamp = answer
    return made.build()


def test_a_genuine_token_says_since_when_the_head_was_there(world, answer, tmp_path):
    findings = verified(stamped(answer), tmp_path, keys=[log_key()], tsa_ca=world.ca.pem)

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 0)
    assert findings.timestamp["policy"] == POLICY
    assert datetime.fromisoformat(findings.timestamp["at"]).utcoffset() == timedelta(0)
    (what,) = [what for check, what in findings.verified if check == "timestamp"]
    assert what.startswith(f"the head over 41 entries was there at {findings.timestamp['at']}")
    assert POLICY in what
    assert not any(FILE in said for said in findings.not_verified)
    assert findings.as_json()["timestamp"] == findings.timestamp


def test_the_token_is_about_the_logs_own_signature_whatever_witnesses_add(world, answer, tmp_path):
    made = sample("range")
    assert made.checkpoint_note.encode() == unpacked(built())[NOTE]
    made.timestamp = answer
    files = unpacked(made.build())
    files[NOTE] = cosign(files[NOTE].decode(), WITNESS, at=1_800_000_000).encode()

    findings = verified(sealed(files), tmp_path, keys=[log_key()], tsa_ca=world.ca.pem)

    assert "timestamp" in {check for check, _ in findings.verified}
    assert findings.failure.check == "report"  # whose digest of the head is the one before


def test_without_the_authoritys_ca_a_token_is_not_checked_and_that_is_said(answer, tmp_path):
    findings = verified(stamped(answer), tmp_path, keys=[log_key()])

    assert (findings.verdict, findings.timestamp) == ("LOCAL", None)
    (said,) = [said for said in findings.not_verified if FILE in said]
    assert "NOT CHECKED" in said
    assert "timestamp" not in {check for check, _ in findings.verified}


def test_a_ca_for_a_pack_without_a_token_is_a_warning(world, tmp_path):
    findings = verified(built(), tmp_path, keys=[log_key()], tsa_ca=world.ca.pem)

    assert (findings.verdict, findings.exit_code) == ("LOCAL", 3)
    assert "no token" in findings.warnings[0]


def of_another_head(world, files, _):
    made = sample()
    root = tree_root(made.leaf_hashes[:20])
    earlier = sign_checkpoint(made.signer.name, 20, root, made.signer)
    return world.authority.stamp(sha256(earlier.encode()).digest())


def by_another_ca(world, files, _):
    ca = certified("another CA")
    other = world.other("other", certified("it", ca, usages=TIME_STAMPING))
    return other.stamp(digest_of(files))


def by_a_namesake(world, files, _):
    ca = certified("CA of times")
    other = world.other("namesake", certified("it", ca, usages=TIME_STAMPING))
    return other.stamp(digest_of(files))


def by_an_expired_certificate(world, files, _):
    old = certified("it", world.ca, usages=TIME_STAMPING, days=(-20, -1))
    return world.other("old", old).stamp(digest_of(files))


def by_a_certificate_of_tomorrow(world, files, _):
    early = certified("it", world.ca, usages=TIME_STAMPING, days=(1, 20))
    return world.other("early", early).stamp(digest_of(files))


def below_no_ca(world, files, _):
    signer = certified("it", world.no_ca, usages=TIME_STAMPING)
    return world.other("below", signer).stamp(digest_of(files))


def of_another_time(world, files, answer):
    at = answer.index(b"\x18\x0f20") + 14  # a GeneralizedTime; before the last two: tens of seconds
    return answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]


def of_a_refusal(world, files, _):
    return world.authority.answer(b"no query")


def of_the_token_alone(world, files, answer):
    return answer[9:]  # without the sequence around it and its status


FORGED = {
    "token over something else": (
        lambda world, files, _: world.authority.stamp(sha256(b"else").digest()),
        "over something else",
    ),
    "token of another head of the log": (of_another_head, "over something else"),
    "token over the head without its signature": (
        lambda world, files, _: world.authority.stamp(
            sha256(files[NOTE].split(b"\n\n")[0] + b"\n").digest()
        ),
        "over something else",
    ),
    "token over another kind of digest": (
        lambda world, files, _: world.authority.stamp(sha512(files[NOTE]).digest(), "sha512"),
        "over something else",
    ),
    "token of an authority under another CA": (by_another_ca, "does not lead to the CA"),
    "token under a CA of the same name": (by_a_namesake, "signature failure"),
    "token by an expired certificate": (by_an_expired_certificate, "certificate has expired"),
    "token by a certificate of tomorrow": (by_a_certificate_of_tomorrow, "not yet valid"),
    "token by a certificate below one that is no CA": (below_no_ca, "invalid CA certificate"),
    "token by a certificate without a purpose": (
        lambda world, files, _: world.signed(digest_of(files), "none"),
        "unsuitable certificate purpose",
    ),
    "token by a certificate whose purpose is no must": (
        lambda world, files, _: world.signed(
            digest_of(files), "loose", usages=TIME_STAMPING, critical=False
        ),
        "unsuitable certificate purpose",
    ),
    "token by a certificate for mail": (
        lambda world, files, _: world.signed(
            digest_of(files), "mail", usages=(ExtendedKeyUsageOID.EMAIL_PROTECTION,)
        ),
        "unsuitable certificate purpose",
    ),
    "token with bytes behind it": (
        lambda world, files, answer: answer + b"\0",
        "not an answer in DER",
    ),
    "token cut short": (lambda world, files, answer: answer[:-1], "not an answer in DER"),
    "empty token": (lambda world, files, answer: b"", "not an answer in DER"),
    "large token": (lambda world, files, answer: answer + bytes(65_536), "more than 65536 bytes"),
    "token without the answer around it": (of_the_token_alone, "not an answer in DER"),
    "token with another signature": (
        lambda world, files, answer: answer[:-2] + bytes([answer[-2] ^ 1]) + answer[-1:],
        "its signature does not fit",
    ),
    "token whose time was changed": (of_another_time, "its signature does not fit"),
    "refusal in place of a token": (of_a_refusal, "is a refusal (status 2, Bad request"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_rejected_for_its_own_reason(name, world, answer, tmp_path):
    forge, reason = FORGED[name]
    files = unpacked(stamped(answer))
    files[FILE] = forge(world, files, answer)
    trusted = world.ca.pem
    if name.endswith("no CA"):
        trusted += world.no_ca.pem

    findings = verified(sealed(files), tmp_path, keys=[log_key()], tsa_ca=trusted)

    assert findings.exit_code == 1
    assert (findings.failure.check, findings.failure.subject) == ("timestamp", FILE)
    assert reason in findings.failure.reason


def test_a_second_token_has_no_place_in_a_pack(world, answer, tmp_path):
    files = unpacked(stamped(answer)) | {"timestamps/start.tsr": answer}

    findings = verified(sealed(files), tmp_path, keys=[log_key()], tsa_ca=world.ca.pem)

    assert (findings.failure.check, findings.failure.reason) == (
        "manifest",
        "has no place in a pack",
    )


@pytest.fixture
def on_disk(world, answer, tmp_path):
    """A pack with a token, and the file of the CA."""
    pack, ca = tmp_path / "stamped.zip", tmp_path / "ca.pem"
    pack.write_bytes(stamped(answer))
    ca.write_bytes(world.ca.pem)
    return str(pack), str(ca)


def test_the_command_prints_the_time_with_the_policy(on_disk):
    pack, ca = on_disk

    done = command(pack, "--key", log_key(), "--tsa-ca", ca)
    without = command(pack, "--key", log_key())

    assert (done.returncode, without.returncode) == (0, 0)
    (line,) = [line for line in done.stdout.split("\n") if " timestamp " in line]
    assert line.startswith("  ok     7 timestamp")
    assert line.endswith(POLICY)
    assert "NOT CHECKED" not in done.stdout
    assert f"{FILE}: NOT CHECKED" in without.stdout


def test_without_the_library_a_token_is_unusable_and_everything_else_still_works(on_disk):
    pack, ca = on_disk
    code = ALONE.replace('"weasyprint"', '"weasyprint", "rfc3161_client"')

    checked = command(pack, "--key", log_key(), "--tsa-ca", ca, code=code)
    without = command(pack, "--key", log_key(), code=code)

    assert checked.returncode == 2
    assert "countersign-verify[timestamps]" in checked.stderr
    assert without.returncode == 0


@pytest.mark.parametrize("content", [b"", b"no certificate", "leaf", None])
def test_a_file_that_holds_no_ca_is_unusable(content, world, on_disk, tmp_path):
    pack, _ = on_disk
    ca = tmp_path / "other.pem"
    if content is not None:
        ca.write_bytes(world.no_ca.pem if content == "leaf" else content)

    done = command(pack, "--key", log_key(), "--tsa-ca", str(ca))

    assert done.returncode == 2
    assert done.stderr.startswith(f"UNUSABLE: --tsa-ca {ca}: ")
