"""The gateway against a real server: llama.cpp with a tiny model, over both protocols.

The model's words are nonsense, so nothing is said about them; what is tested is that the server
understands what we send and we understand what it answers. `make setup-tests` brings it.
"""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agent.brief_by_model import SCHEMA as BRIEF_SCHEMA
from agent.gateway import Material, ModelUnavailable, Question, ask
from agent.models import ModelCall, ModelRules
from agent.tools.suggesting import SCHEMA as REPAIR_SCHEMA
from tests.agent.gateway.model_servers import KEY

PACKAGES = Path(__file__).with_name("packages")
PATIENCE = 200.0  # seconds; it reads some twenty tokens a second where others compute too

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def llama():
    """The address of a server that runs until the module's tests are done."""
    program = str(Path(__file__).with_name("serve_model.py"))
    environment = {"PYTHONPATH": str(PACKAGES), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        [sys.executable, program, str(PACKAGES), KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        line = process.stdout.readline()
        while line and not line.startswith("listening "):
            line = process.stdout.readline()
        assert line, "the model server did not start; run `make setup-tests`"
        yield f"{line.split()[1]}/v1"
        process.stdin.close()
        process.wait(30)


def _ask(asker, schema, most_out=60, purpose="repair"):
    ModelRules.objects.update(keep_hours=0)
    material = (Material("The word", "countersign"),)
    question = Question(purpose, "test", material, schema, most_out=most_out, seconds=PATIENCE)
    return ask(question, asker)


WORD = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 20}},
    "required": ["word"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("protocol", ["compatible", "openai"])
def test_it_keeps_to_a_schema_and_counts_tokens(protocol, llama, set_up, asker):
    set_up(llama, protocol=protocol)

    answer = _ask(asker, WORD)

    assert list(answer.document) == ["word"]
    call = ModelCall.objects.get()
    assert (call.state, call.is_counted) == ("answered", True)
    assert 20 < call.tokens_in < call.reserved_tokens
    assert 0 < call.tokens_out <= 60
    assert 0 < call.usd < call.reserved_usd


def test_the_other_protocol_is_understood_too(llama, set_up, asker):
    set_up(llama, protocol="anthropic")

    # Without a grammar a model this small rarely writes JSON, or is cut off.
    with suppress(ModelUnavailable):
        _ask(asker, WORD, most_out=24)

    call = ModelCall.objects.order_by("created_at").first()
    assert call.state in {"answered", "refused"}, call.said
    assert (call.is_counted, call.answer_sha256 != "") == (True, True)
    assert call.tokens_in > 20
    assert 0 < call.tokens_out <= 24


@pytest.mark.parametrize("schema", [REPAIR_SCHEMA, BRIEF_SCHEMA], ids=["repair", "brief"])
def test_it_makes_a_grammar_of_our_own_schemas(schema, llama, set_up, asker):
    set_up(llama)

    with suppress(ModelUnavailable):
        _ask(asker, schema, most_out=24)

    call = ModelCall.objects.order_by("created_at").first()
    assert call.is_counted, call.said
    # What came so far kept to the schema: there is no complaint but that there was no more room.
    assert call.state == "answered" or "cut off" in call.said


def test_a_wrong_key_is_turned_away_and_costs_nothing(llama, set_up, asker):
    set_up(llama, key="another-key-0123456789")

    with pytest.raises(ModelUnavailable, match="status 401"):
        _ask(asker, WORD)

    call = ModelCall.objects.get()
    assert (call.state, call.usd) == ("unsent", 0)
