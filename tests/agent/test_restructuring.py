"""Definitions move with what they need; lines become functions that do the same."""

import pytest

from agent.recasting import CannotRecast, Rename
from agent.restructuring import enclosing, extracted, moved, renamed_everywhere

PRICING = b'''"""Prices."""

import math
from . import rates

VAT = 19


def rounded(x: float) -> int:
    return math.floor(x + rates.HALF)


def taxed(x):
    return x * VAT
'''
FILES = {
    "src/shop/__init__.py": b"",
    "src/shop/rates.py": b"HALF = 0.5\n",
    "src/shop/pricing.py": PRICING,
    "src/shop/cart.py": b"from shop import pricing\n\nx = pricing.rounded(1.2)\n",
    "tests/test_pricing.py": b"from shop.pricing import rounded, taxed\n\nassert rounded(1.5)\n",
}


def test_a_renamed_function_can_still_be_called_by_its_old_name():
    found = renamed_everywhere(FILES, Rename.parse("shop.pricing.rounded", "shop.pricing.nearest"))

    assert "def nearest(x: float)" in found.files["src/shop/pricing.py"]
    assert found.files["src/shop/pricing.py"].endswith("\nrounded = nearest\n")
    assert "pricing.nearest(1.2)" in found.files["src/shop/cart.py"]
    assert "import nearest, taxed\n\nassert nearest(" in found.files["tests/test_pricing.py"]


def test_a_function_moves_with_its_imports_and_everything_follows():
    found = moved(FILES, Rename.parse("shop.pricing.rounded", "shop.rounding.rounded"))

    assert found.files["src/shop/rounding.py"] == (
        '"""What was moved out of shop.pricing."""\n\nimport math\nfrom shop import rates\n\n\n'
        "def rounded(x: float) -> int:\n    return math.floor(x + rates.HALF)\n"
    )
    assert "from shop.rounding import rounded  # noqa" in found.files["src/shop/pricing.py"]
    assert "def rounded" not in found.files["src/shop/pricing.py"]
    assert found.files["src/shop/cart.py"].endswith("x = shop.rounding.rounded(1.2)\n")
    assert (
        "from shop.pricing import taxed\nfrom shop.rounding import rounded"
        in (found.files["tests/test_pricing.py"])
    )


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("shop.pricing.taxed", "shop.rounding.taxed", "needs VAT, which shop.pricing defines"),
        ("shop.pricing.rounded", "shop.cart.rounded", "imports shop.pricing"),
        ("shop.pricing.rounded", "store.x.rounded", "there is no package for store.x"),
        ("shop.pricing.gone", "shop.rounding.gone", "defines no function or class gone"),
        ("shop.nowhere.x", "shop.rounding.x", "there is no module shop.nowhere"),
    ],
)
def test_what_cannot_move_safely_is_refused_with_the_reason(old, new, why):
    with pytest.raises(CannotRecast, match=why):
        moved(FILES, Rename.parse(old, new))


CART = b'''def bill(lines, service):
    """What a guest pays."""
    total = 0
    for line in lines:
        if line < 0:
            continue
        total += line
    extra = total * service // 100
    if extra > 50:
        extra = 50
        capped = True
    return total + extra


class Desk:
    def greet(self, name):
        polite = name.title()
        said = f"Hello {polite}{self.mark}"
        return said
'''


def _ran(text, call):
    names: dict = {}
    exec(text, names)
    return eval(call, names)


@pytest.mark.parametrize(("first", "last"), [(3, 7), (8, 8), (8, 11), (7, 7), (9, 11), (3, 11)])
def test_extracted_lines_do_the_same_as_before(first, last):
    found = extracted({"x.py": CART}, "x.py", first, last, "part")
    text = found.files["x.py"]

    assert "def part(" in text
    for call in ("bill([100, -5, 20], 10)", "bill([1000], 10)", "bill([], 5)"):
        assert _ran(text, call) == _ran(CART, call)


def test_lines_of_a_method_become_a_function_that_is_given_the_object():
    text = extracted({"x.py": CART}, "x.py", 17, 18, "greeting").files["x.py"]

    assert "def greeting(name, self):" in text
    assert "        said = greeting(name, self)\n        return said" in text
    compile(text, "x.py", "exec")


@pytest.mark.parametrize(
    ("first", "last", "name", "why"),
    [
        (12, 12, "part", "leaves the function"),
        (5, 6, "part", "leaves a loop"),
        (7, 8, "part", "no whole statements"),
        (1, 2, "part", "no whole statements"),
        (8, 8, "bill", "has a bill already"),
    ],
)
def test_lines_that_cannot_stand_alone_are_refused(first, last, name, why):
    with pytest.raises(CannotRecast, match=why):
        extracted({"x.py": CART}, "x.py", first, last, name)


def test_a_name_that_may_stay_unbound_is_refused():
    source = b"def f(a):\n    if a:\n        b = 1\n    return b\n"

    with pytest.raises(CannotRecast, match="b may stay without a value"):
        extracted({"x.py": source}, "x.py", 2, 3, "part")


def test_the_function_around_lines_is_found_by_its_name():
    assert enclosing("x.py", CART, 3, 7) == "bill"
    assert enclosing("x.py", CART, 17, 18) == ""
