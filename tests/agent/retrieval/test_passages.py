"""Documents are cut where a reader would cut them; rankings come together fairly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.retrieval.embedding import DIMENSIONS, as_text, embed
from agent.retrieval.passages import LONGEST, chunks, fused, kind_of, status_of
from agent.retrieval.wordpiece import MOST, pieces

RECORD = b"""# Use PostgreSQL

Status: accepted

## Context

The records have to be consistent, and the team has run it for years already.

## Decision

PostgreSQL, in the version that is supported for the longest time from now on.
"""


def test_a_passage_knows_its_heading_and_the_line_it_begins_on():
    found = chunks("docs/adr/0001-data.md", RECORD)

    decision = found[-1]
    assert decision.title == "Use PostgreSQL: Decision"
    assert RECORD.decode().splitlines()[decision.line - 1] == decision.text
    assert decision.kind == "adr"
    assert "supported for the longest" in decision.text


@given(st.binary(max_size=5000))
def test_any_file_is_cut_into_passages_that_are_short_enough(content):
    for chunk in chunks("notes.md", content):
        assert 0 < len(chunk.text) <= LONGEST
        assert chunk.line >= 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("docs/adr/0001-x.md", "adr"),
        ("README.md", "document"),
        ("src/pyproject.toml", "code"),
        (".github/workflows/ci.yml", "code"),
        ("src/main.py", None),
        ("logo.png", None),
    ],
)
def test_only_documents_and_what_describes_code_is_read(path, kind):
    assert kind_of(path) == kind


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"---\nstatus: accepted\n---\n# X", "accepted"),
        (b"# X\n\n## Status\n\nSuperseded by 4\n", "superseded"),
        (b"# X\n\n* Status: proposed\n", "proposed"),
        (b"# X\n\nNo word of it.\n", ""),
    ],
)
def test_the_status_of_a_record_is_read_as_people_write_it(text, status):
    assert status_of(text) == status


def test_what_stands_high_in_both_rankings_comes_first():
    assert list(fused([["a", "b", "c"], ["b", "d", "a"]]))[:2] == ["b", "a"]


def test_near_in_meaning_is_near_in_numbers_and_the_same_text_gives_the_same_numbers():
    texts = ["people sign in with their company account", "single sign-on", "a fast queue"]

    rows = embed(texts)

    assert rows.shape == (3, DIMENSIONS)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.1
    assert as_text(embed(texts[:1])[0]) == as_text(embed(texts[:1])[0])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        # As the tokenizer that the model was trained with cuts them.
        ("PostgreSQL!", [101, 2695, 17603, 2015, 4160, 2140, 999, 102]),
        ("naïve café", [101, 15743, 7668, 102]),
        ("", [101, 102]),
    ],
)
def test_words_are_cut_as_the_model_was_taught(text, numbers):
    assert pieces(text) == numbers


@given(st.text(max_size=2000))
def test_any_text_fits_into_the_model(text):
    assert 2 <= len(pieces(text)) <= MOST
