"""The keys and certificates that SAML messages are signed with."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

OUR_KEY_BITS = 3072
OUR_VALIDITY = timedelta(days=3650)
SMALLEST_RSA = 2048  # bits
AT_MOST = 10  # certificates of one provider; two are a rotation


def new_key_pair() -> dict[str, str]:
    """A key of ours for one provider: `signing_key` and `signing_certificate`, both PEM.

    The certificate only carries the public key: providers are given it with our metadata and
    trust it because an admin did so, whoever signed it.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=OUR_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Countersign")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + OUR_VALIDITY)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "signing_key": pem.decode(),
        "signing_certificate": certificate.public_bytes(Encoding.PEM).decode(),
    }


def read(pem: str) -> list[str]:
    """Each certificate of `pem`, as PEM of its own. Raises ValueError that says what is wrong.

    Whether one has expired does not matter: a provider is trusted by its key, until an admin
    takes the certificate out.
    """
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError(
            "is not a certificate; expected text that begins with -----BEGIN CERTIFICATE-----"
        ) from None
    if len(found) > AT_MOST:
        raise ValueError(f"holds {len(found)} certificates; expected at most {AT_MOST}")
    for certificate in found:
        _check_key(certificate)
    return [certificate.public_bytes(Encoding.PEM).decode() for certificate in found]


def _check_key(certificate: x509.Certificate) -> None:
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        key = None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA:
            raise ValueError(
                f"has an RSA key of {key.key_size} bits; expected {SMALLEST_RSA} or more"
            )
    elif not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("has a key of an unexpected kind; expected RSA or elliptic curve")
