"""A name gets another one wherever it is used, and nowhere else."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.recasting import (
    CannotRecast,
    Rename,
    imports_of,
    keyword_renamed,
    module_of,
    renamed,
)


def _recast(source, old, new, path="src/shop/cart.py", **more):
    found = renamed({path: source.encode()}, Rename.parse(old, new), **more)
    return found.files.get(path, source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "from shop.pricing import total\nx = total(1)\n",
            "from shop.pricing import whole\nx = whole(1)\n",
        ),
        (
            "from .pricing import total as t\nx = t(1)\n",
            "from .pricing import whole as t\nx = t(1)\n",
        ),
        (
            "from . import pricing\nx = pricing.total\n",
            "from . import pricing\nx = pricing.whole\n",
        ),
        (
            "import shop.pricing\nx = shop.pricing.total\n",
            "import shop.pricing\nx = shop.pricing.whole\n",
        ),
        # What only looks like it stays.
        ("from shop.other import total\nx = total\n", None),
        ("import shop.pricing as p\nx = p.other.total\n", None),
        ("x = thing.total\n", None),
        ("# total\nx = 'total'\n", None),
    ],
)
def test_every_way_to_use_a_name_is_followed(before, after):
    assert _recast(before, "shop.pricing.total", "shop.pricing.whole") == (after or before)


def test_a_local_variable_of_that_name_is_something_else():
    source = (
        "from shop.pricing import total\n"
        "def a(total):\n    return total\n"
        "def b():\n    total = 1\n    return [total for _ in x]\n"
        "def c(one=total):\n    return lambda total: total\n"
    )

    after = _recast(source, "shop.pricing.total", "shop.pricing.whole")

    assert after == (
        "from shop.pricing import whole\n"
        "def a(total):\n    return total\n"
        "def b():\n    total = 1\n    return [total for _ in x]\n"
        "def c(one=whole):\n    return lambda total: total\n"
    )


def test_an_attribute_of_that_name_stops_it_because_it_may_be_either():
    with pytest.raises(CannotRecast, match=r"cart.py:3 binds total in a class"):
        _recast(
            "from shop.pricing import total\nclass D:\n    total = total\n",
            "shop.pricing.total",
            "shop.pricing.whole",
        )


def test_a_definition_is_renamed_with_its_own_uses_and_its_place_in_all():
    source = '__all__ = ["total"]\n\n\n@cache\ndef total(n):\n    return total(n - 1) if n else 0\n'

    after = _recast(
        source, "shop.pricing.total", "shop.pricing.whole", "src/shop/pricing.py", definition=True
    )

    assert after == source.replace("total", "whole")


def test_a_name_that_moves_takes_its_imports_along():
    source = "import jinja2\nfrom jinja2 import Markup, Template\nx = Markup(jinja2.Markup('é'))\n"

    after = _recast(source, "jinja2.Markup", "markupsafe.Markup")

    assert after == (
        "import jinja2\nfrom jinja2 import Template\nfrom markupsafe import Markup\n"
        "import markupsafe\nx = Markup(markupsafe.Markup('é'))\n"
    )


def test_a_name_that_is_taken_stops_it():
    with pytest.raises(CannotRecast, match=r"src/shop/cart.py:2 uses whole"):
        _recast(
            "from shop.pricing import total\nwhole = total(1)\n",
            "shop.pricing.total",
            "shop.pricing.whole",
        )


def test_strings_are_left_to_a_person():
    source = "mock.patch('shop.pricing.total')\n"

    found = renamed({"t.py": source.encode()}, Rename.parse("shop.pricing.total", "shop.pricing.x"))

    assert found.files == {}
    assert found.left == ("t.py:1: a string names shop.pricing.total",)


def test_an_argument_is_renamed_only_where_that_function_is_called():
    source = (
        "import coinage\nfrom coinage import split as s\n"
        "a = coinage.split(m, parts=2)\nb = s(m, parts=3)\nc = other.split(m, parts=4)\n"
    )

    found = keyword_renamed({"x.py": source.encode()}, "coinage.split", "parts", "shares")

    assert found.files["x.py"] == source.replace("m, parts=2", "m, shares=2").replace(
        "m, parts=3", "m, shares=3"
    )


def test_uses_of_a_package_are_found_by_line():
    files = {
        "a.py": b"import coinage.text as t\n\nx = t.read_money\ny = 1\n",
        "b.py": b"from coinage import Money\n\n\ndef f(m: Money): ...\n",
        "c.py": b"coinage = 1\n",
    }

    assert imports_of(files, ["coinage"]) == {"a.py": [1, 3], "b.py": [1, 4]}


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("src/shop/cart.py", "shop.cart"),
        ("shop/__init__.py", "shop"),
        ("tests/test_cart.py", "tests.test_cart"),
        ("my-script.py", None),
        ("README.md", None),
    ],
)
def test_files_are_known_by_the_module_that_they_are(path, module):
    assert module_of(path) == module


@given(st.text(max_size=300))
def test_no_text_breaks_it_and_what_comes_out_can_be_read(source):
    content = ("from shop.pricing import total\n" + source).encode(errors="replace")
    try:
        ast.parse(content)
    except (SyntaxError, ValueError):
        return

    try:
        found = renamed({"x.py": content}, Rename.parse("shop.pricing.total", "shop.pricing.whole"))
    except CannotRecast:
        return

    for text in found.files.values():
        ast.parse(text)
