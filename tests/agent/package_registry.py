"""A registry of packages with TLS on this machine's loopback, under names that exist nowhere."""

import datetime
import hashlib
import io
import json
import ssl
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST, FILES_HOST = "packages.test", "files.test"
JSON = "application/vnd.pypi.simple.v1+json"


def wheel(name: str, version: str, content: str = "", needs: tuple[str, ...] = ()) -> bytes:
    """A wheel of one module."""
    info = f"{name}-{version}.dist-info"
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    said += "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": content or f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"{said}\n# Changelog\n\n## {version}\nNew things.\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}={name}:main\n",
        f"{info}/RECORD": "",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return out.getvalue()


@dataclass
class Server:
    """What the registry has and does; change it while it runs.

    files: content by file name. digests: what the index says of a file instead of the truth.
    redirects: path -> where it leads. asked: (host, path) of each request. as_json: PEP 691.
    """

    certificates: Path
    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    as_json: bool = True
    files_at: str = f"https://{HOST}"
    broken: bool = False

    @property
    def index(self) -> str:
        return f"https://{HOST}/simple/"

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        return dict.fromkeys((HOST, FILES_HOST), ("127.0.0.1", self.port))

    def add(self, name: str, version: str, **also: object) -> str:
        """Offer a wheel; gives its SHA-256."""
        content = wheel(name, version, **also)  # type: ignore[arg-type]
        self.files[f"{name}-{version}-py3-none-any.whl"] = content
        return hashlib.sha256(content).hexdigest()

    def page(self, name: str, as_json: bool) -> bytes | None:
        found = [file for file in self.files if file.startswith(f"{name}-")]
        if not found:
            return None
        rows = []
        for file in found:
            true = hashlib.sha256(self.files[file]).hexdigest()
            digest = self.digests.get(file, true)
            rows.append((file, f"{self.files_at}/files/{file}", digest))
        if as_json:
            listed = [
                {"filename": file, "url": url, "hashes": {"sha256": digest} if digest else {}}
                for file, url, digest in rows
            ]
            return json.dumps({"meta": {"api-version": "1.0"}, "files": listed}).encode()
        links = [f'<a href="{url}#sha256={digest}">{file}</a>' for file, url, digest in rows]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


@contextmanager
def serving() -> Iterator[Server]:
    """The registry, from now until the `with` block ends."""
    certificate, private = _certificate()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append((self.headers["Host"], self.path))
            if self.path in server.redirects:
                self._send(302, b"", "text/plain", server.redirects[self.path])
            elif server.broken:
                self._send(503, b"", "text/plain")
            elif self.path.startswith("/simple/"):
                as_json = server.as_json and JSON in self.headers["Accept"]
                page = server.page(self.path.split("/")[2], as_json)
                kind = JSON if as_json else "text/html"
                self._send(404 if page is None else 200, page or b"", kind)
            else:
                content = server.files.get(self.path.rpartition("/")[2])
                status = 404 if content is None else 200
                self._send(status, content or b"", "application/octet-stream")

        def _send(self, status: int, body: bytes, kind: str, location: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http,
    ):
        public, both = Path(folder) / "public.pem", Path(folder) / "both.pem"
        public.write_bytes(certificate)
        both.write_bytes(certificate + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        http.socket = context.wrap_socket(http.socket, server_side=True)
        server = Server(public, http.server_address[1])
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(host) for host in (HOST, FILES_HOST)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
