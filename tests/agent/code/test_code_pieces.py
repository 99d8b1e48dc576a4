"""Source files are cut where a reader would cut them, whatever stands in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.retrieval.code import LONGEST, MEANT, is_source, names_in, pieces, words_of

ORDERS = b'''"""Orders of the desk."""

RATE = 19


class Order:
    """What somebody bought."""

    currency = "EUR"

    @property
    def totalCents(self):
        return sum(self.lines)


async def ship_all(orders):
    def one(order):
        return order.ship()

    return [one(order) for order in orders]
'''


def _by_name(path, content):
    return {piece.name: piece for piece in pieces(path, content)}


def test_functions_classes_and_methods_know_their_lines_and_their_qualified_names():
    found = _by_name("src/orders.py", ORDERS)

    assert list(found) == ["src/orders.py", "Order", "Order.totalCents", "ship_all"]
    assert {piece.kind for piece in found.values()} == {"file", "class", "method", "function"}
    method = found["Order.totalCents"]
    assert (method.line, method.end_line) == (11, 13)
    assert method.text.startswith("    @property")


def test_each_line_stands_in_one_piece_so_that_a_word_leads_to_one_place():
    found = _by_name("src/orders.py", ORDERS)

    def with_word(word):
        return [name for name, piece in found.items() if word in piece.words.split()]

    assert with_word("rate") == ["src/orders.py"]
    assert with_word("currency") == ["Order"]
    assert with_word("cents") == ["Order.totalCents"]
    assert with_word("totalcents") == ["Order.totalCents"]


def test_what_this_python_cannot_read_and_other_languages_are_cut_by_lines():
    old = pieces("old.py", b"print 'two'\n" * 150)
    script = pieces("web/cart.ts", b"const a = 1;\n" * 150)

    assert [piece.kind for piece in old] == [piece.kind for piece in script]
    assert [(p.line, p.end_line) for p in script] == [(1, 151), (61, 120), (121, 151)]


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("src/main.py", True),
        ("Dockerfile", True),
        ("web/node_modules/x/index.js", False),
        ("static/htmx.min.js", False),
        ("pnpm-lock.yaml", False),
        ("logo.png", False),
        ("docs/index.md", False),
    ],
)
def test_only_what_people_wrote_as_code_is_read(path, read):
    assert is_source(path) is read


@given(st.binary(max_size=3_000), st.sampled_from(["x.py", "x.go"]))
def test_any_bytes_give_pieces_that_are_short_enough(content, path):
    for piece in pieces(path, content):
        assert len(piece.text) <= LONGEST
        assert len(piece.meant) <= MEANT
        assert 1 <= piece.line <= piece.end_line


def test_nesting_beyond_any_sense_does_not_break_the_reader():
    assert [piece.kind for piece in pieces("deep.py", b"(" * 100_000)] == ["file"]


def test_names_are_split_into_words_and_kept_whole():
    assert words_of("orderTotal total_cents HTTPServer") == [
        "order",
        "total",
        "total",
        "cents",
        "http",
        "server",
    ]
    assert names_in("what does order_total(Order) do") == ["what", "does", "order_total", "order"]
