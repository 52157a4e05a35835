"""Small histories for Hypothesis: few documents, few days, everything that can happen to them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from sink.sink_events import (
    DAY,
    alert,
    business_day,
    decision,
    exposure,
    invoice,
    payment,
    signal,
)

from schemas import events as ev
from schemas.events import Event

FIRST_DAY, LAST_DAY = 19_000, 19_150
CURRENCIES = {"C-1": "EUR", "C-2": "JPY", "C-3": "KWD"}
SMALL_BALANCE = {"EUR": 5, "JPY": 0, "KWD": 50}
"""0.05 in each."""

_customers = st.sampled_from(sorted(CURRENCIES))
_days = st.integers(FIRST_DAY, LAST_DAY)
_instants = st.integers(FIRST_DAY * DAY, LAST_DAY * DAY)
_amounts = st.one_of(st.integers(1, 300), st.sampled_from([1_000, 2_000, 995, 950]))
_invoice_ids = st.sampled_from(["I-1", "I-2", "I-3"])
_payment_ids = st.sampled_from(["P-1", "P-2"])


@st.composite
def _document(draw: st.DrawFn, event_id: str) -> Event:
    customer = draw(_customers)
    own = CURRENCIES[customer]
    said: dict[str, Any] = {
        "event_id": event_id,
        "customer_id": customer,
        "occurred_at": draw(_instants),
    }
    money: dict[str, Any] = {
        "amount": draw(_amounts),
        "currency": draw(st.sampled_from([own] * 7 + ["USD"])),
    }
    invoice_id = draw(_invoice_ids)
    payment_id = draw(_payment_ids)
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2:
            issued_on = draw(_days)
            return invoice(
                **said,
                **(money | {"currency": own}),
                invoice_id=invoice_id,
                issued_on=issued_on,
                due_on=issued_on + draw(st.integers(0, 60)),
                revision=draw(st.sampled_from([None, None, 1, 2])),
            )
        case 3 | 4:
            parts = draw(st.lists(st.tuples(_invoice_ids, st.integers(1, 900)), max_size=2))
            total = max(money["amount"], sum(amount for _, amount in parts))
            return payment(
                **said,
                **(money | {"amount": total}),
                payment_id=payment_id,
                value_on=draw(_days),
                cleared=draw(st.sampled_from([None, True, False])),
                allocations=[ev.Allocation(invoice_id=one, amount=part) for one, part in parts],
            )
        case 5:
            return ev.CreditNoteIssued(
                **said,
                **money,
                credit_note_id=draw(st.sampled_from(["N-1", "N-2"])),
                invoice_id=draw(st.sampled_from([None, invoice_id, invoice_id])),
            )
        case 6:
            return ev.PaymentAllocated(
                **said, payment_id=payment_id, invoice_id=invoice_id, amount=draw(_amounts)
            )
        case 7:
            return ev.PaymentCleared(**said, payment_id=payment_id)
        case 8:
            return ev.PaymentReversed(**said, payment_id=payment_id, reason="charge-back")
        case _:
            closing = draw(st.sampled_from([ev.InvoiceCancelled, ev.InvoiceWrittenOff]))
            return closing(**said, invoice_id=invoice_id)


@st.composite
def journals(draw: st.DrawFn) -> list[Event]:
    """Documents in any order, some of them told twice, and one or more business days."""
    count = draw(st.integers(1, 25))
    events = [draw(_document(f"e-{place}")) for place in range(count)]
    for repeat in draw(st.lists(st.sampled_from(events), max_size=4)):
        events.insert(draw(st.integers(0, len(events))), repeat)
    today = draw(st.integers(FIRST_DAY + 60, LAST_DAY + 20))
    return [*events, business_day(today - 1), business_day(today)]


@st.composite
def promises(draw: st.DrawFn) -> list[Event]:
    """Promises and plans, cancellations, and what became of some; some told twice."""
    events: list[Event] = []
    for place in range(draw(st.integers(0, 6))):
        said: dict[str, Any] = {
            "event_id": f"r-{place}",
            "customer_id": draw(_customers),
            "occurred_at": draw(_instants),
        }
        name = draw(st.sampled_from(["R-1", "R-2"]))
        invoice_ids = draw(st.lists(_invoice_ids, min_size=1, max_size=2, unique=True))
        match draw(st.integers(0, 3)):
            case 0:
                events.append(
                    ev.PromiseToPayMade(
                        **said, promise_id=name, invoice_ids=invoice_ids, amount=100,
                        promised_on=draw(_days),
                    )
                )  # fmt: skip
            case 1:
                dues = [ev.Instalment(due_on=draw(_days), amount=draw(_amounts)) for _ in range(2)]
                events.append(
                    ev.PaymentPlanAgreed(
                        **said, plan_id=name, invoice_ids=invoice_ids, instalments=dues
                    )
                )
            case 2:
                events.append(ev.PaymentPlanCancelled(**said, plan_id=name))
            case _:
                kind = draw(st.sampled_from(["kept", "partly_kept", "broken"]))
                events.append(signal(**said, kind=f"promise_{kind}", promise_id=name))
    repeats = draw(st.lists(st.sampled_from(events), max_size=2)) if events else []
    return [*events, *repeats]


@st.composite
def exposure_changes(draw: st.DrawFn) -> list[ev.ExposureChanged]:
    count = draw(st.integers(1, 20))
    changes = []
    for place in range(count):
        customer = draw(_customers)
        changes.append(
            exposure(
                f"x-{place}",
                occurred_at=draw(_instants),
                customer_id=customer,
                currency=CURRENCIES[customer],
                exposure=draw(st.integers(-500, 5_000)),
            )
        )
    return changes


@st.composite
def decisions(draw: st.DrawFn) -> list[ev.OrderDecision]:
    made = []
    for order in range(draw(st.integers(1, 8))):
        at = draw(_instants)
        for number in range(1, draw(st.integers(1, 3)) + 1):
            made.append(
                decision(
                    f"d-{order}-{number}",
                    order_id=f"O-{order}",
                    occurred_at=at,
                    decision=draw(st.sampled_from(["approved", "held", "released"])),
                    decision_number=number,
                )
            )
            at += draw(st.integers(0, 3 * DAY))
    return made


@st.composite
def customer_records(draw: st.DrawFn) -> list[ev.CustomerUpserted]:
    """Master records, some of one instant, some of a customer that has no figures."""
    records = []
    for place in range(draw(st.integers(0, 8))):
        customer = draw(st.sampled_from([*sorted(CURRENCIES), "C-9"]))
        at = draw(st.one_of(_instants, _days.map(lambda day: day * DAY)))
        records.append(
            ev.CustomerUpserted(
                event_id=f"m-{place}",
                occurred_at=at,
                customer_id=customer,
                currency=CURRENCIES.get(customer, "EUR"),
                credit_limit=None,
                group_id=draw(st.sampled_from([None, "G-1", "G-1", "G-2"])),
                segment=draw(st.sampled_from([None, "retail", "public"])),
            )
        )
    return records


@st.composite
def holds_and_alerts(draw: st.DrawFn) -> list[Event]:
    """Decisions, alerts and early warnings of two customers, within few days and often at once."""
    instants = st.tuples(st.integers(0, 50), st.sampled_from([0, 1, DAY // 2])).map(
        lambda at: (FIRST_DAY + at[0]) * DAY + at[1]
    )
    reasons = st.lists(
        st.sampled_from(["credit_limit_exceeded", "overdue"]), min_size=1, max_size=2, unique=True
    )
    events: list[Event] = []
    for place in range(draw(st.integers(1, 25))):
        said: dict[str, Any] = {
            "event_id": f"h-{place}",
            "occurred_at": draw(instants),
            "customer_id": draw(st.sampled_from(["C-1", "C-2"])),
        }
        match draw(st.integers(0, 3)):
            case 0:
                status = draw(st.sampled_from(["held", "held", "released"]))
                events.append(
                    decision(**said, order_id=f"O-{place}", decision=status, reasons=draw(reasons))
                )
            case 1 | 2:
                events.append(
                    alert(
                        **said,
                        threshold=draw(st.sampled_from(["0.80", "0.90", "1.00"])),
                        direction=draw(st.sampled_from(["raised", "raised", "cleared"])),
                    )
                )
            case _:
                kind = draw(st.sampled_from(["forecast_breach", "forecast_breach", "other"]))
                events.append(signal(**said, kind=kind))
    return events


@st.composite
def disputes(draw: st.DrawFn) -> list[Event]:
    """Disputes that are opened and solved, or only one of both, in any order."""
    events: list[Event] = []
    for place in range(draw(st.integers(0, 10))):
        said: dict[str, Any] = {
            "event_id": f"q-{place}",
            "occurred_at": draw(_instants),
            "customer_id": "C-1",
            "invoice_id": draw(_invoice_ids),
            "dispute_id": draw(st.sampled_from(["Q-1", "Q-2", "Q-3"])),
        }
        if draw(st.booleans()):
            reason = draw(st.sampled_from(["damaged: two sacks", "damaged", "price"]))
            amount = draw(st.sampled_from([None, 70, 120]))
            events.append(ev.InvoiceDisputed(**said, reason=reason, amount=amount))
        else:
            events.append(ev.DisputeResolved(**said, outcome="upheld"))
    return events
