"""Where copies of a log go in tests: a real rsyslog over TLS, a collector that speaks HEC."""

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import create_connection, socket
from threading import Lock, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

TOKEN = "0b5e8d3c-collector"


@dataclass
class Authority:
    """Files in PEM: who is trusted, and a certificate of its for 127.0.0.1."""

    trusted: Path
    certificate: Path
    key: Path


def authority(folder: Path) -> Authority:
    """A new authority with one server."""
    ours, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)

    def signed(name: str, of: Any, *extensions: Any) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")]))
            .public_key(of.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(ours, hashes.SHA256())

    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    root = signed(
        "Tests",
        ours,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(ours.public_key()), False),
    )
    server = signed(
        "127.0.0.1",
        theirs,
        (x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ours.public_key()), False),
    )
    made = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    made.trusted.write_bytes(root.public_bytes(Encoding.PEM))
    made.certificate.write_bytes(server.public_bytes(Encoding.PEM))
    made.key.write_bytes(theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass
class Rsyslog:
    """A real syslog server. file: every message it took, one a line, as it came."""

    folder: Path
    certificates: Authority
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "taken.log"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
        if program is None:
            pytest.fail("rsyslog is not installed: make setup-tests")
        configuration = self.folder / "rsyslog.conf"
        configuration.write_text(f"""
global(workDirectory="{self.folder}" maxMessageSize="128k"
    defaultNetstreamDriverCAFile="{self.certificates.trusted}"
    defaultNetstreamDriverCertFile="{self.certificates.certificate}"
    defaultNetstreamDriverKeyFile="{self.certificates.key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1"
    streamDriver.authMode="anon" maxSessions="50")
template(name="whole" type="string" string="%rawmsg%\\n")
input(type="imtcp" port="{self.port}" address="127.0.0.1" ruleset="take")
ruleset(name="take") {{
    action(type="omfile" file="{self.file}" template="whole" asyncWriting="off")
}}
""")
        with (self.folder / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [program, "-n", "-f", str(configuration), "-i", str(self.folder / "pid")],
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        for _ in range(100):
            if self.process.poll() is not None:
                pytest.fail(f"rsyslog ended: {(self.folder / 'said').read_text()[-500:]}")
            try:
                create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        pytest.fail("rsyslog does not listen")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def taken(self) -> list[dict[str, Any]]:
        """The events, in the order they came. It writes what it took when it is asked to stop."""
        self.stop()
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        return [json.loads(line[line.index("{") :]) for line in lines]


@dataclass
class Collector:
    """What Splunk's HTTP event collector answers, by its documentation, and what it has taken.

    refusing: how many requests it answers with "busy" first. lost: how many it takes, and then
    hangs up without an answer.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    refusing: int = 0
    lost: int = 0
    address: str = ""
    lock: Lock = field(default_factory=Lock)

    def answer(self, token: str, body: bytes) -> tuple[int, dict[str, Any]] | None:
        with self.lock:
            if token != f"Splunk {TOKEN}":
                return 403, {"text": "Invalid token", "code": 4}
            if self.refusing:
                self.refusing -= 1
                return 503, {"text": "Server is busy", "code": 9}
            decoder, text, at = json.JSONDecoder(), body.decode(), 0
            while at < len(text):
                event, at = decoder.raw_decode(text, at)
                assert set(event) <= {"time", "host", "source", "sourcetype", "index", "event"}
                self.events.append(event)
            if self.lost:
                self.lost -= 1
                return None
            return 200, {"text": "Success", "code": 0}


@contextmanager
def collector(certificates: Authority) -> Iterator[Collector]:
    """A collector on loopback, over TLS."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = made.answer(self.headers["Authorization"], body)
            if answer is None:
                self.close_connection = True
                return
            sent = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.address = f"https://127.0.0.1:{server.server_address[1]}/services/collector/event"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
