"""Cost formulas come out in the unit they declare, or are refused."""

import pytest

from agent.recommender import formulas
from agent.recommender.formulas import BadFormula, Quantity

UNITS = {"copies": "copies", "price": "USD/vCPU-h", "size": "vCPU", "hours": "h/month", "gb": "GB"}


def test_units_are_followed_through_a_formula():
    formula = formulas.parse("x", "Servers", "copies * size * price * hours", "USD/month", UNITS)
    values = {
        "copies": Quantity(2, formulas.powers_of("copies")),
        "price": Quantity(0.05, formulas.powers_of("USD/vCPU-h")),
        "size": Quantity(4, formulas.powers_of("vCPU")),
        "hours": Quantity(730, formulas.powers_of("h/month")),
    }

    assert formulas.evaluate(formula, values) == pytest.approx(292.0)
    assert formula.names == ("hours", "price", "copies", "size")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("size * price", "comes out in USD/h"),
        ("size + price", "cannot be compared"),
        ("max(size, gb)", "cannot be compared"),
        ("seats * price", "seats is neither"),
        ("__import__('os')", "neither a fact nor an input"),
        ("size.real", "not allowed"),
        ("size ** 2", "not allowed"),
        ("size *", "not readable"),
        ("max()", "not allowed"),
    ],
)
def test_a_formula_that_makes_no_sense_is_refused(text, complaint):
    with pytest.raises(BadFormula, match=complaint):
        formulas.parse("x", "X", text, "USD/month", UNITS)


def test_a_value_in_another_unit_is_refused_when_it_is_computed():
    formula = formulas.parse("x", "X", "size", "vCPU", UNITS)

    with pytest.raises(BadFormula, match="comes out in GB"):
        formulas.evaluate(formula, {"size": Quantity(1, {"GB": 1})})
