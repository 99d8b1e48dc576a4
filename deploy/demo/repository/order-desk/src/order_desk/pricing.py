"""Discounts and totals in whole cents."""

from order_desk.orders import Order

# From this many cents on, so many percent off; the highest step that fits counts.
STEPS = ((500_000, 8), (100_000, 5), (25_000, 2))


def discount_percent(cents: int) -> int:
    return next((percent for least, percent in STEPS if cents >= least), 0)


def total_cents(order: Order) -> int:
    """What the customer pays; half a cent is rounded in the customer's favour."""
    cents = sum(line.cents for line in order.lines)
    return cents * (100 - discount_percent(cents)) // 100
