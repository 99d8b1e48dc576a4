"""Transactions that add up to zero."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


class Unbalanced(Exception):
    """The entries of a transaction do not add up to zero."""


@dataclass(frozen=True)
class Entry:
    """An amount on one account; negative when it leaves the account."""

    account: str
    minor_units: int


class Books:
    """Everything booked so far, in order."""

    def __init__(self) -> None:
        self._booked: list[tuple[Entry, ...]] = []

    def book(self, entries: Iterable[Entry]) -> None:
        transaction = tuple(entries)
        if len(transaction) < 2 or sum(entry.minor_units for entry in transaction):
            raise Unbalanced(f"{len(transaction)} entries")
        self._booked.append(transaction)

    def balance(self, account: str) -> int:
        totals: Counter[str] = Counter()
        for transaction in self._booked:
            for entry in transaction:
                totals[entry.account] += entry.minor_units
        return totals[account]
