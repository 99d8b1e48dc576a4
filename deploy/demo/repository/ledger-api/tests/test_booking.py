"""Books always balance."""

import pytest
from ledger_api.booking import Books, Entry, Unbalanced


def test_a_balanced_transaction_moves_money() -> None:
    books = Books()

    books.book([Entry("cash", -1_250), Entry("rent", 1_250)])

    assert (books.balance("cash"), books.balance("rent")) == (-1_250, 1_250)


@pytest.mark.parametrize("entries", [[], [Entry("cash", 0)], [Entry("a", 1), Entry("b", -2)]])
def test_an_unbalanced_transaction_is_refused(entries: list[Entry]) -> None:
    with pytest.raises(Unbalanced):
        Books().book(entries)
