"""What a refusal tells the person who sent the event."""

from __future__ import annotations

from credit.journals import Journal
from credit.policy_worlds import Setting, policy

from agents.core.refusal import Refusal
from schemas import events as ev


def refusals(journal: Journal, *settings: Setting) -> list[str]:
    told = [one for one in journal.outcome(policy(*settings)) if isinstance(one, Refusal)]
    return [f"{one.reason} {one.field}: {one.detail}" for one in told]


def _release(journal: Journal, **fields: str) -> None:
    journal.say(ev.OrderReleased, order_id="O-1", by="ann", reason="promised", **fields)


def _held(amount: int = 300, currency: str = "EUR") -> Journal:
    journal = Journal()
    journal.customer(100)
    journal.order("O-1", amount, currency=currency)
    return journal


def test_who_has_no_role_is_told_that_the_policy_asks_for_one() -> None:
    journal = _held()
    _release(journal)
    _release(journal, role="trainee")
    asks = "authority_missing role: order O-1: the policy asks for authority to release"
    assert refusals(journal, ("release.authority.clerk", '"5"')) == [
        f"{asks}, no role is named",
        f"{asks}, role 'trainee' has none",
    ]


def test_who_goes_beyond_the_authority_is_told_how_far_it_reaches() -> None:
    journal = _held()
    _release(journal, role="clerk")
    assert refusals(journal, ("release.authority.clerk", '"2.99"')) == [
        "authority_exceeded role: order O-1: role 'clerk' may release up to 2.99"
    ]


def test_who_releases_alone_is_told_above_what_two_are_needed() -> None:
    journal = _held()
    _release(journal)
    _release(journal, confirmed_by="ann")
    needs = "second_person_missing confirmed_by: order O-1: above 2.99 another person than 'ann'"
    assert refusals(journal, ("release.four_eyes_above", '"2.99"')) == [f"{needs} confirms"] * 2


def test_who_releases_in_a_currency_without_a_rate_is_told_so() -> None:
    journal = _held(currency="USD")
    _release(journal, role="clerk")
    (told,) = refusals(journal, ("release.authority.clerk", '"5"'))
    assert told == (
        "fx_rate_missing order_id: order O-1 is in USD, which no rate values today, so nobody's "
        "authority can be compared with it"
    )


def test_a_document_with_other_content_is_named() -> None:
    journal = Journal()
    journal.customer(100_000)
    note = {"credit_note_id": "N-1", "currency": "EUR"}
    dispute = {"invoice_id": "I-1", "dispute_id": "D-1", "reason": "price"}
    for amount in (100, 101):
        journal.order("O-1", amount)
        journal.invoice("I-1", amount)
        journal.invoice("I-2", amount, revision=3)
        journal.pay("P-1", amount)
        journal.say(ev.CreditNoteIssued, amount=amount, **note)
        journal.say(ev.InvoiceDisputed, amount=amount, **dispute)
    assert refusals(journal) == [
        f"document_conflict {field}: {document} is known with other content"
        for field, document in [
            ("order_id", "order O-1"),
            ("invoice_id", "invoice I-1 revision 0"),
            ("invoice_id", "invoice I-2 revision 3"),
            ("payment_id", "payment P-1"),
            ("credit_note_id", "credit note N-1"),
            ("dispute_id", "dispute D-1"),
        ]
    ]


def test_an_allocation_beyond_the_payment_says_what_is_left() -> None:
    journal = Journal()
    journal.customer(100_000)
    journal.invoice("I-1", 500)
    journal.pay("P-1", 100)
    for amount in (60, 41, 40):
        journal.say(ev.PaymentAllocated, payment_id="P-1", invoice_id="I-1", amount=amount)
    (told,) = refusals(journal)
    assert told == (
        "allocation_exceeds_payment amount: payment P-1 has 40 minor units left, "
        "not 41 for invoice I-1"
    )


def test_what_is_told_of_a_merged_customer_is_refused_with_the_one_who_stays() -> None:
    journal = Journal()
    for customer_id in ("C-1", "C-2", "C-3"):
        journal.customer(100, customer_id)
    merger = {"by": "ann", "reason": "one company"}
    journal.say(ev.CustomersMerged, merged_customer_id="C-2", **merger)
    journal.customer(200, "C-2")
    journal.say(ev.CustomersMerged, "C-3", merged_customer_id="C-2", **merger)
    journal.say(ev.CustomersMerged, "C-2", merged_customer_id="C-1", **merger)
    of_the_customer, twice, back = refusals(journal)
    assert of_the_customer == (
        "customer_merged customer_id: CustomerUpserted: customer 'C-2' was merged into 'C-1', "
        "whose own limit, block and terms count"
    )
    merged_already = "merged_already merged_customer_id: customer "
    assert twice == merged_already + "'C-2' was merged into 'C-1' already"
    assert back == merged_already + "'C-1' has 'C-2' in it: it was merged the other way"
