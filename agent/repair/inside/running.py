"""Tests, called as directly as their fixtures allow."""

import copy
from typing import Any

import pytest
from _pytest.assertion import rewrite
from _pytest.outcomes import OutcomeException
from _pytest.runner import runtestprotocol

from .clock import Clock, OutOfTime
from .outcomes import note


def plain(item: pytest.Item) -> bool:
    """Whether calling the test's function with its parameters is all that pytest would do."""
    if type(item) is not pytest.Function:
        return False
    if any(True for name in ("skip", "skipif", "xfail") for _ in item.iter_markers(name)):
        return False
    given = set(item.callspec.params) if hasattr(item, "callspec") else set()
    return all(
        name in given and is_value(item, name) for name in item.fixturenames if name != "request"
    )


def run_item(item: pytest.Item, direct: bool) -> tuple[bool, str, str]:
    """Whether it passed, the kind of error, what was said."""
    if direct:
        try:
            call(item)
        except OutcomeException as ended:
            return type(ended).__name__ != "Failed", type(ended).__name__, str(ended)[:300]
        except (Exception, RecursionError) as fault:  # noqa: BLE001  # it may raise anything
            return False, type(fault).__name__, str(fault)[:300]
        except SystemExit:
            return False, "SystemExit", ""
        return True, "", ""
    tests: dict[str, dict[str, Any]] = {}
    for report in runtestprotocol(item, log=False):
        note(tests, report)
    if Clock.rang:
        raise OutOfTime
    got = tests[item.nodeid]
    kind = got["reason"].split(":")[0].strip()
    return got["outcome"] not in {"failed", "error"}, kind, got["reason"]


def run_lean(item: pytest.Item) -> None:
    """Set up, run and tear down as pytest does, without reports. Raises what the test raises.

    Parameters are fresh copies: a candidate may change what it is given, the next must not see it.
    """
    state: Any = item.session._setupstate
    params: dict[str, Any] = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    given = {name: params[name] for name in params if is_value(item, name)}
    params.update(copy.deepcopy(given))
    if hasattr(item, "_initrequest"):
        item._initrequest()  # fixtures of the run before are not taken again
    try:
        state.setup(item)
        item.runtest()
        # A unittest case keeps its failures instead of raising them.
        kept = getattr(item, "_excinfo", None)
        if kept:
            raise kept.pop().value
    finally:
        params.update(given)
        state.teardown_exact(None)


def is_value(item: pytest.Item, name: str) -> bool:
    """Whether a parameter is handed to the test as it is, by no fixture."""
    assert isinstance(item, pytest.Function)
    fixtures = item._fixtureinfo.name2fixturedefs.get(name, ())
    return all(d.func.__name__ == "get_direct_param_fixture_func" for d in fixtures)


def say_nothing() -> None:
    """Have assertions fail without a word: their texts take longer than most tests."""
    rewrite._saferepr = lambda obj: ""


def line_of(fault: BaseException, item: pytest.Item) -> int:
    """Where in its test the error came from; 0 when nowhere."""
    step = fault.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == str(item.path):
            return step.tb_lineno
        step = step.tb_next
    return 0


def quick(item: pytest.Item, direct: bool) -> tuple[bool, str, str, int]:
    """Run a test without writing a report about it, which takes longer than most tests.

    Returns whether it passed, the kind of error, what was said, and the line in the test.
    """
    if not direct and "caplog" in getattr(item, "fixturenames", ()):
        return *run_item(item, direct=False), 0
    try:
        if direct:
            call(item)
        else:
            run_lean(item)
    except OutcomeException as ended:
        return type(ended).__name__ != "Failed", type(ended).__name__, "", 0
    except Exception as fault:  # noqa: BLE001  # it may raise anything
        said = str(fault)[:120] if not isinstance(fault, AssertionError) else ""
        return False, type(fault).__name__, said, line_of(fault, item)
    except SystemExit:
        return False, "SystemExit", "", 0
    return True, "", "", 0


def call(item: pytest.Item) -> None:
    """The test's function with a fresh copy of its parameters."""
    assert isinstance(item, pytest.Function)
    given = copy.deepcopy(item.callspec.params) if hasattr(item, "callspec") else {}
    item.obj(**given)
