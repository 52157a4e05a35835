"""What intake refuses, and that it says which field of which record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from contracts.event_strategies import any_event, example
from hypothesis import given
from hypothesis import strategies as st

from agents.core.refusal import Refusal
from agents.intake.rules import AMOUNT_MAX, account_of, check
from schemas import events as ev
from schemas.events import BY_NAME, Event
from schemas.fields import fields_of

_DAY_2201 = 84_371
_INPUTS = [kind for kind in ev.INCOMING if kind not in ev.JOURNAL_ONLY]


def _changed(kind: type[Event], /, **fields: Any) -> Event:
    event: Event = msgspec.structs.replace(_good(kind), **fields)
    return event


# What an example has that cannot be: fields that exclude each other, words that mean nothing.
_APART: dict[type[Event], dict[str, Any]] = {
    ev.InvoiceIssued: {"orders": [], "net_amount": 1},
    ev.OrderPlaced: {"net_amount": 1},
    ev.CustomersMerged: {"merged_customer_id": "X-2"},
    ev.DunningStepReported: {"channel": "email", "result": "bounced"},
    ev.DunningStepDecided: {"channel": "letter", "decision": "skip"},
}


def _good(kind: type[Event]) -> Event:
    event: Event = msgspec.structs.replace(example(kind), **_APART.get(kind, {}))
    return event


def _parts(*amounts: int) -> list[ev.Allocation]:
    return [ev.Allocation(invoice_id="I-1", amount=amount) for amount in amounts]


def _orders(*amounts: int) -> list[ev.InvoicedOrder]:
    return [ev.InvoicedOrder(order_id=f"O-{at}", amount=one) for at, one in enumerate(amounts)]


@pytest.mark.parametrize("kind", _INPUTS, ids=lambda kind: kind.__name__)
def test_good_event_is_accepted(kind: type[Event]) -> None:
    assert check(_good(kind)) is None


@pytest.mark.parametrize("kind", _INPUTS, ids=lambda kind: kind.__name__)
def test_event_that_says_only_what_it_must_is_accepted(kind: type[Event]) -> None:
    event = _good(kind)
    required = {f.name: getattr(event, f.name) for f in fields_of(kind) if not f.has_default}
    assert check(kind(**required)) is None


# type, fields that make it wrong, reason, field
_REFUSED: list[tuple[type[Event], dict[str, Any], str, str]] = [
    (ev.OrderPlaced, {"amount": 0}, "amount_not_positive", "amount"),
    (ev.OrderPlaced, {"amount": -1}, "amount_not_positive", "amount"),
    (ev.OrderPlaced, {"amount": AMOUNT_MAX + 1}, "amount_too_large", "amount"),
    (ev.OrderChanged, {"amount": 0}, "amount_not_positive", "amount"),
    (ev.OrderCancelled, {"amount": 0}, "amount_not_positive", "amount"),
    (ev.OrderDelivered, {"amount": -5}, "amount_not_positive", "amount"),
    (ev.InvoiceIssued, {"amount": 0}, "amount_not_positive", "amount"),
    (ev.CreditNoteIssued, {"amount": -5}, "amount_not_positive", "amount"),
    (ev.InvoiceDisputed, {"amount": 0}, "amount_not_positive", "amount"),
    (ev.DisputeResolved, {"credited_amount": -1}, "amount_negative", "credited_amount"),
    (ev.PaymentReceived, {"amount": 0, "allocations": []}, "amount_not_positive", "amount"),
    (ev.PaymentAllocated, {"amount": 0}, "amount_not_positive", "amount"),
    (ev.PromiseToPayMade, {"amount": -1}, "amount_not_positive", "amount"),
    (ev.CustomerUpserted, {"credit_limit": -1}, "amount_negative", "credit_limit"),
    (ev.CustomerUpserted, {"insured_limit": -1}, "amount_negative", "insured_limit"),
    (ev.CustomerUpserted, {"credit_limit": 2**62}, "amount_too_large", "credit_limit"),
    (ev.CreditLimitChanged, {"credit_limit": -1}, "amount_negative", "credit_limit"),
    (ev.CreditGroupUpserted, {"credit_limit": -1}, "amount_negative", "credit_limit"),
    (ev.CreditReportReceived, {"recommended_limit": -1}, "amount_negative", "recommended_limit"),
    (ev.OrderPlaced, {"currency": "XAU"}, "unknown_currency", "currency"),
    (ev.OrderPlaced, {"currency": "eur"}, "unknown_currency", "currency"),
    (ev.OrderPlaced, {"currency": ""}, "unknown_currency", "currency"),
    (ev.FxRatePublished, {"base": "XXX"}, "unknown_currency", "base"),
    (ev.FxRatePublished, {"quote": "???"}, "unknown_currency", "quote"),
    (ev.FxRatePublished, {"quote": "EUR"}, "same_currency", "quote"),
    *[
        (ev.FxRatePublished, {"rate": rate}, "malformed_rate", "rate")
        for rate in ("0", "0.000", "-1", "+1", "1e3", "", ".5", "1.", "NaN", "1,5", " 1", "٣")
    ],
    (ev.FxRatePublished, {"rate": "1" * 19}, "malformed_rate", "rate"),
    (ev.InvoiceIssued, {"issued_on": 20_515, "due_on": 20_514}, "due_before_issued", "due_on"),
    (ev.InvoiceIssued, {"due_on": _DAY_2201}, "date_out_of_range", "due_on"),
    (ev.InvoiceIssued, {"issued_on": -1}, "date_out_of_range", "issued_on"),
    (ev.OrderPlaced, {"deliver_on": -1}, "date_out_of_range", "deliver_on"),
    (ev.OrderPlaced, {"occurred_at": -1}, "date_out_of_range", "occurred_at"),
    (ev.OrderPlaced, {"occurred_at": _DAY_2201 * 86_400_000_000}, "date_out_of_range",
     "occurred_at"),
    (ev.FeedAdvanced, {"complete_until": 2**62}, "date_out_of_range", "complete_until"),
    (ev.OrderPlaced, {"order_id": ""}, "malformed_id", "order_id"),
    (ev.OrderPlaced, {"order_id": " \u00a0"}, "malformed_id", "order_id"),
    (ev.OrderPlaced, {"order_id": "x" * 201}, "malformed_id", "order_id"),
    (ev.OrderPlaced, {"order_id": "O\0 9"}, "malformed_id", "order_id"),
    (ev.OrderPlaced, {"order_id": "O\n9"}, "malformed_id", "order_id"),
    (ev.OrderPlaced, {"order_id": "O\x859"}, "malformed_id", "order_id"),
    (ev.OrderPlaced, {"event_id": ""}, "malformed_id", "event_id"),
    (ev.OrderPlaced, {"customer_id": ""}, "malformed_id", "customer_id"),
    (ev.CustomerUpserted, {"group_id": ""}, "malformed_id", "group_id"),
    (ev.InvoiceIssued, {"order_id": "\0"}, "malformed_id", "order_id"),
    (ev.OrderReleased, {"by": " "}, "malformed_id", "by"),
    (ev.FeedAdvanced, {"feed": ""}, "malformed_id", "feed"),
    (ev.PromiseToPayMade, {"invoice_ids": ["I-1", ""]}, "malformed_id", "invoice_ids[1]"),
    (ev.PaymentReceived, {"allocations": _parts(1, 0)}, "amount_not_positive",
     "allocations[1].amount"),
    (ev.PaymentReceived, {"allocations": [ev.Allocation(invoice_id="", amount=1)]},
     "malformed_id", "allocations[0].invoice_id"),
    (ev.PaymentReceived, {"amount": 10, "allocations": _parts(5, 6)},
     "allocations_exceed_payment", "allocations"),
    (ev.PaymentPlanAgreed, {"instalments": [ev.Instalment(due_on=-1, amount=1)]},
     "date_out_of_range", "instalments[0].due_on"),
    (ev.DisputeResolved, {"outcome": "won"}, "unknown_outcome", "outcome"),
    (ev.DunningStepReported, {"result": "lost"}, "unknown_result", "result"),
    (ev.DunningStepReported, {"channel": "pigeon"}, "unknown_channel", "channel"),
    (ev.DunningStepDecided, {"decision": "maybe"}, "unknown_decision", "decision"),
    (ev.CustomerUpserted, {"kind": "B2B"}, "unknown_kind", "kind"),
    (ev.CustomerUpserted, {"payment_terms_days": -1}, "number_negative", "payment_terms_days"),
    (ev.InvoiceIssued, {"revision": -1}, "number_negative", "revision"),
    (ev.InvoiceIssued, {"orders": _orders(1)}, "orders_named_twice", "orders"),
    (ev.InvoiceIssued, {"order_id": None, "amount": 10, "orders": _orders(5, 6)},
     "orders_exceed_invoice", "orders"),
    (ev.InvoiceIssued, {"order_id": None, "orders": _orders(1, 0)}, "amount_not_positive",
     "orders[1].amount"),
    (ev.InvoiceIssued, {"amount": 10, "net_amount": 11}, "net_above_gross", "net_amount"),
    (ev.OrderPlaced, {"amount": 10, "net_amount": 11}, "net_above_gross", "net_amount"),
    (ev.CustomersMerged, {"merged_customer_id": "X-1"}, "same_customer", "merged_customer_id"),
    (ev.AlertSnoozed, {"occurred_at": 0, "until": 30 * 86_400_000_000 + 1}, "snooze_too_long",
     "until"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fields", "reason", "field"),
    _REFUSED,
    ids=[f"{kind.__name__}-{field}-{at}" for at, (kind, _, _, field) in enumerate(_REFUSED)],
)
def test_event_that_cannot_be_true_is_refused(
    kind: type[Event], fields: dict[str, Any], reason: str, field: str
) -> None:
    refusal = check(_changed(kind, **fields))
    assert refusal is not None
    assert (refusal.reason, refusal.field) == (reason, field)
    assert field in refusal.detail
    assert refusal.detail.startswith(kind.__name__)
    assert refusal.detail.isprintable()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ev.OrderPlaced, {"amount": AMOUNT_MAX}),
        (ev.OrderPlaced, {"amount": 1}),
        (ev.OrderPlaced, {"order_id": "x" * 200}),
        (ev.OrderPlaced, {"order_id": "Bestellung Nr. 9 / Straße ä"}),
        (ev.OrderPlaced, {"occurred_at": 0}),
        (ev.OrderPlaced, {"occurred_at": _DAY_2201 * 86_400_000_000 - 1}),
        (ev.InvoiceIssued, {"issued_on": 20_514, "due_on": 20_514}),
        (ev.InvoiceIssued, {"order_id": None, "amount": 10, "orders": _orders(5, 5)}),
        (ev.InvoiceIssued, {"amount": 10, "net_amount": 10}),
        (ev.CustomerUpserted, {"credit_limit": 0}),
        (ev.CustomerUpserted, {"credit_limit": None}),
        (ev.DisputeResolved, {"credited_amount": 0}),
        (ev.PaymentReceived, {"amount": 10, "allocations": _parts(5, 5)}),
        (ev.PaymentReceived, {"amount": 10, "allocations": []}),
        (ev.CustomerBlocked, {"reason": ""}),
        (ev.FxRatePublished, {"rate": "0.000000000000000001"}),
    ],
)
def test_event_at_the_edge_is_accepted(kind: type[Event], fields: dict[str, Any]) -> None:
    """The limits themselves pass; allocations may name one invoice twice."""
    assert check(_changed(kind, **fields)) is None


@pytest.mark.parametrize("kind", [*ev.OUTGOING, *ev.JOURNAL_ONLY])
def test_what_headroom_says_itself_is_no_input(kind: type[Event]) -> None:
    refusal = check(_good(kind))
    assert refusal == Refusal("not_an_input", "type", f"{kind.__name__} is no event that comes in")


@given(any_event())
def test_check_answers_for_whatever_the_wire_can_carry(event: Event) -> None:
    """It never raises, and what it accepts is in range."""
    refusal = check(event)
    if refusal is not None:
        assert refusal.reason
        assert refusal.detail.isprintable()
        return
    assert type(event) in _INPUTS
    for field in fields_of(type(event)):
        value = getattr(event, field.name)
        if field.kind == "minor" and value is not None:
            assert 0 <= value <= AMOUNT_MAX
        if field.name.endswith("_id") and value is not None:
            assert value.strip()
            assert "\0" not in value


@given(any_event(), st.sampled_from(["\0", "\x1f", "\x7f", "\x9f"]))
def test_no_id_with_a_control_character_passes(event: Event, character: str) -> None:
    """A NUL would break the keys of the state apart."""
    event_id = f"e{character}1"
    assert check(msgspec.structs.replace(event, event_id=event_id)) is not None


def test_refusal_names_the_record_by_its_id() -> None:
    def detail(kind: type[Event], **fields: Any) -> str:
        refusal = check(_changed(kind, **fields))
        assert refusal is not None
        return refusal.detail

    assert detail(ev.OrderPlaced, order_id="O-9", amount=-500) == (
        'OrderPlaced order_id "O-9": amount is -500 minor units, not above zero'
    )
    assert detail(ev.InvoiceIssued, invoice_id="I-3", order_id="O-9", amount=0).startswith(
        'InvoiceIssued invoice_id "I-3": '
    )
    assert detail(ev.CustomerUpserted, customer_id="C-1", currency="XX").startswith(
        'CustomerUpserted customer_id "C-1": '
    )
    assert 'order_id "O\\x009"' in detail(ev.OrderPlaced, order_id="O\0009")
    assert len(detail(ev.OrderPlaced, order_id="x" * 10_000)) < 200


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_account_is_the_group_the_customer_or_everyone(name: str) -> None:
    """A group's event has the group's id for a key; what concerns every account, or all of a
    partition, has none.
    """
    event = _good(BY_NAME[name])
    if isinstance(event, (*ev.BROADCAST, ev.BusinessDayContinued)):
        assert account_of(event) is None
    elif isinstance(event, ev.CreditGroupUpserted | ev.GroupExposureChanged):
        assert account_of(event) == event.group_id
    elif isinstance(event, ev.CustomersMerged):
        assert account_of(event) == event.merged_customer_id
    else:
        assert account_of(event) == getattr(event, "customer_id")  # noqa: B009
