"""Reads requests off the wire with httptools, and cuts off whoever never comes to the point.

uvicorn --http portal.wire:BoundedHttp. By itself uvicorn bounds the head of a request only with its
parser in Python; with httptools one client could fill the memory with headers that never end.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 64 * 1024  # bytes; uvicorn's bound with its other parser


class BoundedHttp(HttpToolsProtocol):
    """As uvicorn's, with a bound on what lies between two points of a request: its head, a part
    of its body, its end."""

    _since = 0  # bytes
    _came_on = False

    def data_received(self, data: bytes) -> None:
        self._came_on = False
        super().data_received(data)
        self._since = 0 if self._came_on else self._since + len(data)
        if self._since > LONGEST_HEAD:
            self._since = 0
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        self._came_on = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._came_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._came_on = True
        super().on_message_complete()
