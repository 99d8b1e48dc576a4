"""Sending costs what the price list says."""

import pytest
from order_desk.shipping import boxes_needed, postage_cents, ships_free


@pytest.mark.parametrize(("pieces", "boxes"), [(1, 1), (7, 1), (13, 2), (25, 3)])
def test_pieces_go_into_as_few_boxes_as_possible(pieces: int, boxes: int) -> None:
    assert boxes_needed(pieces, 12) == boxes


def test_a_box_holds_at_least_one_piece() -> None:
    with pytest.raises(ValueError, match="0 pieces"):
        boxes_needed(3, 0)


def test_small_orders_pay_and_large_ones_do_not() -> None:
    assert not ships_free(49_999)
    assert ships_free(60_000)
    assert postage_cents(3, 10_000) == 690 + 2 * 350
    assert postage_cents(3, 90_000) == 0
