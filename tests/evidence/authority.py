"""A time-stamping authority for tests: OpenSSL's own (`openssl ts`)."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICY = "1.3.6.1.4.1.32473.1"  # of the number that RFC 5612 keeps for examples
TIME_STAMPING = (ExtendedKeyUsageOID.TIME_STAMPING,)

_CONFIG = """
[tsa]
default_tsa = it
[it]
serial = {home}/serial
signer_cert = {home}/signer.pem
signer_key = {home}/signer.key
{certs}
signer_digest = sha256
default_policy = {policy}
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def certified(
    name: str,
    by: Certified | None = None,
    *,
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    critical: bool = True,
    days: tuple[int, int] = (-30, 3000),
    key: ec.EllipticCurvePrivateKey | None = None,
    serial: int | None = None,
    ca: bool | None = None,
) -> Certified:
    """A certificate signed by `by`, or by itself. days: from and until, counted from today."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca = (by is None) if ca is None else ca
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    return Certified(builder.sign(by.key if by else key, hashes.SHA256()), key)


class Authority:
    """Answers queries of RFC 3161. The files of `openssl ts` lie in `home`."""

    def __init__(self, home: Path, signer: Certified, chain: tuple[Certified, ...] = ()) -> None:
        self.home, self.signer = home, signer
        home.mkdir(exist_ok=True, parents=True)
        (home / "serial").write_text("01\n")
        (home / "signer.pem").write_bytes(signer.pem)
        (home / "signer.key").write_bytes(signer.key_pem)
        (home / "chain.pem").write_bytes(b"".join(one.pem for one in chain))
        certs = f"certs = {home}/chain.pem" if chain else ""
        (home / "ts.cnf").write_text(_CONFIG.format(home=home, policy=POLICY, certs=certs))

    def answer(self, query: bytes) -> bytes:
        """What `openssl ts -reply` says to a query, in DER."""
        with tempfile.NamedTemporaryFile(dir=self.home) as asked:
            asked.write(query)
            asked.flush()
            return self._openssl("ts", "-reply", "-queryfile", asked.name)

    def stamp(self, digest: bytes, algorithm: str = "sha256") -> bytes:
        """The answer to a query about a digest, with a nonce and the signer's certificate."""
        asked = ("-digest", digest.hex(), f"-{algorithm}", "-cert")
        return self.answer(self._openssl("ts", "-query", *asked))

    def without_nonce(self, digest: bytes) -> bytes:
        """The answer to a query about a SHA-256 digest that has no nonce."""
        asked = ("-digest", digest.hex(), "-sha256", "-cert", "-no_nonce")
        return self.answer(self._openssl("ts", "-query", *asked))

    def _openssl(self, *arguments: str) -> bytes:
        command = ["openssl", *arguments, "-config", str(self.home / "ts.cnf")]
        return subprocess.run(command, check=True, capture_output=True).stdout


def signed_by_anybody(answer: bytes, signer: Certified, home: Path) -> bytes:
    """The answer, signed anew with a certificate that `openssl ts` would refuse to sign with."""
    home.mkdir(exist_ok=True, parents=True)
    (home / "signer.pem").write_bytes(signer.pem + signer.key_pem)
    command = ["openssl", "ts", "-reply", "-in", "/dev/stdin", "-token_out"]
    token = subprocess.run(command, input=answer, check=True, capture_output=True).stdout
    command = ["openssl", "cms", "-verify", "-noverify", "-inform", "DER"]
    told = subprocess.run(command, input=token, check=True, capture_output=True).stdout
    command = ["openssl", "cms", "-sign", "-binary", "-nodetach", "-cades", "-outform", "DER"]
    command += ["-econtent_type", "id-smime-ct-TSTInfo", "-signer", str(home / "signer.pem")]
    signed = subprocess.run(command, input=told, check=True, capture_output=True).stdout
    return _sequence(_sequence(b"\x02\x01\x00") + signed)


def _sequence(content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([0x30, size]) + content
    written = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([0x30, 0x80 | len(written)]) + written + content
