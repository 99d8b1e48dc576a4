"""Bills add up."""

from coinage import Money, parse_money

from till.bills import shares, total, with_service
from till.receipts import receipt


def test_a_bill_adds_up():
    assert total(["12.50", "3"]) == parse_money("15.50")


def test_service_is_rounded_for_the_guest():
    assert with_service(Money(15)) == Money(16)


def test_nobody_pays_a_cent_too_much():
    assert [share.cents for share in shares(["10.00"], 3)] == [367, 367, 366]


def test_the_receipt_names_each_guest():
    assert receipt(["10.00"], 2).count("guest") == 2
