"""Public references are what a program read of what was decided, and no customer's words."""

import datetime as dt
import json
from dataclasses import replace

import pytest

from agent.places import shared_catalogue
from agent.recommender import Constraints, eliminate, retrieve, score
from agent.recommender.linters import check_files
from agent.recommender.rendering import render
from agent.retrieval import references
from agent.retrieval.references import Reference, references_for, references_of, search

TODAY = dt.date(2026, 11, 23)
ASKED = Constraints(
    title="Shop", skills=("python",), layers=("web-api", "relational-data", "cache-queue")
)


@pytest.fixture(scope="module")
def scored():
    known = shared_catalogue()
    evidence = retrieve(ASKED, known, TODAY)
    found = score(ASKED, known, evidence, eliminate(ASKED, known, evidence, TODAY))
    return {**found, "references": references_for(ASKED, known, found)}


def test_each_reference_says_what_a_source_says_with_place_day_and_facts(scored):
    known = shared_catalogue()
    rows = [(layer, row) for layer, rows in scored["references"].items() for row in rows]

    assert {layer for layer, _ in rows} == set(ASKED.layers)
    decided = {
        layer["layer"]: [layer["winner"], *layer["alternatives"]] for layer in scored["layers"]
    }
    for layer, row in rows:
        assert row["technology"] in decided[layer]
        for identity in row["facts"]:
            fact = known.facts[identity]
            assert (fact.source, fact.locator) == (row["source"], row["locator"])
            assert fact.as_of.isoformat() == row["as_of"]
            assert f"{fact.label}: {fact.shown()}" in row["text"]
            assert fact.grade in "ABC"
            assert not fact.by_hand
            assert not fact.is_stale(TODAY)


def test_what_was_entered_by_hand_judged_or_is_too_old_is_no_reference():
    valkey = shared_catalogue().technologies["valkey"]
    there = references_of(valkey, TODAY)
    assert there

    by_hand = {key: replace(fact, by_hand=True) for key, fact in valkey.facts.items()}
    judged = {key: replace(fact, grade="J") for key, fact in valkey.facts.items()}

    assert references_of(replace(valkey, facts=by_hand), TODAY) == []
    assert references_of(replace(valkey, facts=judged), TODAY) == []
    assert references_of(valkey, TODAY + dt.timedelta(days=4000)) == []


def test_they_are_found_by_words_and_by_meaning():
    def said(text):
        return Reference("x", "A source", text, TODAY, text, ("x.name",))

    ended = said("Support of the release line ends on 2027-01-01")
    licence = said("Licence: MIT, permissive")
    among = [said("Packages it needs: 12"), ended, licence]

    assert search("until when is it maintained", among, 1) == [ended]
    assert search("licence", among, 1) == [licence]
    assert search("licence", among, 0) == []


def test_the_record_shows_them_as_public_and_passes_every_check(scored):
    known = shared_catalogue()

    files = render(ASKED, known, scored, request_id="r-1", requested_by="Ada", today=TODAY)

    record = next(text for path, text in files.items() if path.endswith("cache-queue.md")).decode()
    row = scored["references"]["cache-queue"][0]
    assert "Public references" in record
    assert row["as_of"] in record
    assert f"`{row['facts'][0]}`" in record
    assert [check for check in check_files(files, known) if not check.ok] == []
    told = json.loads(next(text for path, text in files.items() if path.endswith("on.json")))
    cited = {fact for rows in told["references"].values() for one in rows for fact in one["facts"]}
    assert cited
    listed = json.dumps(told["sources"])
    assert all(fact in listed for fact in cited)


def test_the_ranking_is_over_when_they_are_looked_for(scored, monkeypatch):
    known = shared_catalogue()
    evidence = retrieve(ASKED, known, TODAY)

    def fails(*_):
        raise AssertionError("the ranking looked a reference up")

    monkeypatch.setattr(references, "references_of", fails)
    again = score(ASKED, known, evidence, eliminate(ASKED, known, evidence, TODAY))

    assert again == {key: value for key, value in scored.items() if key != "references"}


def test_nothing_of_a_tenant_is_among_them():
    mine = replace(
        shared_catalogue().technologies["valkey"].facts["license"],
        source="Your organisation",
        grade="A",
    )
    valkey = replace(shared_catalogue().technologies["valkey"], facts={"license": mine})

    assert references_of(valkey, TODAY) == []
