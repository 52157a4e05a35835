"""Events with everything said that a test does not care about."""

from __future__ import annotations

from typing import Any

from schemas import events as ev

DAY = 86_400_000_000


def invoice(event_id: str = "e-1", **fields: Any) -> ev.InvoiceIssued:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "invoice_id": "I-1",
        "amount": 10_000,
        "currency": "EUR",
        "issued_on": 19_000,
        "due_on": 19_030,
    }
    return ev.InvoiceIssued(event_id=event_id, **(said | fields))


def payment(event_id: str = "e-2", **fields: Any) -> ev.PaymentReceived:
    said: dict[str, Any] = {
        "occurred_at": 19_010 * DAY,
        "customer_id": "C-1",
        "payment_id": "P-1",
        "amount": 10_000,
        "currency": "EUR",
        "value_on": 19_010,
        "allocations": [ev.Allocation(invoice_id="I-1", amount=10_000)],
    }
    return ev.PaymentReceived(event_id=event_id, **(said | fields))


def decision(event_id: str = "d-1", **fields: Any) -> ev.OrderDecision:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "order_id": "O-1",
        "decision": "held",
        "reasons": ["overdue", "credit_limit_exceeded"],
        "amount": 5_000,
        "currency": "EUR",
        "exposure_before": 1_000,
        "exposure_after": 1_000,
        "credit_limit": 4_000,
        "headroom": 3_000,
        "utilisation": "0.2500",
        "decision_number": 1,
        "cause_event_id": "e-9",
        "policy_version": "test",
        "account_currency": "EUR",
    }
    return ev.OrderDecision(event_id=event_id, **(said | fields))


def alert(event_id: str = "a-1", **fields: Any) -> ev.CreditLimitAlert:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "threshold": "0.80",
        "direction": "raised",
        "exposure": 8_000,
        "credit_limit": 10_000,
        "utilisation": "0.8000",
        "cause_event_id": "e-9",
        "currency": "EUR",
    }
    return ev.CreditLimitAlert(event_id=event_id, **(said | fields))


def signal(event_id: str = "s-1", **fields: Any) -> ev.RiskSignal:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "kind": "forecast_breach",
        "severity": "warning",
        "detail": "headroom of 10.00 EUR is expected to run out on 2022-01-15",
        "expected_on": 19_007,
        "cause_event_id": "e-9",
    }
    return ev.RiskSignal(event_id=event_id, **(said | fields))


def step(event_id: str = "d-1", **fields: Any) -> ev.DunningStep:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "step_id": "C-1/2022-01-08/1",
        "level": 2,
        "procedure": "friendly-b2b",
        "channel": "email",
        "template": "second_reminder",
        "language": "nl",
        "invoices": [
            ev.DunnedInvoice(
                invoice_id="I-1", open_amount=10_000, due_on=18_970, days_overdue=30, level=2
            ),
            ev.DunnedInvoice(
                invoice_id="I-2", open_amount=2_100, due_on=18_990, days_overdue=10, level=1
            ),
        ],
        "principal": 12_100,
        "interest": 35,
        "costs": 4_000,
        "currency": "EUR",
        "legal_basis": "statutory commercial interest",
        "pay_by": 19_007,
        "attempt": 1,
    }
    return ev.DunningStep(event_id=event_id, **(said | fields))


def outcome(event_id: str = "u-1", **fields: Any) -> ev.DunningStepSettled:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY + 5,
        "customer_id": "C-1",
        "step_id": "C-1/2022-01-08/1",
        "level": 2,
        "outcome": "sent",
        "channel": "email",
        "attempt": 1,
        "on": 19_000,
    }
    return ev.DunningStepSettled(event_id=event_id, **(said | fields))


def handover_changed(event_id: str = "h-1", **fields: Any) -> ev.HandoverChanged:
    said: dict[str, Any] = {
        "occurred_at": 19_010 * DAY,
        "customer_id": "C-1",
        "step_id": "C-1/2022-01-08/1",
        "channel": "agency",
        "kind": "amounts",
        "currency": "EUR",
        "invoices": [ev.HandedInvoice(invoice_id="I-1", open_before=10_000, open_after=4_000)],
        "on": 19_010,
        "cause_event_id": "e-9",
    }
    return ev.HandoverChanged(event_id=event_id, **(said | fields))


def letter(event_id: str = "l-1", **fields: Any) -> ev.LetterWritten:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "step_id": "C-1/2022-01-08/1",
        "attempt": 1,
        "channel": "email",
        "to": "ap@bakker.example",
        "language": "nl",
        "subject": "Herinnering",
        "text": "Geachte heer, mevrouw",
        "html": "<p>Geachte heer, mevrouw</p>",
    }
    return ev.LetterWritten(event_id=event_id, **(said | fields))


def exposure(event_id: str = "x-1", **fields: Any) -> ev.ExposureChanged:
    said: dict[str, Any] = {
        "occurred_at": 19_000 * DAY,
        "customer_id": "C-1",
        "currency": "EUR",
        "exposure": 8_000,
        "open_receivables": 6_000,
        "delivered_not_invoiced": 0,
        "open_orders": 3_000,
        "unapplied_credit": 1_000,
        "credit_limit": None,
        "headroom": None,
        "utilisation": None,
        "overdue": 500,
        "oldest_overdue_days": 3,
        "held_orders": 2,
        "cause_event_id": "e-9",
    }
    return ev.ExposureChanged(event_id=event_id, **(said | fields))


def business_day(day: int) -> ev.BusinessDayStarted:
    return ev.BusinessDayStarted(event_id=f"day-{day}", occurred_at=day * DAY, date=day)
