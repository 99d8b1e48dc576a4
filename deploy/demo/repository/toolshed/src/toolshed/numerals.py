"""Roman numerals."""

VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def from_roman(numeral: str) -> int:
    """The number that a numeral of valid form stands for; a smaller sign before a larger counts off."""
    total = 0
    for place, sign in enumerate(numeral):
        value = VALUES[sign]
        following = VALUES[numeral[place + 1]] if place < len(numeral) else 0
        total += -value if value < following else value
    return total


def is_roman(text: str) -> bool:
    """Whether the text is made of the signs of numerals, and of at least one."""
    return bool(text) and all(sign in VALUES for sign in text)
