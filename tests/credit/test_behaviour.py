"""What an account is taken to order in a day, and when its headroom is expected to run out."""

from __future__ import annotations

import pytest
from credit.journals import CUSTOMER, DAY, Journal
from credit.policy_worlds import policy

from agents.credit import state
from agents.credit.behaviour import PACE_DAYS, note_order, ordered
from schemas import events as ev
from schemas.events import Day, RiskSignal


def _pace(*orders: tuple[int, int]) -> state.Pace:
    """Of orders of so much, each so many days after the first."""
    account = state.Account()
    for after, amount in orders:
        note_order(account, amount, DAY + after)
    return account.pace


@pytest.mark.parametrize(
    ("orders", "looked_at_after", "amount", "in_days"),
    [
        ([], 0, 0, PACE_DAYS),
        ([(0, 70)], 0, 70, PACE_DAYS),
        ([(0, 70), (44, 30)], 44, 100, 45),
        ([(0, 70)], 60, 70, 61),
        ([(0, 70)], 89, 70, 90),
        ([(0, 70)], 90, 0, PACE_DAYS),
        ([(0, 70), (45, 30)], 45, 100, 46),
        ([(0, 70), (45, 30)], 64, 100, 65),
        ([(0, 70), (90, 30)], 90, 30, 46),
        ([(0, 70), (45, 30), (90, 5)], 99, 35, 55),
    ],
)
def test_the_pace_is_that_of_the_last_full_stretch_and_the_current_one(
    orders: list[tuple[int, int]], looked_at_after: int, amount: int, in_days: int
) -> None:
    assert ordered(_pace(*orders), DAY + looked_at_after) == (amount, in_days)


def _told(journal: Journal) -> list[RiskSignal]:
    return [one for one in journal.outcome(policy()) if isinstance(one, RiskSignal)]


def _punctual(limit: int, daily: int) -> Journal:
    """Has paid three invoices on their day, and orders so much a day."""
    journal = Journal()
    journal.customer(1_000_000)
    for number in range(3):
        journal.invoice(f"I-{number}", 10, due_in=0)
        journal.pay(f"P-{number}", 10, f"I-{number}")
    if daily:
        journal.order("O-1", daily * PACE_DAYS)
        journal.say(ev.OrderCancelled, order_id="O-1")
    journal.say(ev.CreditLimitChanged, credit_limit=limit)
    return journal


@pytest.mark.parametrize(("headroom", "expected_on"), [(0, DAY + 2), (29, DAY + 31), (30, None)])
def test_headroom_runs_out_on_the_first_day_on_which_it_is_too_little(
    headroom: int, expected_on: Day | None
) -> None:
    journal = _punctual(limit=1_000, daily=1)
    journal.invoice("I-9", 1_000 - headroom, due_in=90)
    journal.wait()
    told = [one.expected_on for one in _told(journal)]
    assert told == ([] if expected_on is None else [expected_on])


@pytest.mark.parametrize(
    ("headroom", "paid", "due_after", "expected_after"),
    [
        (0, 5, 1, 6),
        (0, 5, 0, 1),
        (10, 15, 10, 26),
        (10, 15, 11, 26),
        (10, 15, 12, 11),
        (29, 5, 30, None),
        (29, 5, 31, 30),
    ],
)
def test_an_invoice_makes_room_from_the_day_on_which_it_is_expected_to_be_paid(
    headroom: int, paid: int, due_after: int, expected_after: int | None
) -> None:
    journal = _punctual(limit=1_000, daily=1)
    journal.invoice("I-8", 1_000 - headroom - paid, due_in=90)
    journal.invoice("I-9", paid, due_in=1 + due_after)
    journal.wait()
    told = [one.expected_on for one in _told(journal)]
    assert told == ([] if expected_after is None else [journal.today + expected_after])


def test_the_warning_says_how_much_headroom_there_is_and_when_it_runs_out() -> None:
    journal = _punctual(limit=1_000, daily=0)
    journal.say(ev.CreditLimitChanged, credit_limit=2_000, valid_until=DAY + 1)
    journal.invoice("I-9", 1_500, due_in=90)
    journal.wait()
    (told,) = _told(journal)
    assert (told.customer_id, told.kind, told.severity) == (
        CUSTOMER,
        "forecast_breach",
        "warning",
    )
    assert told.detail == "headroom of 5.00 EUR is expected to run out on 2024-10-06"
    assert told.cause_event_id == journal[-1].event_id


def test_the_warning_is_in_the_digits_of_the_accounts_currency() -> None:
    journal = Journal()
    journal.customer(1_000, currency="JPY")
    for number in range(3):
        journal.invoice(f"I-{number}", 10, due_in=0, currency="JPY")
        journal.say(
            ev.PaymentReceived,
            payment_id=f"P-{number}",
            amount=10,
            currency="JPY",
            value_on=DAY,
            allocations=[ev.Allocation(invoice_id=f"I-{number}", amount=10)],
        )
    journal.say(ev.CreditLimitChanged, credit_limit=2_000, valid_until=DAY + 10)
    journal.invoice("I-9", 1_500, due_in=90, currency="JPY")
    journal.wait()
    (told,) = _told(journal)
    assert told.detail == "headroom of 500 JPY is expected to run out on 2024-10-15"
