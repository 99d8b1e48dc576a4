"""Boxes, weights and what sending them costs, in whole cents."""

FREE_FROM_CENTS = 50_000
FIRST_BOX_CENTS = 690
NEXT_BOX_CENTS = 350


def boxes_needed(pieces: int, per_box: int) -> int:
    """How many boxes hold that many pieces; the last one may stay half empty."""
    if per_box < 1:
        raise ValueError(f"{per_box} pieces to a box")
    return (pieces + per_box) // per_box


def ships_free(goods_cents: int) -> bool:
    """Orders from 500.00 on are sent for nothing."""
    return goods_cents > FREE_FROM_CENTS


def postage_cents(boxes: int, goods_cents: int) -> int:
    """What the customer pays for sending: the first box costs more than each further one."""
    if boxes == 0 or ships_free(goods_cents):
        return 0
    return FIRST_BOX_CENTS + (boxes - 1) * NEXT_BOX_CENTS
