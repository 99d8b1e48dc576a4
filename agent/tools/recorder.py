"""Runs inside the sandbox: records how tests call a function, then what it answers and its mutants.

Reads /job/order.json, writes recorded.json. Shipped as a file; imports nothing of the product.
"""

import ast
import importlib
import itertools
import json
import os
import select
import signal
import sys
import time
import types
from typing import Any

CALLS, INPUTS = 60, 160  # at most
PER_CALL, PER_VARIANT = 0.25, 6.0  # seconds
LONGEST = 2_000  # characters of a value


class TooSlow(BaseException):
    """A call took longer than it may."""


def literal(value: Any) -> str | None:
    """The value as text that reads back as the same, or None."""
    try:
        said = repr(value)
        if len(said) > LONGEST or ast.literal_eval(said) != value:
            return None
    except Exception:  # noqa: BLE001  # whatever a stranger's repr may do
        return None
    return said


def recorded(order: dict[str, Any]) -> list[list[str]]:
    """Distinct calls as [positional texts], as the repository's own tests make them."""
    import pytest

    found: dict[tuple[str, ...], None] = {}

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or len(found) >= CALLS or code.co_name != order["function"]:
            return
        if not code.co_filename.endswith("/" + order["path"]):
            return
        if code.co_flags & 0x0C or code.co_kwonlyargcount:  # *args, **kwargs
            return
        said = [literal(frame.f_locals[n]) for n in code.co_varnames[: code.co_argcount]]
        texts = [each for each in said if each is not None]
        if len(texts) == len(said):
            found[tuple(texts)] = None

    sys.setprofile(watch)
    try:
        pytest.main(["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-x", "--maxfail=50"])
    finally:
        sys.setprofile(None)
    return [list(call) for call in found]


def near(value: Any) -> list[Any]:
    """Values of the same kind that lie beside it."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, 0, -value]
    if isinstance(value, float):
        return [value + 1, value / 2, 0.0, -value]
    if isinstance(value, str):
        return ["", value + "x", value[::-1], value[:-1]]
    if isinstance(value, list | tuple):
        kind = type(value)
        every = list(value)
        return [kind(each) for each in ([], every[::-1], every + every[:1], every[1:])]
    if isinstance(value, dict):
        return [{}, dict(list(value.items())[1:])]
    return []


def varied(calls: list[list[str]]) -> list[list[str]]:
    """The calls themselves, then each with one argument changed."""
    rows = dict.fromkeys(tuple(call) for call in calls)
    for call in calls:
        for place, text in enumerate(call):
            for other in near(ast.literal_eval(text)):
                said = literal(other)
                if said is not None and len(rows) < INPUTS:
                    rows[(*call[:place], said, *call[place + 1 :])] = None
    return [list(row) for row in rows]


def module_from(source: str, order: dict[str, Any]) -> types.ModuleType:
    """The module made from another text, beside the real one."""
    real = importlib.import_module(order["module"])
    module = types.ModuleType(order["module"])
    module.__dict__.update(__package__=real.__package__, __file__=real.__file__)
    exec(compile(source, order["path"], "exec"), module.__dict__)  # noqa: S102
    return module


def answers(source: str, inputs: list[list[str]], order: dict[str, Any]) -> list[list[str]]:
    """What the function answers to each input, worked out in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        try:
            said = json.dumps(_answered(source, inputs, order)).encode()
        except BaseException as error:  # noqa: BLE001  # a mutant may do anything
            said = json.dumps([["broken", type(error).__name__]] * len(inputs)).encode()
        with os.fdopen(writing, "wb") as file:
            file.write(said)
        os._exit(0)
    os.close(writing)
    content, until = b"", time.monotonic() + PER_VARIANT
    while (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        part = os.read(reading, 65_536)
        if not part:
            break
        content += part
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        rows: list[list[str]] = json.loads(content)
    except ValueError:
        return [["slow", ""]] * len(inputs)
    return rows


def _answered(source: str, inputs: list[list[str]], order: dict[str, Any]) -> list[list[str]]:
    def stop(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, stop)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    function = getattr(module_from(source, order), order["function"])
    rows = []
    for texts in inputs:
        arguments = [ast.literal_eval(text) for text in texts]
        signal.setitimer(signal.ITIMER_REAL, PER_CALL)
        try:
            said = literal(function(*arguments))
            row = ["other", ""] if said is None else ["value", said]
        except TooSlow:
            row = ["slow", ""]
        except Exception as error:  # noqa: BLE001  # what it raises is its answer
            row = ["raises", type(error).__name__]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        rows.append(row)
    return rows


def main() -> None:
    with open("/job/order.json") as file:
        order = json.load(file)
    sys.path[:0] = ["/workspace/src", "/workspace"]
    inputs = varied(recorded(order))
    with open(order["path"]) as file:
        source = file.read()
    first, again = answers(source, inputs, order), answers(source, inputs, order)
    steady = [
        place
        for place, (one, two) in enumerate(zip(first, again, strict=True))
        if one == two and one[0] in {"value", "raises"}
    ]
    kills = []
    until = time.monotonic() + order["seconds"]
    for mutant in itertools.takewhile(lambda _: time.monotonic() < until, order["mutants"]):
        seen = answers(mutant, inputs, order)
        kills.append([place for place in steady if seen[place] != first[place]])
    with open("recorded.json", "w") as file:
        json.dump({"inputs": inputs, "answers": first, "steady": steady, "kills": kills}, file)


main()
