"""The check of the catalogue counts what is there, and fails when it is not good enough."""

import datetime as dt
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from agent.recommender.lint import report

TODAY = dt.date(2026, 11, 23)


def test_the_figures_are_those_of_the_catalogue(catalogue):
    found = report(catalogue, TODAY)

    known = [fact for fact in catalogue.facts.values() if fact.state == "known"]
    assert found.known == len(known) == sum(found.grades.values())
    assert found.known + sum(found.without_value.values()) == len(catalogue.facts)
    assert found.thin == ()
    assert found.contested == ()
    assert 0 < found.within_ttl < 1
    assert found.stale <= found.due


def test_on_the_day_of_the_newest_reading_enough_facts_are_within_their_age_limit(catalogue):
    newest = max(snapshot.retrieved_at for snapshot in catalogue.snapshots)

    assert report(catalogue, newest).within_ttl >= 0.95


def test_facts_grow_old_with_the_days(catalogue):
    now, later = report(catalogue, TODAY), report(catalogue, TODAY + dt.timedelta(days=400))

    assert later.within_ttl < 0.2 < now.within_ttl
    assert later.stale > now.stale


def test_an_option_with_few_facts_is_called_thin(catalogue):
    facts = dict(list(catalogue.technologies["vault"].facts.items())[:3])
    vault = replace(catalogue.technologies["vault"], facts=facts | _licence(catalogue))
    thinner = replace(catalogue, technologies={**catalogue.technologies, "vault": vault})

    assert [tech.id for tech in report(thinner, TODAY).thin] == ["vault"]


def test_the_command_fails_when_too_many_facts_are_old(capsys):
    with pytest.raises(CommandError, match="within their age limit"):
        call_command("check_catalogue", within_ttl=99.9)
    call_command("check_catalogue", within_ttl=1.0)

    said = capsys.readouterr().out
    for words in ("grade A", "entered by hand", "days old", "contradict"):
        assert words in said, words


def _licence(catalogue):
    return {"license": catalogue.technologies["vault"].facts["license"]}
