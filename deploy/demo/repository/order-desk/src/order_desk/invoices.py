"""When an invoice is due, and how often we have asked for the money."""

from datetime import date, timedelta

REMIND_AFTER_DAYS = (7, 21, 42)


def due_on(sent: date, days: int) -> date:
    """The day an invoice is due; a Saturday or Sunday moves on to Monday."""
    due = sent + timedelta(days=days)
    while due.weekday() > 5:
        due += timedelta(days=1)
    return due


def reminders_sent(days_late: int) -> int:
    """How many reminders have gone out by then: none, one, two or three."""
    sent = 1
    for after in REMIND_AFTER_DAYS:
        if days_late >= after:
            sent += 1
    return sent
