"""A method gets another name where the class of the object is evident, and nowhere else."""

import pytest

from agent.methods import Method, renamed_method
from agent.recasting import CannotRecast

CART = b'''"""Carts."""


class Cart:
    """What somebody buys."""

    def __init__(self, lines):
        self.lines = lines

    def total(self):
        return sum(self.lines)  # in cents

    def half(self):
        return self.total() // 2

    @classmethod
    def empty(cls):
        return cls.total


class Gift(Cart):
    def total(self):
        return super().total() - 1


class Bill:
    def total(self):
        return 7
'''
USES = b"""from shop import cart
from shop.cart import Bill, Cart as Basket


def pay(one: Basket, other, maybe: "Basket | None", bill: Bill):
    made = Basket([1])
    again = cart.Gift([2])
    again = other
    both = [made.total(), one.total(), maybe.total(), Basket([3]).total(), Basket.total]
    return both, again.total(), other.total(), bill.total(), getattr(one, "total")


def shadow(Basket):
    return Basket.total()
"""
FILES = {"src/shop/__init__.py": b"", "src/shop/cart.py": CART, "src/shop/uses.py": USES}


def _renamed(files=FILES, name="shop.cart.Cart.total", new="price"):
    method = Method.of(files, name)
    assert method is not None
    return renamed_method(files, method, new)


def test_definitions_overrides_and_evident_calls_follow():
    found = _renamed()

    cart = found.files["src/shop/cart.py"]
    assert "    def price(self):\n        return sum(self.lines)  # in cents\n" in cart
    assert "return self.price() // 2" in cart
    assert "return cls.price\n" in cart
    assert "    def price(self):\n        return super().price() - 1\n" in cart
    # The old name stays in each class that defines it; the class that is another keeps its own.
    assert cart.count("    total = price\n") == 2
    assert "class Bill:\n    def total(self):" in cart
    uses = found.files["src/shop/uses.py"]
    assert "[made.price(), one.price(), maybe.price(), Basket([3]).price(), Basket.price]" in uses


def test_what_is_not_evident_is_left_works_on_and_is_listed():
    found = _renamed()

    uses = found.files["src/shop/uses.py"]
    assert 'again.total(), other.total(), bill.total(), getattr(one, "total")' in uses
    assert "def shadow(Basket):\n    return Basket.total()\n" in uses
    assert found.left == (
        "src/shop/uses.py:10: again.total may be of another class",
        "src/shop/uses.py:10: other.total may be of another class",
        "src/shop/uses.py:10: bill.total may be of another class",
        "src/shop/uses.py:10: a string names total",
        "src/shop/uses.py:14: Basket.total may be of another class",
    )


def test_the_program_does_what_it_did_by_both_names():
    cart = _renamed().files["src/shop/cart.py"]
    program: dict[str, object] = {}
    exec(cart, program)

    for name in ("Cart", "Gift", "Bill"):
        made = eval(f"{name}([5, 6])" if name != "Bill" else "Bill()", program)
        before = {"Cart": 11, "Gift": 10, "Bill": 7}[name]
        assert made.total() == before
        assert name == "Bill" or made.price() == before


def test_a_property_keeps_its_setter():
    text = (
        b"class Box:\n    @property\n    def size(self):\n        return self._size\n\n"
        b"    @size.setter\n    def size(self, value):\n        self._size = value\n"
    )

    made = _renamed({"box.py": text}, "box.Box.size", "width").files["box.py"]

    assert "    @width.setter\n    def width(self, value):\n" in made
    assert made.endswith("    size = width\n")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"class Cart:", b"class Cart(shelf.Thing):", "derives from shelf.Thing, which may have"),
        (b"class Cart:", b"class Cart(dict):", None),
        (b"class Cart:", b"class Cart(Bill):", "derives from Bill, which may have"),
        (b"def half", b"def price", "uses price for something else already"),
        (b"self.lines = lines", b"self.total = lines", "binds total of an object anew"),
        (b"self.lines = lines", b"self.price = lines", "uses price for something else already"),
        (b"class Bill:", b"def f():\n    class In(Cart):\n        x = 1\n\n\nclass Bill:",
         "derives from Cart inside of something"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_safely_is_refused_with_the_place(old, new, why):
    files = {**FILES, "src/shop/cart.py": CART.replace(old, new, 1)}

    if why is None:
        assert "class Cart(dict):" in _renamed(files).files["src/shop/cart.py"]
        return
    with pytest.raises(CannotRecast, match=why):
        _renamed(files)


def test_names_of_python_itself_and_what_is_no_method_are_no_methods():
    with pytest.raises(CannotRecast, match="two underscores"):
        _renamed(name="shop.cart.Cart.__init__")
    assert Method.of(FILES, "shop.cart.Cart.lines") is None
    assert Method.of(FILES, "shop.cart.Cart") is None
    assert Method.of(FILES, "Cart.total") is None
