"""Fetches what it is told to over TLS, through the proxy that its environment names.

Runs in the sandbox (python fetching.py CERTIFICATES), so it imports nothing of ours. A request is
a line, {"url", "accept", "most"}; the answer is a line, {"status", "type", "url", "bytes"} with as
many bytes after it, or {"problem"} when there is none. most: bytes that an answer may have.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

PATIENCE_S = 30


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to addresses with TLS only; which hosts may be reached is for the proxy to say."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it leads to an address without TLS, {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener(certificates: str, proxy: str) -> urllib.request.OpenerDirector:
    """What opens https addresses through a proxy, and nothing else."""
    made = urllib.request.OpenerDirector()
    trust = ssl.create_default_context(cafile=certificates)
    for handler in (
        urllib.request.ProxyHandler({"https": proxy}),
        urllib.request.HTTPSHandler(context=trust),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        made.add_handler(handler)
    return made


def answered(asked: dict[str, Any], by: urllib.request.OpenerDirector) -> tuple[Any, bytes]:
    """The line of an answer, and the bytes that follow it."""
    headers = {"Accept": asked["accept"]}
    request = urllib.request.Request(asked["url"], headers=headers)  # noqa: S310  # see opener
    try:
        with by.open(request, timeout=PATIENCE_S) as answer:
            content = answer.read(asked["most"] + 1)
            kind, url, status = answer.headers.get_content_type(), answer.url, answer.status
    except urllib.error.HTTPError as error:
        with error:
            kind, url, status, content = "", error.url, error.code, b""
    except urllib.error.URLError as error:
        return {"problem": str(error.reason)}, b""
    except (OSError, HTTPException, ValueError) as error:
        return {"problem": f"{type(error).__name__}: {error}"}, b""
    if len(content) > asked["most"]:
        return {"problem": f"it has more than {asked['most']:,} bytes"}, b""
    return {"status": status, "type": kind, "url": url, "bytes": len(content)}, content


def main() -> None:
    """Answer until nobody asks any more."""
    by = opener(sys.argv[1], os.environ["HTTPS_PROXY"])
    for line in sys.stdin:
        said, content = answered(json.loads(line), by)
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + content)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
