"""The witness over HTTP: two addresses, nothing else."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from countersign_witness.witness import TEXT, Answer, Witness

MOST_BYTES = 65_536  # of a request
SECONDS = 10  # to send one
_NEWEST = re.compile(r"/([0-9a-f]{64})/checkpoint")


class Server(ThreadingHTTPServer):
    """Answers for one witness."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        self.witness = witness
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    server_version, sys_version = "countersign-witness", ""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            self._refuse(404, "there is add-checkpoint, and <origin hash>/checkpoint\n")
        elif not length.isdigit() or int(length) > MOST_BYTES:
            self._refuse(413, f"a request has a Content-Length of at most {MOST_BYTES}\n")
        else:
            self._answer(self.server.witness.add_checkpoint(self.rfile.read(int(length))))

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(Answer(200, "ok\n"))
        elif found := _NEWEST.fullmatch(self.path):
            self._answer(self.server.witness.newest(found.group(1)))
        else:
            self._answer(Answer(404, "there is add-checkpoint, and <origin hash>/checkpoint\n"))

    def _refuse(self, status: int, why: str) -> None:
        """Without having read what was sent, so nothing more can come over this connection."""
        self.close_connection = True
        self._answer(Answer(status, why, TEXT))

    def _answer(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
