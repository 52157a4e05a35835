"""Who follows an event that is not their own: a rate, a member's payment, a limit's last day."""

from __future__ import annotations

from typing import Any

import pytest
from credit.journals import CUSTOMER, DAY, Journal
from credit.office import Office, decisions
from credit.policy_worlds import policy

from agents.credit import parking, state, valuation
from agents.credit.effects import AccountTouched
from agents.credit.looks import look_at_valued
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY

POLICY = policy()
THREE = ("C-1", "C-2", "C-3")


def rate(text: str, at: int = 0) -> ev.FxRatePublished:
    return ev.FxRatePublished(
        event_id=f"rate-{text}", occurred_at=DAY * MICROSECONDS_PER_DAY + 10**6 + at,
        base="USD", quote="EUR", rate=text, valid_on=DAY, source="ecb",
    )  # fmt: skip


@pytest.fixture
def office() -> Office:
    """Three customers with accounts in euros, each with an invoice in dollars."""
    history = Journal()
    history.append(rate("1"))
    for customer_id in THREE:
        history.customer(1_000_00, customer_id)
        history.say(
            ev.InvoiceIssued, customer_id, invoice_id="I-1", amount=900_00, currency="USD",
            issued_on=DAY, due_on=DAY + 30,
        )  # fmt: skip
    one = Office(POLICY)
    one.run(history)
    return one


def looked_at(effects: list[Any]) -> list[str]:
    return [one.account_id for one in effects if isinstance(one, AccountTouched)]


def test_a_rate_moves_all_but_who_stands_still(office: Office) -> None:
    parking.park(office.ledger, "C-1", "a fault")
    assert looked_at(office.apply(rate("1.1", 1))) == ["C-2", "C-3"]


def test_who_has_been_looked_at_already_is_passed_over_and_no_other(office: Office) -> None:
    effects: list[Any] = []
    event = rate("1.1", 1)
    office.ledger.put(state.account_key("C-2"), None)  # it has moved
    assert valuation.publish(office.ledger, event, DAY)
    look_at_valued(office.ledger, [("USD", "EUR")], {"C-1": None}, event, POLICY, effects)
    assert looked_at(effects) == ["C-3"]


def test_a_member_that_stands_still_keeps_no_other_from_being_released() -> None:
    history = Journal()
    history.say(ev.CreditGroupUpserted, group_id="G", currency="EUR", credit_limit=1_000)
    for customer_id in THREE:
        history.customer(1_000, customer_id, group_id="G")
    history.order("O-3", 900, "C-3")
    history.order("O-1", 500, "C-1")
    history.order("O-2", 500, "C-2")
    office = Office(POLICY)
    office.run(history)
    parking.park(office.ledger, "C-1", "a fault")
    history.say(ev.OrderCancelled, "C-3", order_id="O-3")
    followed = [(one.order_id, one.decision) for one in decisions(office.apply(history[-1]))]
    assert followed == [("O-3", "cancelled"), ("O-2", "released")]


@pytest.mark.parametrize(("ends", "day"), [(DAY + 4, DAY + 5), (DAY, DAY + 1), (DAY - 9, DAY + 1)])
def test_an_account_is_looked_at_on_the_day_after_its_limit_ends(ends: int, day: int) -> None:
    history = Journal()
    history.customer(1_000, limit_valid_until=ends)
    office = Office(POLICY)
    office.run(history)
    waking = [
        state.due_day(key)
        for key, _ in office.ledger.scan(*state.agenda_until(DAY + 99))
        if state.woken_account(key) == CUSTOMER
    ]
    # On the next day it is looked ahead.
    assert waking == sorted({DAY + 1, day})


def test_a_hold_on_its_last_day_still_holds_and_ends_with_it() -> None:
    history = Journal()
    history.customer(1_000)
    history.order("O-1", 100)
    history.say(
        ev.OrderHeld, order_id="O-1", by="ann", role="controller", reason="odd", valid_until=DAY
    )
    office = Office(POLICY)
    assert [one.decision for one in decisions(office.run(history))] == ["approved", "held"]
    history.wait()
    assert [one.decision for one in decisions(office.apply(history[-1]))] == ["released"]


def test_a_record_without_an_account_manager_names_none() -> None:
    history = Journal()
    history.customer(1_000)
    history.customer(1_000, "C-2", account_manager="ben")
    office = Office(POLICY)
    office.run(history)
    managers = [office.ledger.get(state.account_key(one)).account_manager for one in THREE[:2]]
    assert managers == ["", "ben"]
