"""Money as people read and write it."""

from coinage import Money


def read_money(text: str) -> Money:
    """Read "12.50" or "12"."""
    whole, _, rest = text.partition(".")
    return Money(int(whole) * 100 + int((rest + "00")[:2]))


def format_money(money: Money) -> str:
    """As people write it, "12.50"."""
    return f"{money.cents // 100}.{money.cents % 100:02}"
