"""What is printed."""

from coinage import Money

from till.bills import shares, total, with_service


def printed(money: Money) -> str:
    """Right-aligned, in euros."""
    return f"{money.cents // 100:>6}.{money.cents % 100:02}"


def receipt(lines: list[str], guests: int) -> str:
    """The whole receipt."""
    rows = [f"sum     {printed(total(lines))}", f"service {printed(with_service(total(lines)))}"]
    rows += [f"guest {number} {printed(share)}" for number, share in enumerate(shares(lines, guests), 1)]
    return "\n".join(rows)
