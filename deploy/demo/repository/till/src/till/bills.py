"""Bills and what each guest pays."""

import coinage
from coinage import Money, parse_money

SERVICE_PERCENT = 10


def total(lines: list[str]) -> Money:
    """The sum of the lines, as they stand on the bill."""
    return Money(sum(parse_money(line).cents for line in lines))


def with_service(money: Money) -> Money:
    """Service is added, half a cent goes to the guest."""
    return Money(money.cents + (money.cents * SERVICE_PERCENT + 49) // 100)


def shares(lines: list[str], guests: int) -> list[Money]:
    """What each guest pays, service included."""
    return coinage.split(with_service(total(lines)), parts=guests)
