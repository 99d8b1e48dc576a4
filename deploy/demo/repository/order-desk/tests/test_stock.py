"""What is promised is not promised twice."""

from order_desk.stock import available, to_buy


def test_what_is_promised_is_no_longer_available() -> None:
    assert available({"paper": 10}, {"paper": 4}, "paper") == 6


def test_what_there_is_enough_of_is_not_bought() -> None:
    assert to_buy({"paper": 10, "pens": 5}, {"paper": 10, "pens": 3}) == {}
