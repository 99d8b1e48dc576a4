"""A model server on the loopback, and a tenant that has it set up.

Imports late: this file is read before the settings are there.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests.agent.gateway.model_servers import KEY, ModelServer, model_server

WORDS = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        running.says({"word": "yes"})
        yield running


def _add(company, address: str, name: str = "House", models=None, **fields):
    from agent import model_setup
    from tests.at_browser import JUST_NOW

    by = company.people["tomas"].actor("page", signed_in=JUST_NOW)
    asked = {
        "name": name, "protocol": "compatible", "address": address, "key": KEY,
        "region": "own", "data_class": "confidential", "is_on": True,
    }  # fmt: skip
    provider = model_setup.add_provider(asked | fields, by=by)
    priced = {"usd_in": "1", "usd_out": "2", "price_on": "2026-11-23", "price_source": "a test"}
    made = [
        model_setup.put_model(provider, {"name": model, "size": size, **priced}, by=by)
        for model, size in (models or {"little": "small"}).items()
    ]
    return SimpleNamespace(provider=provider, models=made, by=by)


@pytest.fixture
def set_up(in_acme) -> Callable[..., SimpleNamespace]:
    """Adds a provider with models to acme: name=size, each at 1 and 2 US dollars a million."""
    return partial(_add, in_acme)


@pytest.fixture
def set_up_for() -> Callable[..., SimpleNamespace]:
    """The same for any company, outside of its scope."""
    from tenants.scope import tenant_scope

    def added(company, address: str, **fields):
        with tenant_scope(company.scope):
            return _add(company, address, **fields)

    return added


@pytest.fixture
def asker(in_acme) -> Any:
    """The agent, at work on a task of bo's."""
    from agent.gateway import Asker
    from agent.models import Task
    from tenants.models import User
    from tests.portal.standing import task_of

    bo = in_acme.people["bo"]
    task = task_of(bo, in_acme.project, Task.State.IN_PROGRESS)
    agent = User.objects.get(kind=User.Kind.AGENT)
    by = agent.actor("job", on_behalf_of=bo)
    return Asker(by, task, bo.pk, project_id=in_acme.project.pk, task_id=task.pk)


@pytest.fixture
def question() -> Callable[..., Any]:
    """Asks for a word about some text."""
    from agent.gateway import Material, Question

    def made(text: str = "hello", **more):
        given = {"purpose": "repair", "prompt": "test", "schema": WORDS, "most_out": 100} | more
        return Question(material=(Material("Text", text),), **given)

    return made


@pytest.fixture
def facts_of() -> Callable[..., list[tuple[str, dict[str, Any]]]]:
    """Reads a company's ledger that is not sealed yet: (action, facts), oldest first."""
    from evidence.models import StagedEntry

    def read(company):
        rows = StagedEntry.objects.order_by("id")
        return [(json.loads(bytes(r.leaf))["action"], json.loads(bytes(r.payload))) for r in rows]

    return read
