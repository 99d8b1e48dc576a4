"""What the web process takes off the wire, and what it cuts off."""

import asyncio

import pytest
import uvicorn

from portal.wire import LONGEST_HEAD

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FILLER = b"a" * 8192
ENOUGH = 200 * len(FILLER)  # of what never ends


async def _counts(scope, receive, send):
    """Answers with how many bytes the body had."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    said = str(size).encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def answers(*parts: bytes, count: int = 1) -> list[bytes]:
    """What comes back, one line of status and one body for each answer, when the parts are sent."""

    async def talk() -> list[bytes]:
        config = uvicorn.Config(
            _counts, http="portal.wire:BoundedHttp", lifespan="off", log_config=None, port=0
        )
        config.load()
        server = uvicorn.Server(config)
        listening = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(
                config=config, server_state=server.server_state, app_state={}
            ),
            "127.0.0.1",
        )
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            found = []
            try:
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                for _ in range(count):
                    head = await reader.readuntil(b"\r\n\r\n")
                    status = head.split(b" ")[1]
                    size = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                    found += [status, await reader.readexactly(int(size)) if size else b""]
            except (ConnectionError, asyncio.IncompleteReadError):
                found.append(b"cut off")
            finally:
                writer.transport.abort()
            return found

    return asyncio.run(asyncio.wait_for(talk(), 30))  # else it would wait for ever


def test_requests_one_after_the_other_are_answered():
    one = POST + b"Content-Length: 3\r\n\r\nabc"

    assert answers(one, one, one + one, count=4) == [b"200", b"3"] * 4


def test_a_large_body_passes_whole_and_in_small_chunks():
    size = 40 * LONGEST_HEAD
    whole = POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    chunks = CHUNKED + b"1\r\nx\r\n" * LONGEST_HEAD + b"0\r\n\r\n"

    assert answers(whole) == [b"200", str(size).encode()]
    assert answers(chunks) == [b"200", str(LONGEST_HEAD).encode()]


def test_a_long_head_passes_up_to_the_bound():
    headers = b"X: " + b"a" * (LONGEST_HEAD - 1000) + b"\r\n"

    assert answers(POST + headers + b"Content-Length: 0\r\n\r\n") == [b"200", b"0"]


@pytest.mark.parametrize(
    "begin",
    [POST, POST + b"X: ", b"GET /", CHUNKED + b"1\r\nx\r\n0\r\nX: "],
    ids=["headers", "one header", "an address", "a trailer"],
)
def test_what_never_ends_is_cut_off(begin):
    part = b"X: " + FILLER + b"\r\n" if begin == POST else FILLER

    found = answers(begin, *[part] * (ENOUGH // len(part)))

    assert found[0] in (b"cut off", b"400")
