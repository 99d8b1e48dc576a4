"""The one way this portal fetches from addresses that tenants type in."""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Timer
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

import structlog
from django.conf import settings

from tenants.errors import Refused
from tenants.foreign_json import NotSound, parsed

log = structlog.get_logger(__name__)

PATIENCE = 5.0  # seconds for a connection, and for each piece of the answer
AT_MOST = 10.0  # seconds for all of it, however the other side spreads it
LARGEST = 1024**2  # bytes
LARGEST_DOCUMENT = 64 * 1024**2  # bytes of what is fetched by a job, for nobody who waits
FOR_A_DOCUMENT = 60.0  # seconds for all of it
LONGEST_ADDRESS = 2000  # characters
ADDRESSES = 3  # of one host, tried in turn

# Public by their number, but a cloud's inside: Azure answers its virtual machines here.
INSIDE = (ip_network("168.63.129.16/32"),)
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits

type Address = IPv4Address | IPv6Address


class NotFetched(Refused):
    """Nothing usable came back. Says which host, never what stands at which inner address."""


class NotReached(NotFetched):
    """No connection came about, so nothing of what was to be sent has left this machine."""


@dataclass(frozen=True)
class Answer:
    """A JSON document, with the HTTP status it came with (never a redirect).

    retry_after: as the other side said it, usually seconds; empty when it said nothing.
    """

    status: int
    document: Any
    retry_after: str = ""


def fetch_json(
    address: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """GET `address`, or POST `form` to it, and read the JSON that comes back.

    Nothing is followed, no proxy and no netrc is asked. The host is resolved once; the address
    that was checked is the one that is connected to. Raises NotFetched.
    """
    parts = _parts(address)
    host, port, tls = str(parts.hostname), _port(parts), parts.scheme == "https"
    connection = _Pinned(host, port, _allowed_addresses(host, port, tls=tls), tls=tls)
    path = _path(parts)
    sent = {"Accept": "application/json", "Connection": "close", **(headers or {})}
    body = None
    if form is not None:
        body = urlencode(form).encode()
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        with _ending_in_time(connection):
            connection.request("GET" if body is None else "POST", path, body, sent)
            with connection.getresponse() as response:
                raw = response.read(LARGEST + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # A ValueError may quote what was sent, such as a header with a secret in it.
        quotable = repr(error) if isinstance(error, OSError) else type(error).__name__
        log.warning("fetching failed", host=host, error=quotable)
        raise NotFetched(f"{host} does not answer as it should") from error
    if connection.is_late:
        raise NotFetched(f"{host} does not answer in time")
    return _answer(host, response, raw)


def post_json(
    address: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    trusted: str = "",
    seconds: float | None = None,
) -> Answer:
    """POST `body` (JSON) to `address` and read the JSON that comes back; else as fetch_json().

    trusted: certificates in PEM to trust besides the machine's. seconds: for all of it, where the
    other side may think for longer than AT_MOST. Raises NotFetched; NotReached when nothing left.
    """
    parts = _parts(address)
    host, port, tls = str(parts.hostname), _port(parts), parts.scheme == "https"
    addresses = _allowed_addresses(host, port, tls=tls)
    connection = _Pinned(host, port, addresses, tls=tls, trusted=trusted)
    sent = {"Accept": "application/json", "Connection": "close", **headers}
    sent["Content-Type"] = "application/json"
    try:
        with _ending_in_time(connection, seconds):
            try:
                connection.connect()
            except OSError as error:
                log.warning("a host was not reached", host=host, error=repr(error))
                raise NotReached(f"{host} does not answer as it should: {error!r}") from error
            if seconds is not None:
                connection.sock.settimeout(seconds)
            connection.request("POST", _path(parts), body, sent)
            with connection.getresponse() as response:
                raw = response.read(LARGEST + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        quotable = repr(error) if isinstance(error, OSError) else type(error).__name__
        log.warning("posting failed", host=host, error=quotable)
        raise NotFetched(f"{host} does not answer as it should: {quotable}") from error
    if connection.is_late:
        raise NotFetched(f"{host} does not answer in time")
    return _answer(host, response, raw)


def fetch_document(
    address: str,
    body: bytes | None = None,
    *,
    kind: str = "application/json",
    accept: str = "application/json, */*;q=0.5",
    seconds: float = FOR_A_DOCUMENT,
    largest: int = LARGEST_DOCUMENT,
    plain_http: bool = False,
) -> tuple[int, bytes]:
    """GET `address`, or POST `body` to it: the status (never a redirect) and what came.

    For jobs: large, slow and of any kind. kind: of the body. accept: what is wanted. seconds: for
    all of it. largest: bytes. plain_http: http will do, on the internet alone; only for answers
    that are signed and bodies that are no secret. Otherwise as fetch_json(). Raises NotFetched.
    """
    parts = _parts(address)
    host, port, tls = str(parts.hostname), _port(parts), parts.scheme == "https"
    addresses = _allowed_addresses(host, port, tls=tls, plain_http=plain_http)
    connection = _Pinned(host, port, addresses, tls=tls)
    sent = {"Accept": accept, "Connection": "close", "User-Agent": "countersign"}
    if body is not None:
        sent["Content-Type"] = kind
    try:
        with _ending_in_time(connection, seconds):
            connection.request("GET" if body is None else "POST", _path(parts), body, sent)
            with connection.getresponse() as response:
                raw = response.read(largest + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.warning("fetching failed", host=host, error=repr(error))
        raise NotFetched(f"{host} does not answer as it should") from error
    if connection.is_late:
        raise NotFetched(f"{host} does not answer in time")
    _is_whole(host, response, raw, largest)
    return response.status, raw


def deliver(host: str, port: int, body: bytes, *, trusted: str = "") -> None:
    """Send `body` over TLS, and return once the other side has read all of it.

    That is known because it is told that no more will come, and only then hangs up. trusted: as
    for post_json(). Raises NotFetched.
    """
    addresses = _allowed_addresses(host, port, tls=True)
    connection = _Pinned(host, port, addresses, tls=True, trusted=trusted)
    try:
        with _ending_in_time(connection):
            connection.connect()
            connection.sock.sendall(body)
            try:
                # TLS says goodbye and waits for the other's, which comes after all that was read.
                connection.sock.unwrap()  # type: ignore[union-attr]  # wrapped by connect()
            except ssl.SSLEOFError:
                # Some hang up without a goodbye, rsyslog among them. With anything left unread,
                # the other side's machine would have reset the connection, which is no end of file.
                log.debug("hung up without a goodbye", host=host)
    except (OSError, ValueError) as error:
        log.warning("delivering failed", host=host, error=repr(error))
        raise NotFetched(f"{host} did not take it: {type(error).__name__}") from error
    if connection.is_late:
        raise NotFetched(f"{host} did not take it in time")


def may_be_named(address: str) -> bool:
    """Whether browsers may be sent there: https, or http on this machine while trying out."""
    try:
        parts = _parts(address)
    except NotFetched:
        return False
    return parts.scheme == "https" or _is_this_machine(str(parts.hostname))


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked, whatever the host's name means by then."""

    def __init__(
        self, host: str, port: int, addresses: list[Address], *, tls: bool, trusted: str = ""
    ) -> None:
        super().__init__(host, port, timeout=PATIENCE)
        self.default_port = 443 if tls else 80
        self._addresses = addresses
        self._tls = _trust(trusted) if tls else None
        self._reached: socket.socket | None = None  # the standard library forgets its own early
        self.is_late = False

    def connect(self) -> None:
        """To the first address that takes the call, of the first few."""
        for address in self._addresses[:ADDRESSES]:
            try:
                self.sock = socket.create_connection((str(address), self.port), PATIENCE)
                break
            except OSError as error:
                refusal = error
        else:
            raise refusal
        if self._tls is None:
            self._reached = self.sock
            return
        # Wrapped before it shakes hands, so that a handshake without end can be ended too.
        wrapped = self._tls.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock = self._reached = wrapped
        wrapped.do_handshake()

    def end(self) -> None:
        """Wake whoever waits for the other side; called from the timer's thread."""
        self.is_late = True
        try:
            if self._reached is not None:
                # Not a TLS socket's own method, which would take the reader's state away.
                socket.socket.shutdown(self._reached, socket.SHUT_RDWR)
        except OSError:
            log.info("the connection had ended when time was up", host=self.host)


@lru_cache(maxsize=32)
def _trust(more: str = "") -> ssl.SSLContext:
    """What this machine trusts, and `more` (PEM). Kept: to read it takes some 20 ms."""
    trust = ssl.create_default_context()
    if more:
        trust.load_verify_locations(cadata=more)
    return trust


@contextmanager
def _ending_in_time(connection: _Pinned, seconds: float | None = None) -> Iterator[None]:
    timer = Timer(AT_MOST if seconds is None else seconds, connection.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise NotFetched("an address is not a web address") from error
    if (
        parts.scheme not in {"https", "http"}
        or not parts.hostname
        or parts.username is not None
        or parts.fragment
        or port == 0
        or len(address) > LONGEST_ADDRESS
        or not address.isprintable()
        or " " in address
    ):
        raise NotFetched("an address is not a web address that begins with https")
    return parts


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _allowed_addresses(
    host: str, port: int, *, tls: bool, plain_http: bool = False
) -> list[Address]:
    """What `host` resolves to, when this portal may ask all of it; otherwise NotFetched.

    The refusal is the same for a name that does not exist and for one that is inside, because
    a tenant should not learn the names of our network.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))
    except (OSError, ValueError) as error:
        log.info("a host was not resolved", host=host, error=repr(error))
        addresses = []
    if not addresses or not all(
        _is_allowed(address, tls=tls, plain_http=plain_http) for address in addresses
    ):
        log.warning("a host may not be asked", host=host, addresses=[str(a) for a in addresses])
        raise NotReached(f"{host} has no address that this portal may ask")
    return addresses


def _is_allowed(address: Address, *, tls: bool, plain_http: bool) -> bool:
    address = _meant(address)
    if address.is_loopback:
        return bool(settings.IDENTITY_ALLOW_LOOPBACK)
    if not (tls or plain_http) or address.is_link_local:
        return False
    if tls and any(address in network for network in settings.IDENTITY_NETWORKS):
        return True
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not (isinstance(address, IPv6Address) and address.is_site_local)
        and not any(address in network for network in INSIDE)
    )


def _meant(address: Address) -> Address:
    """The IPv4 address inside of an IPv6 one, where the network would take it out again."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_this_machine(host: str) -> bool:
    if not settings.IDENTITY_ALLOW_LOOPBACK:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _answer(host: str, response: http.client.HTTPResponse, raw: bytes) -> Answer:
    _is_whole(host, response, raw, LARGEST)
    kind = response.headers.get_content_type()
    if not (kind == "application/json" or kind.endswith("+json")):
        raise NotFetched(f"{host} answers with status {response.status}, and not in JSON")
    try:
        said = response.headers.get("Retry-After", "")
        return Answer(response.status, parsed(raw), said)
    except NotSound as error:
        raise NotFetched(f"what {host} answers {error}") from error


def _is_whole(host: str, response: http.client.HTTPResponse, raw: bytes, largest: int) -> None:
    """Raise NotFetched for an answer that leads elsewhere, goes on too long, or is wrapped."""
    if 300 <= response.status < 400:
        raise NotFetched(f"{host} answers with a redirect; write the address that it leads to")
    if len(raw) > largest:
        raise NotFetched(f"{host} answers with more than {largest // 1024**2} MiB")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise NotFetched(f"{host} answers compressed, which was not asked for")
