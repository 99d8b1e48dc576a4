"""Sums of money in whole cents."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Money:
    """An amount, in cents."""

    cents: int


def split(money: Money, shares: int) -> list[Money]:
    """Shares that differ by a cent at most, larger ones first."""
    each, left = divmod(money.cents, shares)
    return [Money(each + (number < left)) for number in range(shares)]
