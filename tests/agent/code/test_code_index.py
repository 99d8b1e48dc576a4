"""Code is found by name, words and meaning; only what changed is read again; the wall holds."""

import subprocess
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent import code_index, repositories, runner, upkeep
from agent.errors import Busy
from agent.models import CodeIndex, CodePiece, Task
from agent.places import forge_address, local_forge
from authz.errors import Denied
from tenants.actor import system_actor
from tenants.models import User
from tenants.scope import tenants_with_repositories
from tests.portal.standing import task_of

WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)
MONEY = b'''def round_half_even(amount, places):
    """Bankers' rounding of a sum of money."""
    return amount.quantize(places)


def parse_invoice(text):
    """Read the lines of a bill that a supplier sent."""
    return text.splitlines()
'''
FILES = {
    "src/money.py": MONEY,
    "src/mail.py": b'def send(to, text):\n    """Deliver a letter to a customer."""\n',
    "README.md": b"# Desk\n",
    "logo.png": b"\x89PNG\0",
}


@pytest.fixture
def agent(in_acme):
    return User.objects.get(kind=User.Kind.AGENT).actor("job")


@pytest.fixture
def desk(in_acme, agent):
    repository = repositories.register(
        "desk",
        project=in_acme.project,
        files=FILES,
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    assert code_index.read_on(repository, by=agent) is False
    return repository


def _push(repository, changes, tmp_path):
    """A commit by a person, as git sends it; a path without content is deleted."""
    work = tmp_path / "clone"
    if not work.exists():
        _git(tmp_path, "clone", "-q", local_forge().clone_url(forge_address(repository)), "clone")
    for path, content in changes.items():
        if content is None:
            (work / path).unlink()
        else:
            (work / path).write_bytes(content)
    _git(work, "add", "-A")
    _git(work, "-c", "user.name=Bo", "-c", "user.email=bo@x.example", "commit", "-qm", "Change")
    _git(work, "push", "-q", "origin", "HEAD:main")


def _git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True)


def _found(repository, question, most=1):
    return [hit.piece.name for hit in code_index.search(question, [repository.pk], most=most)]


def test_code_is_found_by_its_name_by_a_word_in_it_and_by_what_it_is_about(desk):
    assert _found(desk, "round_half_even") == ["round_half_even"]
    assert _found(desk, "who uses quantize") == ["round_half_even"]
    assert _found(desk, "sending an e-mail to clients") in (["send"], ["src/mail.py"])
    assert _found(desk, "") == []


def test_a_push_reads_what_changed_and_forgets_what_is_gone(desk, agent, tmp_path, in_acme):
    before = dict(CodePiece.objects.values_list("name", "pk"))
    assert upkeep.moved_repositories() == []
    changed = MONEY.replace(b"def parse_invoice", b"def read_bill")
    _push(desk, {"src/money.py": changed, "src/mail.py": None, "src/new.py": b"A = 1\n"}, tmp_path)

    assert in_acme.scope.tenant_id in tenants_with_repositories()
    assert upkeep.moved_repositories() == [desk.pk]
    assert upkeep.read_code(desk.pk) is False

    names = set(CodePiece.objects.values_list("name", flat=True))
    assert names == {"src/money.py", "round_half_even", "read_bill", "src/new.py"}
    assert set(before) - names == {"parse_invoice", "src/mail.py", "send"}
    index = CodeIndex.objects.get(repository=desk)
    assert (index.state, index.files, index.files_done, index.percent) == ("ready", 2, 2, 100)
    assert index.commit == code_index.head_of(desk)
    assert upkeep.moved_repositories() == []


def test_only_pieces_that_changed_are_embedded_again(desk, agent, tmp_path, monkeypatch):
    asked = []
    real = code_index.embed
    monkeypatch.setattr(code_index, "embed", lambda texts: asked.extend(texts) or real(texts))
    _push(desk, {"src/money.py": MONEY.replace(b"a supplier", b"somebody")}, tmp_path)

    code_index.read_on(desk, by=agent)

    assert len(asked) == 1
    assert "somebody sent" in asked[0]


def test_a_copy_in_another_repository_costs_no_vectors(desk, agent, in_acme, monkeypatch):
    copy = repositories.register(
        "copy",
        project=in_acme.project,
        files=FILES,
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    with monkeypatch.context() as patched:
        patched.setattr(code_index, "embed", lambda texts: pytest.fail(f"embedded: {texts}"))
        assert code_index.read_on(copy, by=agent) is False

    assert _found(copy, "round_half_even") == ["round_half_even"]


def test_what_stands_already_is_not_read_again(desk, agent, monkeypatch, entries, in_acme):
    before = len(entries(in_acme))
    monkeypatch.setattr(code_index, "pieces", lambda *_: pytest.fail("cut again"))

    assert code_index.read_on(desk, by=agent) is False

    assert len(entries(in_acme)) == before


def test_a_question_does_not_read_the_words_of_every_piece_anew(desk):
    with CaptureQueriesContext(connection) as asked:
        _found(desk, "who uses quantize")

    ranked = [query["sql"] for query in asked if "ts_rank" in query["sql"]]
    assert len(ranked) == 1
    assert "to_tsvector" not in ranked[0]


def test_reading_stops_when_its_time_is_over_and_goes_on_where_it_was(
    desk, agent, tmp_path, monkeypatch
):
    monkeypatch.setattr(code_index, "AT_ONCE", 1)
    _push(desk, {f"src/part{n}.py": b"def f():\n    pass\n" for n in range(3)}, tmp_path)

    assert code_index.read_on(desk, by=agent, seconds=0) is True
    index = CodeIndex.objects.get(repository=desk)
    assert (index.state, index.files, index.files_done) == ("reading", 3, 1)
    assert code_index.read_on(desk, by=agent, seconds=0) is True
    assert code_index.read_on(desk, by=agent, seconds=0) is False

    index.refresh_from_db()
    assert (index.state, index.files_done) == ("ready", 3)


def test_two_workers_never_read_the_same_repository_at_once(desk, agent, monkeypatch):
    def no(*_):
        raise Busy("somebody else")

    monkeypatch.setattr(code_index, "_alone", no)
    with pytest.raises(Busy):
        code_index.read_on(desk, by=agent)
    assert upkeep.read_code(desk.pk) is False


def test_what_cannot_be_searched_is_said_and_not_tried_for_ever(desk, agent, tmp_path, monkeypatch):
    monkeypatch.setattr(code_index, "MAXIMUM_FILES", 2)
    _push(desk, {"src/a.py": b"A = 1\n"}, tmp_path)

    assert code_index.read_on(desk, by=agent) is False

    index = CodeIndex.objects.get(repository=desk)
    assert (index.state, index.reason) == ("failed", "3 files; up to 2 are searched")
    assert upkeep.moved_repositories() == []


def test_only_the_agent_may_read_code_into_the_index_and_each_reading_is_recorded(
    desk, in_acme, entries
):
    assert ("task.run", "ok") in entries(in_acme)
    CodeIndex.objects.all().delete()
    with pytest.raises(Denied):
        code_index.read_on(desk, by=in_acme.people["bo"].actor("page"))
    assert not CodeIndex.objects.exists()


def test_the_tool_uses_the_index_only_for_the_commit_that_the_task_began_on(
    desk, in_acme, tmp_path, agent
):
    task = task_of(in_acme.people["bo"], in_acme.project)
    task.kind = Task.Kind.BUGFIX
    task.repository, task.base_sha = desk, code_index.head_of(desk)
    tool = runner.TOOLS["code_search"]

    seen = tool.run(runner.bench_for(task, {}), {"query": "rounding of money"})
    tool.check_result(seen.result)
    assert seen.result["searched"] == "index and text"
    assert seen.result["files"][0]["path"] == "src/money.py"
    assert {"round_half_even"} <= {row["name"] for row in seen.result["symbols"]}

    _push(desk, {"src/a.py": b"A = 1\n"}, tmp_path)
    code_index.read_on(desk, by=agent)
    seen = tool.run(runner.bench_for(task, {}), {"query": "rounding of money"})
    tool.check_result(seen.result)
    assert seen.result["searched"] == "text"
    assert seen.result["files"][0]["path"] == "src/money.py"
