"""A worker that takes one step of a task and kills itself in it: HOST TASK WHEN.

WHEN: "begun" (the step is on record, its tool never ran), "done" (the tool has run, nothing of it
is kept; or the plan is made), "proposed" (all is checked, and the last commit never comes).
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn
from uuid import UUID

import django

django.setup()

from agent import runner  # noqa: E402  # needs the settings
from tenants.scope import scope_of_host, tenant_scope  # noqa: E402


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def after(work: Callable[..., Any]) -> Callable[..., None]:
    def doomed(*arguments: Any, **named: Any) -> None:
        work(*arguments, **named)
        die()

    return doomed


def main(host: str, task: str, when: str) -> None:
    if when == "begun":
        runner.Toolbox._begin = after(runner.Toolbox._begin)
    elif when == "done":
        runner.Toolbox._keep = runner._keep_plan = die
    else:
        runner._propose = die
    scope = scope_of_host(host)
    assert scope is not None
    with tenant_scope(scope):
        runner.advance(UUID(task))


main(*sys.argv[1:])
