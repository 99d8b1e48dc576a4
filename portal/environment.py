"""Reads settings from the environment, with an error that says what was expected."""

import base64
import binascii
import os
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography import x509
from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str | None = None) -> str:
    """The value of NAME, or of the file that NAME_FILE points at.

    Raises ImproperlyConfigured, which stops the start, when it is missing without a default.
    """
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {path}: {error}") from error
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set (and neither is {name}_FILE)")
    return value


def flag(name: str, default: bool = False) -> bool:
    """A switch: 1 or 0."""
    value = text(name, "1" if default else "0")
    if value not in {"0", "1"}:
        raise ImproperlyConfigured(f"{name} must be 0 or 1, not {value!r}")
    return value == "1"


def number(name: str, default: int) -> int:
    """A whole number >= 0."""
    value = text(name, str(default))
    if not value.isdigit():
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}")
    return int(value)


def choice(name: str, options: tuple[str, ...], default: str) -> str:
    """One of `options`."""
    value = text(name, default)
    if value not in options:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(options)}, not {value!r}")
    return value


def words(name: str, default: str) -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def lines(name: str) -> list[str]:
    """One value a line, without empty lines and remarks (#); none when NAME is not set."""
    found = [line.strip() for line in text(name, "").splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def keys(name: str) -> tuple[bytes, ...]:
    """Keys of 32 bytes in base64, separated by commas; none when NAME is not set."""
    try:
        found = tuple(base64.b64decode(word, validate=True) for word in words(name, ""))
    except binascii.Error as error:
        raise ImproperlyConfigured(f"{name} must be base64: {error}") from error
    if any(len(key) != 32 for key in found):
        raise ImproperlyConfigured(f"{name}: each key must have 32 bytes before base64")
    return found


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks such as 10.1.0.0/16, separated by commas; none when NAME is not set."""
    try:
        return tuple(ip_network(word) for word in words(name, ""))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be networks like 10.1.0.0/16: {error}") from error


def web_address(name: str, *, folder: bool = True, plain_http: bool = False) -> str:
    """An address with https, without a name or password in it; empty when not set.

    folder: whether it is to end with a slash. plain_http: whether http will do.
    """
    value = text(name, "").strip()
    if not value:
        return ""
    parts = urlsplit(value)
    schemes = {"https", "http"} if plain_http else {"https"}
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc or parts.query:
        example = (
            "https://packages.example.com/simple/" if folder else "https://tsa.example.com/tsr"
        )
        also = " or begin with http://" if plain_http else ""
        raise ImproperlyConfigured(
            f"{name} must look like {example}{also}, without a password or a question mark"
        )
    return value.rstrip("/") + "/" if folder else value


def addresses(name: str) -> dict[str, tuple[str, int]]:
    """Where hosts are, as host=10.1.2.3:443 with commas; none when NAME is not set."""
    found = {}
    for word in words(name, ""):
        host, _, place = word.partition("=")
        try:
            where = urlsplit(f"//{place}")
            address, port = str(ip_address(where.hostname or "")), where.port or 443
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: host=10.1.2.3:443, not {word!r}") from error
        found[host.strip().lower()] = (address, port)
    return found


def file(name: str) -> Path | None:
    """A file that can be read; None when NAME is not set."""
    value = text(name, "").strip()
    if not value:
        return None
    if not Path(value).is_file():
        raise ImproperlyConfigured(f"{name}: there is no file {value}")
    return Path(value)


def authority(name: str) -> bytes:
    """The certificates in a PEM file, of which one signed itself; empty when NAME is not set."""
    path = file(name)
    if path is None:
        return b""
    try:
        pem = path.read_bytes()
        found = x509.load_pem_x509_certificates(pem)
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{name}: {path} holds no certificate: {error}") from error
    if not any(one.subject == one.issuer for one in found):
        raise ImproperlyConfigured(f"{name}: no certificate in {path} signed itself, as a CA does")
    return pem


def database(name: str) -> dict[str, Any]:
    """Connection values from a URL such as postgresql://user:password@host:5432/name."""
    parts = urlsplit(text(name))
    if parts.scheme not in {"postgres", "postgresql"} or not parts.hostname or not parts.username:
        raise ImproperlyConfigured(f"{name} must look like postgresql://user:password@host/name")
    return {
        "NAME": parts.path.removeprefix("/"),
        "USER": unquote(parts.username),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port or 5432,
    }
