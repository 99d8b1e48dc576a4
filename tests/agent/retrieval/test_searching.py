"""A tenant's documents are found, cited and contradicted; they never move a ranking."""

import datetime as dt
import json

import pytest
from poison import TARGET, poisoned_files

from agent import repositories, searching
from agent.models import Passage
from agent.places import catalogue, forge_address, local_forge
from agent.recommender import Constraints, eliminate, retrieve, score
from agent.recommender.linters import check_files
from agent.recommender.rendering import render
from agent.recommender.scan import read_repository
from agent.retrieval.citing import contradictions, passages_for
from agent.retrieval.references import references_for
from authz.errors import Denied
from evidence.models import Entry
from tenants.actor import system_actor
from tenants.models import User
from tenants.scope import tenant_scope

TODAY = dt.date(2026, 11, 23)
WRITTEN = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
ASKED = Constraints(
    title="Customer portal",
    building="A multi-tenant portal with transactions.",
    skills=("python",),
    layers=("web-api", "relational-data", "cache-queue"),
)
FILES = {
    "docs/adr/0001-data.md": b"# Use PostgreSQL for the records\n\nStatus: accepted\n\n"
    b"We keep the records in PostgreSQL, because consistency matters to us.\n",
    "docs/adr/0002-queue.md": b"# Use RabbitMQ for work that waits\n\nStatus: accepted\n\n"
    b"Work that has to wait goes into RabbitMQ, which the platform team runs.\n",
    "docs/adr/0003-old.md": b"# Use Oracle for the records\n\nStatus: superseded\n\n"
    b"Once the records were kept in Oracle, long before this company grew up.\n",
    "docs/signin.md": b"# Signing in\n\nEmployees use their company account, no password.\n",
    "src/main.py": b"print('not a document')\n",
}


@pytest.fixture
def agent(acme):
    with tenant_scope(acme.scope):
        return User.objects.get(kind=User.Kind.AGENT).actor("job")


@pytest.fixture
def indexed(acme, agent):
    def register(name, files):
        repository = repositories.register(
            name,
            project=acme.project,
            files=files,
            written=WRITTEN,
            by=system_actor("test", "cli"),
        )
        searching.index_repository(repository, by=agent)
        return repository

    return register


def _search(*found):
    def search(question, names, most):
        rows = searching.search(question, [each.pk for each in found], words=names, most=most)
        return [searching.cited(row.passage) for row in rows]

    return search


def _scored(search=None, records=()):
    known = catalogue()
    evidence = retrieve(ASKED, known, TODAY)
    evidence["passages"] = passages_for(ASKED, known, evidence["layers"], search) if search else {}
    scored = score(ASKED, known, evidence, eliminate(ASKED, known, evidence, TODAY))
    return {
        **scored,
        "passages": evidence["passages"],
        "references": references_for(ASKED, known, scored),
        "contradictions": contradictions(scored, known, records),
    }


def test_a_question_finds_the_passage_by_its_meaning_and_by_its_words(acme, indexed):
    with tenant_scope(acme.scope):
        found = indexed("shop", FILES)

        by_meaning = searching.search("how do people log on", [found.pk], most=1)
        by_words = searching.search("RabbitMQ", [found.pk], most=1)

    assert by_meaning[0].passage.path == "docs/signin.md"
    assert by_words[0].passage.path == "docs/adr/0002-queue.md"
    assert by_words[0].passage.line == 3


def test_only_what_changed_is_read_again_and_what_is_gone_is_forgotten(acme, agent, indexed):
    with tenant_scope(acme.scope):
        found = indexed("shop", FILES)
        before = Passage.objects.filter(repository=found).count()
        entries = Entry.objects.count()

        again = searching.index_repository(found, by=agent)

        assert (again.read, again.gone, again.passages) == (0, 0, before)
        assert Entry.objects.count() == entries, "nothing changed, so nothing is written"

        forge, address = local_forge(), forge_address(found)
        head = forge.head(address, "main")
        assert forge.list_files(address, head)
        Passage.objects.filter(path="docs/signin.md").update(content_sha256="0" * 64)
        Passage.objects.filter(path="docs/adr/0003-old.md").update(path="docs/adr/0009-gone.md")
        healed = searching.index_repository(found, by=agent)

        assert (healed.read, healed.gone) == (2, 1)
        assert not Passage.objects.filter(path="docs/adr/0009-gone.md").exists()


def test_a_person_without_the_agents_permission_cannot_index(acme, indexed):
    with tenant_scope(acme.scope):
        found = indexed("shop", FILES)
        Passage.objects.all().delete()

        with pytest.raises(Denied):
            searching.index_repository(found, by=acme.people["bo"].actor("page"))

        assert not Passage.objects.exists()


def test_no_other_company_finds_a_passage(acme, globex, indexed):
    with tenant_scope(acme.scope):
        found = indexed("shop", FILES)
    with tenant_scope(globex.scope):
        assert searching.search("PostgreSQL records", [found.pk]) == []
        assert Passage.objects.count() == 0


def test_an_accepted_record_that_says_otherwise_is_shown_and_a_superseded_one_is_not(acme, indexed):
    with tenant_scope(acme.scope):
        found = indexed("shop", {**FILES, **_mongo()})
        scored = _scored(_search(found), searching.records([found.pk]))

    winner = next(row["winner"] for row in scored["layers"] if row["layer"] == "relational-data")
    shown = {(row["layer"], row["path"]) for row in scored["contradictions"]}
    assert winner != TARGET
    assert ("relational-data", "shop/docs/adr/0004-mongo.md") in shown
    assert ("relational-data", "shop/docs/adr/0003-old.md") not in shown
    text = _files(scored)["docs/adr/20261123-relational-data.md"].decode()
    assert "Against an accepted record" in text
    assert "An accepted record chose MongoDB" in text


def test_what_documents_say_is_quoted_with_its_place(acme, indexed):
    with tenant_scope(acme.scope):
        found = indexed("shop", FILES)
        scored = _scored(_search(found))

    text = _files(scored)["docs/adr/20261123-relational-data.md"].decode()
    assert "`shop/docs/adr/0001-data.md:3`" in text
    assert "We keep the records in PostgreSQL" in text
    assert [check for check in check_files(_files(scored), catalogue()) if not check.ok] == []


def test_thirty_poisoned_documents_move_no_ranking_and_break_no_file(acme, indexed):
    poison = poisoned_files()
    assert len(poison) >= 30
    with tenant_scope(acme.scope):
        clean = indexed("clean", FILES)
        bad = indexed("bad", {**FILES, **poison})
        one = _scored(_search(clean), searching.records([clean.pk]))
        other = _scored(_search(bad), searching.records([bad.pk]))

    quoted = json.dumps(other["passages"])
    assert "MongoDB" in quoted, "the poison is found; otherwise this proves nothing"
    assert json.dumps(one["layers"]) == json.dumps(other["layers"])
    assert [check for check in check_files(_files(other), catalogue()) if not check.ok] == []


def test_poisoned_documents_fill_nothing_into_the_form_but_names_of_their_records():
    rows = read_repository(poisoned_files(), catalogue())

    assert {(row.field, row.value) for row in rows} <= {("already_run", TARGET)}


def _mongo():
    return {
        "docs/adr/0004-mongo.md": b"# Use MongoDB for the records\n\nStatus: accepted\n\n"
        b"The records are documents, so they are kept in a store of documents.\n"
    }


def _files(scored):
    return render(
        ASKED, catalogue(), scored, request_id="r", requested_by="Ada Lovelace", today=TODAY
    )
