"""Invoices are due on working days, and reminders go out one after the other."""

from datetime import date

from order_desk.invoices import due_on, reminders_sent


def test_an_invoice_that_would_be_due_on_a_sunday_is_due_on_monday() -> None:
    assert due_on(date(2026, 3, 1), 14) == date(2026, 3, 16)


def test_an_invoice_due_on_a_working_day_stays_there() -> None:
    assert due_on(date(2026, 3, 2), 10) == date(2026, 3, 12)


def test_later_is_never_fewer_reminders() -> None:
    sent = [reminders_sent(days) for days in range(60)]

    assert sent == sorted(sent)
