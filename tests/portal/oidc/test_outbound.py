"""Fetching from addresses that tenants type in: the internet, and nothing else we can reach."""

import ast
import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from django.test import override_settings

from tenants import outbound
from tenants.foreign_json import NotSound, parsed
from tenants.outbound import NotFetched, fetch_document, fetch_json, may_be_named, post_json

ROOT = Path(__file__).parents[3]

INNER = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",  # shared address space: carriers, clouds
    "100.100.100.200",  # a cloud's metadata
    "169.254.169.254",  # clouds' metadata
    "168.63.129.16",  # Azure's inside, under a public number
    "192.0.0.192",  # a cloud's metadata
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fd00:ec2::254",  # a cloud's metadata
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "2002:7f00:1::",
    "2001::1",
]


def _resolving(monkeypatch, *addresses):
    """Make every name mean these addresses, and count who asks."""
    asked = []

    def getaddrinfo(host, port, *args, **kwargs):
        asked.append(host)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def no_connections(monkeypatch):
    """Fails the test when a connection is tried at all."""

    def connect(address, *args, **kwargs):
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(outbound.socket, "create_connection", connect)


@pytest.fixture
def connections(monkeypatch):
    """Where connections were tried to; none succeeds."""
    tried = []

    def connect(address, *args, **kwargs):
        tried.append(address)
        raise OSError("not in a test")

    monkeypatch.setattr(outbound.socket, "create_connection", connect)
    return tried


@pytest.fixture
def strict():
    """As on servers: nothing of ours may be asked."""
    with override_settings(IDENTITY_ALLOW_LOOPBACK=False, IDENTITY_NETWORKS=()):
        yield


@pytest.mark.parametrize("address", INNER)
def test_a_name_that_means_an_inner_address_is_not_asked(
    address, strict, no_connections, monkeypatch
):
    _resolving(monkeypatch, address)

    with pytest.raises(NotFetched, match="has no address that this portal may ask"):
        fetch_json("https://login.example.com/")


@pytest.mark.parametrize("address", INNER)
def test_one_inner_address_among_public_ones_is_enough_to_refuse(
    address, strict, no_connections, monkeypatch
):
    _resolving(monkeypatch, "93.184.215.14", address)

    with pytest.raises(NotFetched):
        fetch_json("https://login.example.com/")


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "localhost", "0"]
)
def test_other_ways_to_write_this_machine_are_seen_through(host, strict, no_connections):
    with pytest.raises(NotFetched):
        fetch_json(f"https://{host}/")


@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.com/",
        "ftp://login.example.com/",
        "file:///etc/passwd",
        "gopher://login.example.com/",
        "//login.example.com/",
        "login.example.com",
        "https://",
        "https://user:pass@login.example.com/",
        "https://login.example.com/#x",
        "https://login.example.com:0/",
        "https://login.example.com:99999/",
        "https://[::1/",
        "https://login.example.com/a b",
        "https://login.example.com/\r\nHost: evil",
        "https://" + "a" * 64 + ".example.com/",
        "https://login.example.com/" + "a" * 2000,
        "",
    ],
)
def test_what_is_no_plain_https_address_is_not_asked(address, strict, no_connections, monkeypatch):
    if "a" * 64 not in address:
        _resolving(monkeypatch, "93.184.215.14")

    with pytest.raises(NotFetched):
        fetch_json(address)


def test_the_refusal_does_not_tell_inner_names_from_names_that_do_not_exist(strict, monkeypatch):
    _resolving(monkeypatch, "10.0.0.1")
    with pytest.raises(NotFetched) as inner:
        fetch_json("https://wiki.example.com/")
    _resolving(monkeypatch)
    with pytest.raises(NotFetched) as nowhere:
        fetch_json("https://wiki.example.com/")

    assert str(inner.value) == str(nowhere.value)
    assert "10.0.0.1" not in str(inner.value)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::93.184.215.14"]
)
def test_the_address_that_was_checked_is_the_one_that_is_asked(
    address, strict, connections, monkeypatch
):
    asked = _resolving(monkeypatch, address)

    with pytest.raises(NotFetched, match="does not answer"):
        fetch_json("https://login.example.com/")

    assert asked == ["login.example.com"]  # resolved once; nothing to rebind
    assert [(ip_address(host), port) for host, port in connections] == [(ip_address(address), 443)]


def test_networks_that_the_operator_names_may_be_asked_over_https_alone(
    strict, connections, monkeypatch
):
    _resolving(monkeypatch, "10.1.2.3")

    with override_settings(IDENTITY_NETWORKS=(ip_network("10.1.0.0/16"),)):
        with pytest.raises(NotFetched, match="does not answer"):
            fetch_json("https://sso.corp.example/")
        with pytest.raises(NotFetched, match="has no address"):
            fetch_json("http://sso.corp.example/")

    assert connections == [("10.1.2.3", 443)]


WITHOUT_TLS = {
    "fetch_json": fetch_json,
    "post_json": lambda address: post_json(address, b"{}", headers={}),
    "fetch_document": fetch_document,
}


@pytest.mark.parametrize("name", WITHOUT_TLS)
def test_nobody_is_asked_without_tls(name, strict, no_connections, monkeypatch):
    _resolving(monkeypatch, "93.184.215.14")

    with pytest.raises(NotFetched, match="has no address that this portal may ask"):
        WITHOUT_TLS[name]("http://login.example.com/")


def test_only_the_question_to_a_time_stamping_authority_says_that_http_will_do():
    calls = set()
    for floor in ("tenants", "evidence", "authz", "agent", "portal"):
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and any(k.arg == "plain_http" for k in node.keywords):
                    calls.add((str(path.relative_to(ROOT)), ast.unparse(node.func)))

    assert calls == {
        ("agent/stamping.py", "fetch_document"),
        ("portal/settings.py", "environment.web_address"),  # TIMESTAMP_URL
        ("tenants/outbound.py", "_allowed_addresses"),
        ("tenants/outbound.py", "_is_allowed"),
    }


def test_where_http_will_do_a_public_address_is_asked(strict, connections, monkeypatch):
    asked = _resolving(monkeypatch, "93.184.215.14")

    with pytest.raises(NotFetched, match="does not answer"):
        fetch_document("http://tsa.example.com/tsr", plain_http=True)

    assert (asked, connections) == (["tsa.example.com"], [("93.184.215.14", 80)])


@pytest.mark.parametrize("address", INNER)
def test_where_http_will_do_an_inner_address_is_not_asked_alone_or_among_public_ones(
    address, strict, no_connections, monkeypatch
):
    for addresses in ([address], ["93.184.215.14", address]):
        _resolving(monkeypatch, *addresses)

        with pytest.raises(NotFetched, match="has no address that this portal may ask"):
            fetch_document("http://tsa.example.com/tsr", plain_http=True)


def test_where_http_will_do_a_named_network_is_still_asked_over_https_alone(
    strict, connections, monkeypatch
):
    _resolving(monkeypatch, "10.1.2.3")

    with override_settings(IDENTITY_NETWORKS=(ip_network("10.1.0.0/16"),)):
        with pytest.raises(NotFetched, match="has no address"):
            fetch_document("http://tsa.corp.example/", plain_http=True)
        with pytest.raises(NotFetched, match="does not answer"):
            fetch_document("https://tsa.corp.example/", plain_http=True)

    assert connections == [("10.1.2.3", 443)]


def test_a_link_local_address_is_not_asked_even_inside_of_a_named_network(
    strict, no_connections, monkeypatch
):
    _resolving(monkeypatch, "169.254.169.254")

    with override_settings(IDENTITY_NETWORKS=(ip_network("0.0.0.0/0"),)):
        with pytest.raises(NotFetched):
            fetch_json("https://sso.corp.example/")


def test_no_proxy_of_the_environment_is_used(strict, connections, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    _resolving(monkeypatch, "93.184.215.14")

    with pytest.raises(NotFetched):
        fetch_json("https://login.example.com/")

    assert connections == [("93.184.215.14", 443)]


@pytest.mark.parametrize(
    ("address", "while_trying_out", "on_servers"),
    [
        ("https://login.example.com/x", True, True),
        ("http://login.example.com/x", False, False),
        ("http://127.0.0.1:8000/x", True, False),
        ("http://acme.localhost/x", True, False),
        ("http://localhost.example.com/x", False, False),
        ("javascript:alert(1)", False, False),
        ("data:text/html,x", False, False),
    ],
)
def test_browsers_are_sent_to_https_addresses_only(address, while_trying_out, on_servers):
    with override_settings(IDENTITY_ALLOW_LOOPBACK=True):
        assert may_be_named(address) is while_trying_out
    with override_settings(IDENTITY_ALLOW_LOOPBACK=False):
        assert may_be_named(address) is on_servers


# With a server on this machine, as while trying out.


def _request(connection):
    """What a client says: its headers, and a body of as many bytes as they announce."""
    heard = connection.recv(65536)
    head, _, body = heard.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body if heard else b""


class _Spoken:
    """A server that says given bytes to whoever comes, piece by piece."""

    def __init__(self, *pieces, pause=0.0, context=None):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.heard = b""
        self.said = 0  # pieces
        self.names = []
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)
        self._said = (pieces, pause, context)
        self.thread = Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        pieces, pause, context = self._said
        try:
            connection, _ = self.socket.accept()
            with connection:
                if context is None:
                    self._talk(connection, pieces, pause)
                else:
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        self._talk(wrapped, pieces, pause)
        except OSError:
            return

    def _talk(self, connection, pieces, pause):
        self.heard = _request(connection)
        for piece in pieces:
            connection.sendall(piece)
            self.said += 1
            time.sleep(pause)

    def stop(self):
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.socket.close()
        self.thread.join(10)


@pytest.fixture
def speak():
    servers = []

    def start(*pieces, **how):
        servers.append(_Spoken(*pieces, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def _response(body, status="200 OK", **headers):
    headers = {"Content-Type": "application/json", "Content-Length": len(body)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def test_a_document_comes_back_with_its_status(speak):
    server = speak(_response(b'{"error": "x"}', "400 Bad"))

    answer = fetch_json(f"http://127.0.0.1:{server.port}/a?b=c", form={"d": "é&"})

    assert (answer.status, answer.document) == (400, {"error": "x"})
    assert server.heard.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"Accept-Encoding: identity\r\n" in server.heard
    assert server.heard.endswith(b"\r\n\r\nd=%C3%A9%26")


BAD = {
    "a redirect": (_response(b"{}", "301 Moved", Location="https://example.com/"), "redirect"),
    "text": (_response(b"{}", Content_Type="text/plain"), "not in JSON"),
    "HTML that claims nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not in JSON"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n", "does not answer as it should"),
    "nothing": (b"", "does not answer as it should"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "does not answer as it should"),
    "an endless header": (
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        "does not answer as it should",
    ),
    "odd chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
        b"\r\n\r\nzz\r\n{}",
        "does not answer as it should",
    ),
    "more than it says": (_response(b"[" * (1024**2 + 5)), "more than 1 MiB"),
    "endless chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20,
        "more than 1 MiB",
    ),
    "UTF-16": (_response('{"a": 1}'.encode("utf-16")), "is not sound JSON"),
}


@pytest.mark.parametrize("said, reason", BAD.values(), ids=BAD)
def test_whatever_is_not_a_small_json_document_is_refused(said, reason, speak):
    server = speak(said)

    with pytest.raises(NotFetched, match=reason):
        fetch_json(f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"X"] * 50],
        [_response(b"", Content_Length=5000), *[b" "] * 50],
        [*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 50],
    ],
    ids=["headers", "body", "promises"],
)
def test_an_answer_that_drips_is_cut_off(pieces, speak, monkeypatch):
    monkeypatch.setattr(outbound, "AT_MOST", 0.3)
    server = speak(*pieces, pause=0.05)

    with pytest.raises(NotFetched):
        fetch_json(f"http://127.0.0.1:{server.port}/")

    server.stop()
    assert server.said < len(pieces) - 10


def test_a_handshake_that_never_ends_is_cut_off(speak, monkeypatch):
    monkeypatch.setattr(outbound, "AT_MOST", 0.3)
    server = speak(*[b"\x16"] * 3, pause=0.5)

    with pytest.raises(NotFetched):
        fetch_json(f"https://127.0.0.1:{server.port}/")


def test_a_server_that_says_nothing_is_waited_for_a_while_only(speak, monkeypatch):
    monkeypatch.setattr(outbound, "PATIENCE", 0.2)
    server = speak(b"", pause=2)

    with pytest.raises(NotFetched):
        fetch_json(f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\u20ac"])
def test_a_header_cannot_carry_another(value, speak):
    server = speak(_response(b"{}"))

    with pytest.raises(NotFetched):
        fetch_json(f"http://127.0.0.1:{server.port}/", headers={"Authorization": value})

    assert b"X-Evil" not in server.heard


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """A server's TLS context with a certificate for one name, which this process trusts."""

    def for_name(name):
        key = ec.generate_private_key(ec.SECP256R1())
        who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(key, hashes.SHA256())
        )
        pem = tmp_path / "both.pem"
        pem.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        return context

    outbound._trust.cache_clear()
    yield for_name
    outbound._trust.cache_clear()


def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    certified, speak, monkeypatch
):
    server = speak(_response(b"[1]"), context=certified("login.example.com"))
    _resolving(monkeypatch, "127.0.0.1")

    answer = fetch_json(f"https://login.example.com:{server.port}/")

    assert answer.document == [1]
    assert server.names == ["login.example.com"]
    assert f"Host: login.example.com:{server.port}\r\n".encode() in server.heard


def test_a_certificate_for_another_name_is_refused(certified, speak, monkeypatch):
    server = speak(_response(b"[1]"), context=certified("other.example.com"))
    _resolving(monkeypatch, "127.0.0.1")

    with pytest.raises(NotFetched, match="does not answer as it should"):
        fetch_json(f"https://login.example.com:{server.port}/")

    assert server.heard == b""


def test_a_certificate_that_nobody_vouches_for_is_refused(certified, speak, monkeypatch):
    server = speak(_response(b"[1]"), context=certified("login.example.com"))
    monkeypatch.delenv("SSL_CERT_FILE")
    _resolving(monkeypatch, "127.0.0.1")

    with pytest.raises(NotFetched):
        fetch_json(f"https://login.example.com:{server.port}/")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b'{"a": 1, "a": 2}',
        b"[NaN]",
        b"[-Infinity]",
        b"[1e999]",
        b'["\\u0000"]',
        b'["\\udc00"]',
        b'{"\\ud800": 1}',
        b"[" * 21 + b"]" * 21,
        b"[" * 100_000,
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_json_that_would_trip_its_next_reader_is_refused(raw):
    with pytest.raises(NotSound):
        parsed(raw)


def test_ordinary_json_is_read():
    said = b'{"a": [1, -2.5, true, null, "\\ud83d\\ude00 \xc3\xa9"], "b": {"c": {}}}'

    assert parsed(said) == {"a": [1, -2.5, True, None, "😀 é"], "b": {"c": {}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"IDENTITY_NETWORKS": "inside"}, "IDENTITY_NETWORKS must be networks like 10.1.0.0/16"),
        ({"IDENTITY_NETWORKS": "10.1.2.3/16"}, "IDENTITY_NETWORKS must be networks"),
        (
            {"IDENTITY_ALLOW_LOOPBACK": "1", "DEMO": "0", "HTTPS": "1"},
            "IDENTITY_ALLOW_LOOPBACK=1 lets tenants reach this machine",
        ),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_why(changes, said):
    values = {name: v for name, v in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    started = subprocess.run(
        [sys.executable, "-c", "import portal.settings"],
        cwd=ROOT,
        env=values | changes,
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode != 0
    assert said in started.stderr


def test_on_servers_this_machine_is_out_of_reach_unless_somebody_says_otherwise():
    values = {name: v for name, v in os.environ.items() if not name.startswith("IDENTITY_")}
    asked = "from portal import settings as s; print(s.IDENTITY_ALLOW_LOOPBACK)"
    said = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=ROOT,
        env=values | {"DEMO": "0"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "False\n"


def test_the_log_does_not_quote_what_was_sent(speak, monkeypatch):
    noted = []
    monkeypatch.setattr(outbound.log, "warning", lambda *said, **facts: noted.append(facts))
    server = speak(_response(b"{}"))

    with pytest.raises(NotFetched):
        fetch_json(
            f"http://127.0.0.1:{server.port}/", headers={"Authorization": "Bearer secret\r\n"}
        )

    assert noted
    assert "secret" not in repr(noted)


def test_the_standard_library_still_asks_for_no_compression():
    """fetch_json() relies on it; if it changes, compressed answers would be refused."""
    sent = []
    connection = http.client.HTTPConnection("localhost")
    connection.send = sent.append
    connection.request("GET", "/")

    assert b"Accept-Encoding: identity" in b"".join(sent)
