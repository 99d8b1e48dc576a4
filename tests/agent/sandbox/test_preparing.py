"""An environment from a lock file: fetched through the proxy alone, built without a network."""

import dataclasses
import datetime
import hashlib
import io
import socket
import ssl
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.sandbox import Ended, Job, engine, preparing
from agent.sandbox.egress import Allowed, Proxy

HOST = "packages.test"


def _wheel(name: str, content: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        info = f"{name}-1.0.dist-info"
        wheel.writestr(f"{name}.py", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tag)
        wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}={name}:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return out.getvalue()


WHEEL = _wheel("greeting", "def main():\n    print('hello from a package')\n")
LOCK = f"greeting==1.0 --hash=sha256:{hashlib.sha256(WHEEL).hexdigest()}\n".replace(
    " --", " \\\n    --"
).encode()


@dataclass
class Registry:
    """A package registry with TLS on this machine's loopback."""

    certificate: bytes
    allowed: Allowed
    index: str
    asked: list[str]
    wheel: bytes = WHEEL


@pytest.fixture(scope="module")
def served() -> Iterator[Registry]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    registry = Registry(certificate, Allowed(frozenset()), "", [])

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(self.path)
            page = b'<a href="/files/greeting-1.0-py3-none-any.whl">greeting</a>'
            body = registry.wheel if self.path.endswith(".whl") else page
            self.send_response(200)
            kind = "application/octet-stream" if body is registry.wheel else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as both:
            both.write(certificate + private)
            both.flush()
            context.load_cert_chain(both.name)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        where = {HOST: ("127.0.0.1", server.server_address[1])}
        registry.allowed = Allowed(frozenset({HOST}), addresses=where)
        registry.index = f"https://{HOST}/simple/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield registry
        server.shutdown()
        thread.join()


@pytest.fixture
def gvisor(tmp_path):
    runs = Path(tempfile.mkdtemp(prefix="runs-"))
    return dataclasses.replace(engine(), store=tmp_path / "environments", runs=runs)


def _prepare(gvisor, registry, lock=LOCK):
    return preparing.locked(
        lock,
        engine=gvisor,
        allowed=registry.allowed,
        index=registry.index,
        certificates=registry.certificate,
    )


def test_an_environment_is_made_once_and_used_without_a_network(gvisor, served):
    environment = _prepare(gvisor, served)
    asked = len(served.asked)
    again = _prepare(gvisor, served)
    outcome = gvisor.run(Job(("greeting",), {}, environment=environment))

    assert outcome.stdout == b"hello from a package\n", outcome.stderr
    assert outcome.environment_digest == environment.digest
    assert again == environment
    assert len(served.asked) == asked > 0
    assert list(environment.path.rglob("greeting*.pyc"))
    assert environment.digest != gvisor.run(Job(("true",), {})).environment_digest


@pytest.mark.slow
def test_a_wheel_with_another_hash_is_refused(gvisor, served, monkeypatch):
    monkeypatch.setattr(served, "wheel", _wheel("greeting", "def main(): print('swapped')\n"))

    with pytest.raises(preparing.CannotPrepare, match="fetching ended"):
        _prepare(gvisor, served)
    assert [
        path for path in gvisor.store.iterdir() if "greeting" in str(list(path.rglob("*")))
    ] == []


@pytest.mark.slow
def test_no_other_host_can_be_reached_while_fetching(gvisor, served):
    elsewhere = dataclasses.replace(served, index="https://elsewhere.test/simple/")

    with pytest.raises(preparing.CannotPrepare, match=r"elsewhere\.test:443, which is not allowed"):
        _prepare(gvisor, elsewhere)


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://elsewhere.test/",
        "-r other.txt",
        "--find-links /etc",
        "-e .",
        "package @ https://elsewhere.test/x.whl",
        "package>=1",
        "./package.whl",
        "package==1 --global-option=x",
        "--trusted-host x",
    ],
)
def test_a_lock_file_names_packages_and_hashes_only(gvisor, served, line):
    with pytest.raises(preparing.CannotPrepare, match="line 1"):
        _prepare(gvisor, served, line.encode() + b"\n" + LOCK)


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"CONNECT elsewhere.test:443 HTTP/1.1", b"403"),
        (b"CONNECT packages.test:22 HTTP/1.1", b"403"),
        (b"CONNECT 127.0.0.1:443 HTTP/1.1", b"403"),
        (b"CONNECT packages.test.evil.test:443 HTTP/1.1", b"403"),
        (b"GET http://packages.test/ HTTP/1.1", b"405"),
        (b"CONNECT packages.test:443\r\nX HTTP/1.1", b"405"),
    ],
)
def test_the_proxy_knows_a_few_hosts_and_one_port(served, request_line, answer):
    with Proxy(served.allowed) as proxy, socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(10)
        asked.connect(str(proxy.folder / "proxy"))
        asked.sendall(request_line + b"\r\n\r\n")

        assert asked.recv(100).split()[1] == answer


def test_a_name_that_leads_into_our_own_network_is_not_followed():
    assert Allowed(frozenset({"localhost"})).address("localhost", 443) is None


def test_what_fetching_may_reach_a_job_may_not(gvisor, served):
    job = Job(("sh", "-c", "ls -d /egress; ls /egress"), {})

    outcome = gvisor.run(job)

    assert (outcome.ended, outcome.stdout) == (Ended.EXITED, b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../up", tarfile.REGTYPE),
        ("/lib/up", tarfile.REGTYPE),
        ("lib/link", tarfile.SYMTYPE),
        ("lib/hard", tarfile.LNKTYPE),
        ("lib/pipe", tarfile.FIFOTYPE),
        ("lib/device", tarfile.CHRTYPE),
        ("lib/" + "d/" * 100 + "x", tarfile.REGTYPE),
    ],
)
def test_packages_bring_plain_files_only(tmp_path, name, kind):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)

    with pytest.raises(preparing.CannotPrepare):
        preparing._unpack(out.getvalue(), tmp_path / "environment")
    assert not (tmp_path / "up").exists()


def test_packages_do_not_replace_the_interpreter(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/opt/python/bin/python3.13")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("bin/python")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))

    preparing._unpack(out.getvalue(), tmp_path)

    assert (tmp_path / "bin" / "python").is_symlink()
