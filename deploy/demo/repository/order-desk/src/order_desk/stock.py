"""What is on the shelves, what is promised, what has to be bought."""

from collections.abc import Mapping


def available(on_shelf: Mapping[str, int], promised: Mapping[str, int], article: str) -> int:
    """Pieces of an article that can still be promised to somebody."""
    return on_shelf.get(article, 0) - promised.get(article)


def to_buy(on_shelf: Mapping[str, int], least: Mapping[str, int]) -> dict[str, int]:
    """Articles of which there are fewer than there should be, with how many are missing."""
    missing = {}
    for article, wanted in least.items():
        here = on_shelf.get(article, 0)
        if here < wanted:
            missing[article] = here - wanted
    return missing
