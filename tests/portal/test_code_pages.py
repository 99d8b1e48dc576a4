"""Code is searched on a page and through the API, each by whoever may see the repository."""

from datetime import UTC, datetime

import pytest

from agent import code_index, repositories
from agent.models import CodeIndex
from tenants.actor import system_actor
from tenants.models import Membership, User
from tenants.scope import tenant_scope

WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)
FILES = {"src/money.py": b'def round_half_even(amount):\n    """<b>Rounds</b> money."""\n'}


@pytest.fixture
def desk(acme):
    with tenant_scope(acme.scope):
        repository = repositories.register(
            "desk",
            project=acme.project,
            files=FILES,
            written=WRITTEN,
            by=system_actor("test", "cli"),
        )
        agent = User.objects.get(kind=User.Kind.AGENT).actor("job")
        code_index.read_on(repository, by=agent)
        return repository


def test_a_developer_finds_code_on_the_page(acme, desk, sign_in):
    found = sign_in(acme, "bo").get("/code/", {"q": "round_half_even"}).content.decode()

    assert "src/money.py, lines 1 to 2" in found
    assert "&lt;b&gt;Rounds" in found
    assert "<b>Rounds" not in found
    assert "2 pieces" in found


@pytest.mark.parametrize(
    "question", ["", " ", "\0", "'; drop table --", "x" * 5_000, "%_\\ :*&|!("]
)
def test_any_question_gets_an_answer(acme, desk, sign_in, question):
    assert sign_in(acme, "bo").get("/code/", {"q": question}).status_code == 200


def test_reading_is_shown_until_it_is_done(acme, desk, sign_in):
    with_more = {"state": CodeIndex.State.READING, "files": 8, "files_done": 2}
    with tenant_scope(acme.scope):
        CodeIndex.objects.update(**with_more)

    found = sign_in(acme, "bo").get("/code/").content.decode()

    assert 'value="25"' in found
    assert "2 of 8 files" in found
    part = sign_in(acme, "bo").get("/code/", headers={"hx-request": "true"}).content.decode()
    assert part.strip().startswith('<div class="card" id="indexes" hx-get=')


def test_another_tenant_finds_nothing_of_it(acme, globex, desk, sign_in):
    eve = sign_in(globex, "eve")

    page = eve.get("/code/", {"q": "round_half_even", "repository": str(desk.pk)})
    answer = eve.get("/api/v1/code", {"q": "round_half_even", "repository": str(desk.pk)})

    assert "money.py" not in page.content.decode()
    assert answer.json() == []


def test_a_member_without_a_role_finds_nothing(acme, desk, sign_in):
    with tenant_scope(acme.scope):
        nora = User.objects.create(email=f"nora@{acme.slug}.example", name="Nora")
        Membership.objects.create(user=nora, source="test")
    acme.people["nora"] = nora

    found = sign_in(acme, "nora").get("/code/", {"q": "round_half_even"}).content.decode()

    assert "money.py" not in found


def test_a_program_finds_code_through_the_api(acme, desk, sign_in):
    [first, *_] = sign_in(acme, "bo").get("/api/v1/code", {"q": "round half even"}).json()

    assert (first["repository"], first["path"], first["line"]) == ("desk", "src/money.py", 1)
    assert first["kind"] in {"function", "file"}
    assert sign_in(acme, "bo").get("/api/v1/code", {"q": ""}).status_code == 422
