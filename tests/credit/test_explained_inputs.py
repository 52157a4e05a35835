"""What an explanation lists: every document that counts, under the name of what it stands for."""

from __future__ import annotations

from credit.journals import DAY, Journal
from credit.policy_worlds import policy

from agents.credit.explanation import Ruling, Witness
from agents.journal.entries import Entry
from schemas import events as ev


def ruling(journal: Journal, order_id: str = "O-1") -> Ruling:
    """The last decision on the order."""
    witness = Witness(order_id, policy(), follow=True)
    witness.replay(Entry(0, at, 0, "", event) for at, event in enumerate(journal))
    (found,) = witness.explanations()
    assert (found.order_id, found.customer_id) == (order_id, "C-1")
    return found.rulings[-1]


def test_every_kind_of_document_is_named_for_what_it_stands_for() -> None:
    journal = Journal()
    journal.customer(100_000)
    journal.order("O-2", 800)
    journal.say(ev.OrderDelivered, order_id="O-2", amount=300)
    journal.invoice("I-1", 400, due_in=10)
    journal.invoice("I-2", 50)
    journal.pay("P-1", 60, "I-2")
    journal.pay("P-2", 70)
    journal.say(ev.CreditNoteIssued, credit_note_id="N-1", amount=5, currency="EUR")
    journal.order("O-1", 100)
    found = ruling(journal)
    assert {(one.what, one.id, one.amount, one.due_on) for one in found.inputs} == {
        ("open_order", "O-1", 100, None),
        ("open_order", "O-2", 500, None),
        ("delivered_not_invoiced", "O-2", 300, None),
        ("open_receivable", "I-1", 400, DAY + 10),
        ("unapplied_credit", "I-2", -10, None),
        ("unapplied_cash", "P-2", -70, None),
        ("unapplied_credit", "N-1", -5, None),
    }
    assert sum(one.amount for one in found.inputs) == found.decision.exposure_after


def test_of_each_kind_of_fact_about_the_account_the_last_is_named_in_their_order() -> None:
    journal = Journal()
    journal.customer(100)
    journal.say(ev.CustomerBlocked, reason="fraud", by="ann")
    journal.say(ev.CreditLimitChanged, credit_limit=200)
    journal.say(ev.CustomerUnblocked, reason="mistake", by="ann")
    journal.say(ev.CreditLimitChanged, credit_limit=300)
    journal.order("O-1", 100)
    assert [(one.type, one.offset) for one in ruling(journal).account_facts] == [
        ("CustomerUpserted", 1),
        ("CustomerBlocked", 2),
        ("CustomerUnblocked", 4),
        ("CreditLimitChanged", 5),
    ]


def test_a_customers_first_order_of_whom_nothing_is_known_is_explained() -> None:
    journal = Journal()
    journal.order("O-1", 100)
    found = ruling(journal)
    assert [one.reason for one in found.obstacles] == ["customer_unknown"]
    assert found.account_facts == []
