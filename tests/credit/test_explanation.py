"""Why an order was decided so: recomputed from the journal, equal to what was decided."""

from __future__ import annotations

import pytest
from credit.journals import DAY, Journal, two_orders
from credit.one_customer import CUSTOMER, histories
from hypothesis import given

from agents.credit import day_run, reasons
from agents.credit.explanation import Explanation, Witness
from agents.credit.phrases import in_english
from agents.journal.entries import Entry
from agents.policy_file import load_policy
from agents.simulate import Simulation
from schemas import events as ev
from schemas.events import Event, OrderDecision

POLICY = load_policy(None)


def explained(history: list[Event], order_id: str) -> list[Explanation]:
    witness = Witness(order_id, POLICY, follow=True)
    witness.replay(Entry(0, at, 0, "", event) for at, event in enumerate(history))
    return witness.explanations()


def decided(history: list[Event], order_id: str) -> list[OrderDecision]:
    simulation = Simulation(POLICY)
    effects = [effect for event in history for effect in simulation.feed(event)]
    return [one for one in effects if isinstance(one, OrderDecision) and one.order_id == order_id]


@given(histories())
def test_what_is_explained_is_what_was_decided_and_the_inputs_add_up(history: list[Event]) -> None:
    for order_id in ("O-0", "O-1", "O-2"):
        rulings = [one for found in explained(history, order_id) for one in found.rulings]
        assert [ruling.decision for ruling in rulings] == decided(history, order_id)
        for ruling in rulings:
            assert sum(one.amount for one in ruling.inputs) == ruling.decision.exposure_after
            assert [one.reason for one in ruling.obstacles] == ruling.decision.reasons
            assert all(one.facts for one in ruling.inputs)
            assert ruling.decision.cause_event_id == ruling.cause.event_id


def test_an_account_is_looked_at_on_its_own_day_while_no_business_day_has_started() -> None:
    """The limit ran out on the day of the invoice; an order told late is decided after that."""
    first, later = (day * 86_400_000_000 for day in (DAY, DAY + 2))
    history: list[Event] = [
        ev.CustomerUpserted(
            event_id="a", occurred_at=first, customer_id=CUSTOMER, currency="EUR", credit_limit=500
        ),
        ev.CreditLimitChanged(
            event_id="b",
            occurred_at=first,
            customer_id=CUSTOMER,
            credit_limit=None,
            valid_until=DAY,
        ),
        ev.InvoiceIssued(
            event_id="c",
            occurred_at=later,
            customer_id=CUSTOMER,
            invoice_id="I-0",
            amount=400,
            currency="EUR",
            issued_on=DAY - 30,
            due_on=DAY + 30,
        ),
        ev.OrderPlaced(
            event_id="d",
            occurred_at=first,
            customer_id=CUSTOMER,
            order_id="O-2",
            amount=200,
            currency="EUR",
        ),
    ]
    (found,) = explained(history, "O-2")
    (ruling,) = found.rulings
    assert [one.reason for one in ruling.obstacles] == ruling.decision.reasons
    assert ruling.decision.reasons == [reasons.CREDIT_LIMIT_EXCEEDED]
    assert found.looked_on == DAY + 2


@given(histories())
def test_doing_what_the_explanation_asks_for_releases_the_order(history: list[Event]) -> None:
    """Paying what is missing releases an order that only the limit holds."""
    for order_id in ("O-0", "O-1", "O-2"):
        for found in explained(history, order_id):
            if [one.reason for one in found.held_now] != [reasons.CREDIT_LIMIT_EXCEEDED]:
                continue
            missing = found.held_now[0].missing
            assert missing is not None
            for amount, released in ((missing - 1, False), (missing, True)):
                if amount:
                    paid = _paid(history, amount)
                    last = decided([*history, paid], order_id)[-1].decision
                    assert last == ("released" if released else "held") or _others_wait(
                        history, order_id
                    )


def _paid(history: list[Event], amount: int) -> Event:
    return ev.PaymentReceived(
        event_id="paid",
        occurred_at=max(event.occurred_at for event in history),
        customer_id=CUSTOMER,
        payment_id="P-paid",
        amount=amount,
        currency="EUR",
        value_on=DAY,
        allocations=[],
    )


def _others_wait(history: list[Event], order_id: str) -> bool:
    """Whether another order is held: it may take what was paid."""
    return any(
        decisions and decisions[-1].decision == "held"
        for other in {"O-0", "O-1", "O-2"} - {order_id}
        if (decisions := decided(history, other))
    )


def test_the_sentence_says_what_to_pay_or_how_far_to_raise_the_limit() -> None:
    history = Journal()
    history.customer(1_000_00)
    history.invoice("I-1", 700_00)
    history.order("O-1", 512_40)
    (found,) = explained(history, "O-1")
    (obstacle,) = found.held_now
    assert in_english(obstacle.finding) == (
        "the order asks for 512.40 EUR; of the limit of 1000.00 EUR 700.00 EUR is used"
    )
    assert in_english(obstacle.remedy) == "pay 212.40 EUR or raise the limit to 1212.40 EUR"
    assert found.looked_on == DAY


def test_the_documents_that_counted_are_named_with_the_events_that_made_them() -> None:
    history = Journal()
    history.customer(2_000)
    history.order("O-0", 300)
    history.invoice("I-1", 500)
    history.pay("P-1", 200, "I-1")
    history.order("O-1", 100)
    (ruling,) = explained(history, "O-1")[0].rulings
    assert [(one.what, one.id, one.amount) for one in ruling.inputs] == [
        ("open_receivable", "I-1", 300),
        ("open_order", "O-0", 300),
        ("open_order", "O-1", 100),
    ]
    assert [fact.offset for fact in ruling.inputs[0].facts] == [3, 4]
    assert [(fact.type, fact.offset) for fact in ruling.account_facts] == [("CustomerUpserted", 1)]
    assert (ruling.cause.type, ruling.cause.offset) == ("OrderPlaced", 5)


def test_each_order_released_by_one_payment_is_explained_as_it_stood_then() -> None:
    history = two_orders(1_000, 1_000, 300, 300)
    history.pay("P-1", 600, "I-1")
    first, second = (explained(history, order_id)[0].rulings[-1] for order_id in ("O-1", "O-2"))
    assert [one.id for one in first.inputs] == ["I-1", "O-1"]
    assert [one.id for one in second.inputs] == ["I-1", "O-1", "O-2"]


def test_an_order_of_a_group_is_explained_with_the_other_members() -> None:
    history = Journal()
    history.say(ev.CreditGroupUpserted, group_id="G", currency="EUR", credit_limit=1_000)
    history.customer(5_000, group_id="G")
    history.customer(5_000, "C-2", group_id="G")
    history.order("O-9", 800, "C-2")
    history.order("O-1", 500)
    (found,) = explained(history, "O-1")
    members = [one for one in found.rulings[-1].inputs if one.what == "group_member"]
    assert [(one.id, one.amount) for one in members] == [("C-2", 800)]
    assert {fact.type for fact in found.rulings[-1].account_facts} == {
        "CustomerUpserted",
        "CreditGroupUpserted",
    }
    (obstacle,) = found.held_now
    assert in_english(obstacle.remedy) == "pay 3.00 EUR or raise the group's limit to 13.00 EUR"


def test_an_order_that_came_with_a_merged_customer_is_found_under_its_own_id() -> None:
    history = Journal()
    history.customer(1_000)
    history.customer(1_000, "C-2")
    history.order("O-1", 100)
    history.order("O-1", 200, "C-2")
    history.say(ev.CustomersMerged, merged_customer_id="C-2", by="ann", reason="one firm")
    history.say(ev.OrderCancelled, "C-2", order_id="O-1")
    found = {(one.customer_id, one.order_id): one for one in explained(history, "O-1")}
    assert set(found) == {("C-1", "O-1"), ("C-2", "O-1"), ("C-1", "C-2/O-1")}
    assert [r.decision.decision for r in found["C-2", "O-1"].rulings] == ["approved"]
    (cancelled,) = found["C-1", "C-2/O-1"].rulings
    assert cancelled.decision.decision == "cancelled"
    assert [one.facts[0].offset for one in cancelled.inputs] == [3]


def test_documents_that_came_with_a_merged_customer_have_the_events_that_made_them() -> None:
    history = Journal()
    history.customer(1_000)
    history.customer(1_000, "C-2")
    history.invoice("I-1", 100)
    history.say(
        ev.InvoiceIssued, "C-2", invoice_id="I-1", amount=200, currency="EUR", issued_on=DAY,
        due_on=DAY + 30,
    )  # fmt: skip
    history.say(ev.CustomersMerged, merged_customer_id="C-2", by="ann", reason="one firm")
    history.order("O-1", 50)
    (found,) = explained(history, "O-1")
    (ruling,) = found.rulings
    assert [(one.id, one.amount, [f.offset for f in one.facts]) for one in ruling.inputs] == [
        ("C-2/I-1", 200, [4]),
        ("I-1", 100, [3]),
        ("O-1", 50, [6]),
    ]


def test_what_an_account_is_told_with_its_own_event_may_follow_from_the_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One account at a time has its turn; the second is asked about before its own."""
    monkeypatch.setattr(day_run, "ACCOUNTS_PER_PIECE", 1)
    history = Journal()
    for customer_id in ("C-1", "C-2"):
        history.customer(1_000, customer_id)
        history.order("O-1", 100, customer_id)
        history.say(
            ev.OrderHeld, customer_id, order_id="O-1", by="ann", role="controller", reason="odd",
            valid_until=DAY,
        )  # fmt: skip
    history.wait()
    history.order("O-2", 1, "C-2")
    witness = Witness("O-1", POLICY, follow=False)
    witness.replay(
        Entry(0, offset, 0, getattr(event, "customer_id", ""), event)
        for offset, event in enumerate(history)
    )
    (second,) = (one for one in witness.explanations() if one.customer_id == "C-2")
    assert [(one.decision.decision, one.cause.type) for one in second.rulings] == [
        ("approved", "OrderPlaced"),
        ("held", "OrderHeld"),
        ("released", "BusinessDayStarted"),
    ]
    assert second.rulings[-1].cause.offset == 7


def test_an_order_nobody_placed_has_no_explanation() -> None:
    assert explained(Journal(), "O-1") == []
