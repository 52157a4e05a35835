"""Ids of what goes out are told apart even when a sender uses one event id again."""

from __future__ import annotations

from credit.journals import Journal
from credit.policy_worlds import policy

from agents.credit.case import outgoing_id
from schemas import events as ev
from schemas.events import CreditLimitAlert


def test_alerts_of_a_group_that_one_event_id_caused_twice_have_ids_of_their_own() -> None:
    journal = Journal()
    group = {"group_id": "G", "currency": "EUR"}
    journal.customer(10_000, group_id="G")
    journal.invoice("I-1", 900)
    for limit, event_id in ((1_000, "cut"), (5_000, "raised"), (1_000, "cut")):
        journal.say(ev.CreditGroupUpserted, credit_limit=limit, event_id=event_id, **group)
    alerts = [one for one in journal.outcome(policy()) if isinstance(one, CreditLimitAlert)]
    assert len(alerts) == 6
    assert len({alert.event_id for alert in alerts}) == 6


def test_decisions_that_one_event_id_caused_twice_have_ids_of_their_own() -> None:
    journal = Journal()
    journal.customer(1_000)
    for amount in (100, 200, 100, 200):
        journal.order("O-1", 100) if amount == 100 else None
        journal.say(ev.OrderChanged, order_id="O-1", amount=amount, event_id="changed")
    decisions = [one for one in journal.outcome(policy()) if isinstance(one, ev.OrderDecision)]
    assert len({decision.event_id for decision in decisions}) == len(decisions) == 3


def test_an_id_is_made_of_cause_account_count_and_place_and_is_always_as_long() -> None:
    made = outgoing_id("C-1", 1, "e-1", 0)
    assert made == outgoing_id("C-1", 1, "e-1", 0)
    others = {
        outgoing_id("C-2", 1, "e-1", 0),
        outgoing_id("C-1", 2, "e-1", 0),
        outgoing_id("C-1", 1, "e-2", 0),
        outgoing_id("C-1", 1, "e-1", 1),
    }
    assert len(others - {made}) == 4
    assert {len(one) for one in others} == {32}
