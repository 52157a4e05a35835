"""What an account shows of its habits: how late it pays, and how much it orders in a day."""

from __future__ import annotations

from fractions import Fraction

from agents.credit import state
from schemas.events import Day, Minor

PACE_DAYS = 45
"""Orders are counted in stretches of so many days; the last full one and the current one count."""
_PAYMENTS_REMEMBERED = 25


def note_paid(account: state.Account, invoice: state.Invoice, today: Day) -> None:
    """An invoice was paid in full today; below zero: before it was due."""
    invoice.paid_late = today - invoice.due_on
    account.days_late.append(invoice.paid_late)
    del account.days_late[:-_PAYMENTS_REMEMBERED]


def forget_paid(account: state.Account, invoice: state.Invoice) -> None:
    """It is open again: that it was paid says nothing any more."""
    if invoice.paid_late in account.days_late:
        account.days_late.remove(invoice.paid_late)
    invoice.paid_late = None


def note_order(account: state.Account, asked: Minor | Fraction, today: Day) -> None:
    """Count an order of so much, in the account's currency, into the account's pace."""
    pace = account.pace
    if pace.since is None:
        pace.since = today
    full, _ = divmod(today - pace.since, PACE_DAYS)
    if full > 0:
        pace.before = pace.current if full == 1 else 0
        pace.has_before = True
        pace.current = 0
        pace.since += full * PACE_DAYS
    pace.current += round(asked)


def ordered(pace: state.Pace, today: Day) -> tuple[Minor, int]:
    """(how much was ordered lately, in how many days), minor units of the account's currency.

    Nothing for an account that has not ordered for longer than it is counted.
    """
    if pace.since is None or today - pace.since >= 2 * PACE_DAYS:
        return 0, PACE_DAYS
    days = today - pace.since + 1 + (PACE_DAYS if pace.has_before else 0)
    return pace.current + pace.before, max(days, PACE_DAYS)
