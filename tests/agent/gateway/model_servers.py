"""A model server of ours on the loopback, for what a real one does not do when asked to.

It speaks both protocols as far as the gateway uses them, and says what the test tells it to. That
the gateway speaks with a real server is shown in test_real_model_server.py.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class Asked:
    """One request as it came in. text: all that the model would read."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def system(self) -> str:
        if "system" in self.body:
            return self.body["system"]
        return self.body["messages"][0]["content"]

    @property
    def turns(self) -> list[str]:
        return [one["content"] for one in self.body["messages"] if one["role"] != "system"]

    @property
    def text(self) -> str:
        return json.dumps(self.body, ensure_ascii=False)


@dataclass
class Reply:
    """What is sent back. said: the model's words; document: the whole answer instead."""

    said: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    document: Any = None
    tokens: tuple[int, int] | None = (100, 20)
    tools: tuple[str, ...] = ()
    stop: str = ""


KEY = "sk-of-a-test-0123456789abcdef"
type Speaker = Callable[[Asked], Reply]


class ModelServer:
    """The server as a test sees it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.speaker: Speaker = lambda asked: Reply("{}")
        self._lock = Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                asked = Asked(self.path, dict(self.headers), json.loads(self.rfile.read(length)))
                with server._lock:
                    server.asked.append(asked)
                reply = server.speaker(asked)
                document = reply.document
                if document is None:
                    document = (_anthropic if "messages" in self.path else _openai)(asked, reply)
                raw = json.dumps(document).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *said: Any) -> None:
                """Nothing on the screen."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}/v1"

    def says(self, *said: Any) -> None:
        """Answer with these, one after the other, the last one for ever. A Reply as it is,
        anything else as the JSON that the model says."""
        replies = [one if isinstance(one, Reply) else Reply(json.dumps(one)) for one in said]

        def speak(asked: Asked) -> Reply:
            with self._lock:
                return replies.pop(0) if len(replies) > 1 else replies[0]

        self.speaker = speak


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Runs until the block ends."""
    server = ModelServer()
    thread = Thread(target=server._http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server._http.shutdown()
        thread.join()
        server._http.server_close()


def _openai(asked: Asked, reply: Reply) -> dict[str, Any]:
    if reply.status >= 400:
        return {"error": {"message": reply.said, "type": "error"}}
    message: dict[str, Any] = {"role": "assistant", "content": reply.said}
    if reply.tools:
        message["tool_calls"] = [
            {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for name in reply.tools
        ]
    document: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "model": asked.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reply.stop or "stop"}],
    }
    if reply.tokens:
        document["usage"] = {
            "prompt_tokens": reply.tokens[0],
            "completion_tokens": reply.tokens[1],
            "total_tokens": sum(reply.tokens),
        }
    return document


def _anthropic(asked: Asked, reply: Reply) -> dict[str, Any]:
    if reply.status >= 400:
        return {"type": "error", "error": {"type": "error", "message": reply.said}}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": reply.said}]
    blocks += [{"type": "tool_use", "id": "1", "name": n, "input": {}} for n in reply.tools]
    document: dict[str, Any] = {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "model": asked.body["model"],
        "content": blocks,
        "stop_reason": reply.stop or "end_turn",
    }
    if reply.tokens:
        document["usage"] = {"input_tokens": reply.tokens[0], "output_tokens": reply.tokens[1]}
    return document
