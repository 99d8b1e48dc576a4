"""An order takes only the steps it may."""

import pytest
from order_desk.orders import IllegalMove, Line, Order, State
from order_desk.pricing import total_cents


def order(*lines: Line) -> Order:
    return Order("A-1", "Harbour Books", list(lines))


def test_an_order_without_lines_cannot_be_placed() -> None:
    with pytest.raises(IllegalMove):
        order().move_to(State.PLACED)


def test_a_placed_order_takes_no_more_lines() -> None:
    placed = order(Line("paper", 10, 450))
    placed.move_to(State.PLACED)

    with pytest.raises(IllegalMove):
        placed.add(Line("pens", 1, 120))


def test_a_packed_order_cannot_be_cancelled() -> None:
    packed = order(Line("paper", 10, 450))
    packed.move_to(State.PLACED)
    packed.move_to(State.PACKED)

    with pytest.raises(IllegalMove):
        packed.move_to(State.CANCELLED)


@pytest.mark.parametrize(
    ("unit_cents", "expected"),
    [(24_999, 24_999), (25_000, 24_500), (100_000, 95_000), (500_000, 460_000), (25_025, 24_524)],
)
def test_large_orders_get_a_discount_in_whole_cents(unit_cents: int, expected: int) -> None:
    assert total_cents(order(Line("press", 1, unit_cents))) == expected
