"""Sums of money in whole cents."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Money:
    """An amount, in cents."""

    cents: int


def parse_money(text: str) -> Money:
    """Read "12.50" or "12"."""
    whole, _, rest = text.partition(".")
    return Money(int(whole) * 100 + int((rest + "00")[:2]))


def split(money: Money, parts: int) -> list[Money]:
    """Shares that differ by a cent at most, larger ones first."""
    each, left = divmod(money.cents, parts)
    return [Money(each + (number < left)) for number in range(parts)]


def format_money(money: Money) -> str:
    """As people write it, "12.50"."""
    return f"{money.cents // 100}.{money.cents % 100:02}"
