"""The JSON door of the order desk."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

from order_desk.pricing import total_cents
from order_desk.storage import Orders

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def application(orders: Orders) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """Answers GET /orders/<number> with the order and its total."""

    def answer(request: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        folder, _, number = request["PATH_INFO"].strip("/").partition("/")
        order = orders.find(number) if folder == "orders" else None
        if order is None:
            status, body = "404 Not Found", {"error": "no such order"}
        else:
            status = "200 OK"
            body = {"number": number, "state": order.state, "total_cents": total_cents(order)}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return answer


def main() -> None:
    orders = Orders(os.environ["ORDER_DESK_DATABASE"])
    orders.prepare()
    with make_server("127.0.0.1", 8080, application(orders)) as server:
        server.serve_forever()
