"""Events as rows of the raw tables, in the columns of `agents.sink.tables`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from schemas import events
from schemas.events import Day, Event, Instant
from schemas.money import DIGITS_UNKNOWN, exponent

LAST_DAY: Day = 65_534
"""2149-06-05. ClickHouse's `Date` ends a day later, which the tables take for "never"."""
LAST_INSTANT: Instant = (LAST_DAY + 1) * 86_400_000_000 - 1

Row = tuple[Any, ...]
"""The columns of `agents.sink.tables`, in that order."""


class Record(Protocol):
    """What the plan needs of a record; `streams.fast_lane.fetch.Record` has it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970, as the broker or the sender stamped it."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def _decision(record: Record, event: events.OrderDecision) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.order_id,
        event.decision,
        event.decision_number,
        event.reasons,
        event.amount,
        event.currency,
        _exponent(event.currency),
        event.exposure_before,
        event.exposure_after,
        event.credit_limit,
        event.headroom,
        event.account_currency,
        _exponent(event.account_currency),
        event.utilisation,
        event.cause_event_id,
        event.policy_version,
        event.by,
        event.fx_rate,
    )


def _alert(record: Record, event: events.CreditLimitAlert) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.threshold,
        event.direction,
        event.exposure,
        event.credit_limit,
        event.currency,
        _exponent(event.currency),
        event.utilisation,
        event.cause_event_id,
    )


def _exposure(record: Record, event: events.ExposureChanged) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.currency,
        _exponent(event.currency),
        event.exposure,
        event.open_receivables,
        event.delivered_not_invoiced,
        event.open_orders,
        event.unapplied_credit,
        event.credit_limit,
        event.headroom,
        event.utilisation,
        event.overdue,
        event.oldest_overdue_days,
        event.held_orders,
        event.cause_event_id,
    )


def _signal(record: Record, event: events.RiskSignal) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.kind,
        event.severity,
        event.detail,
        None if event.expected_on is None else _day(event.expected_on),
        event.promise_id or "",
        event.cause_event_id or "",
    )


def _dunning_step(record: Record, event: events.DunningStep) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.step_id,
        event.attempt or 1,
        event.level,
        event.procedure,
        event.channel,
        event.template,
        event.language,
        bool(event.proposed),
        event.principal,
        event.interest,
        event.costs,
        event.currency,
        _exponent(event.currency),
        event.legal_basis,
        _day(event.pay_by),
        [one.invoice_id for one in event.invoices],
        [one.level or event.level for one in event.invoices],
        [one.open_amount for one in event.invoices],
    )


def _dunning_outcome(record: Record, event: events.DunningStepSettled) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.step_id,
        event.attempt,
        event.level,
        event.outcome,
        event.channel,
        _day(event.on),
        event.detail,
        event.by,
    )


def _handover_changed(record: Record, event: events.HandoverChanged) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.step_id,
        event.channel,
        event.kind,
        event.currency,
        _exponent(event.currency),
        [one.invoice_id for one in event.invoices],
        [one.open_before for one in event.invoices],
        [one.open_after for one in event.invoices],
        _day(event.on),
        event.by,
        event.reason,
        event.cause_event_id or "",
    )


def _letter(record: Record, event: events.LetterWritten) -> Row:
    return (
        record.offset,
        record.timestamp,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.step_id,
        event.attempt,
        event.channel,
        event.to,
        event.language,
        event.subject,
        event.text,
        event.html,
    )


def _business_day(record: Record, event: events.BusinessDayStarted) -> Row:
    return (record.offset, record.timestamp, event.event_id, _day(event.date))


def _customer_record(record: Record, event: events.CustomerUpserted) -> Row:
    return (
        record.offset,
        record.timestamp,
        account_of(record),
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.group_id or "",
        event.segment or "",
    )


def _invoice_event(
    record: Record,
    event: Any,
    *,
    invoice_id: str,
    credit_note_id: str = "",
    dispute_id: str = "",
    amount: int | None = None,
    currency: str = "",
    reason: str = "",
    outcome: str = "",
) -> Row:
    """Of an invoice that exists, or should."""
    return (
        record.offset,
        record.timestamp,
        account_of(record),
        type(event).__name__,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        invoice_id,
        credit_note_id,
        dispute_id,
        "",
        amount,
        currency,
        _exponent(currency),
        None,
        None,
        False,
        0,
        reason,
        outcome,
    )


def _invoice_issued(record: Record, event: events.InvoiceIssued) -> Row:
    # Written out, as the payment below: with arguments by name it would take twice as long, and
    # these two are most of the journal.
    return (
        record.offset,
        record.timestamp,
        account_of(record),
        "InvoiceIssued",
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.invoice_id,
        "",
        "",
        event.order_id or "",
        event.amount,
        event.currency,
        _exponent(event.currency),
        _day(event.issued_on),
        _day(event.due_on),
        event.final_for_order is True,
        event.revision or 0,
        "",
        "",
    )


def _credit_note_issued(record: Record, event: events.CreditNoteIssued) -> Row:
    return _invoice_event(
        record,
        event,
        invoice_id=event.invoice_id or "",
        credit_note_id=event.credit_note_id,
        amount=event.amount,
        currency=event.currency,
    )


def _invoice_closed(
    record: Record, event: events.InvoiceCancelled | events.InvoiceWrittenOff
) -> Row:
    return _invoice_event(record, event, invoice_id=event.invoice_id)


def _invoice_disputed(record: Record, event: events.InvoiceDisputed) -> Row:
    return _invoice_event(
        record,
        event,
        invoice_id=event.invoice_id,
        dispute_id=event.dispute_id,
        amount=event.amount,
        reason=event.reason,
    )


def _dispute_resolved(record: Record, event: events.DisputeResolved) -> Row:
    return _invoice_event(
        record,
        event,
        invoice_id=event.invoice_id,
        dispute_id=event.dispute_id,
        amount=event.credited_amount,
        outcome=event.outcome,
    )


def _payment_event(
    record: Record,
    event: Any,
    *,
    invoice_id: str | None = None,
    amount: int | None = None,
    reason: str = "",
) -> Row:
    """Of a payment that exists, or should."""
    return (
        record.offset,
        record.timestamp,
        account_of(record),
        type(event).__name__,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.payment_id,
        invoice_id or "",
        amount,
        "",
        DIGITS_UNKNOWN,
        None,
        False,
        [],
        [],
        reason,
    )


def _payment_received(record: Record, event: events.PaymentReceived) -> Row:
    allocations = event.allocations
    return (
        record.offset,
        record.timestamp,
        account_of(record),
        "PaymentReceived",
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        event.payment_id,
        "",
        event.amount,
        event.currency,
        _exponent(event.currency),
        _day(event.value_on),
        event.cleared is not False,
        [part.invoice_id for part in allocations],
        [part.amount for part in allocations],
        "",
    )


def _payment_cleared(record: Record, event: events.PaymentCleared) -> Row:
    return _payment_event(record, event)


def _payment_allocated(record: Record, event: events.PaymentAllocated) -> Row:
    return _payment_event(record, event, invoice_id=event.invoice_id, amount=event.amount)


def _payment_reversed(record: Record, event: events.PaymentReversed) -> Row:
    return _payment_event(record, event, reason=event.reason)


def _payment_failed(record: Record, event: events.PaymentFailed) -> Row:
    return _payment_event(record, event, invoice_id=event.invoice_id, reason=event.reason)


def _promise_event(
    record: Record,
    event: Any,
    *,
    promise_id: str,
    invoice_ids: Sequence[str] = (),
    instalments: Sequence[events.Instalment] = (),
) -> Row:
    return (
        record.offset,
        record.timestamp,
        account_of(record),
        type(event).__name__,
        event.event_id,
        within_range(event.occurred_at),
        event.customer_id,
        promise_id,
        invoice_ids,
        [_day(one.due_on) for one in instalments],
        [one.amount for one in instalments],
    )


def _promise_made(record: Record, event: events.PromiseToPayMade) -> Row:
    return _promise_event(
        record,
        event,
        promise_id=event.promise_id,
        invoice_ids=event.invoice_ids,
        instalments=[events.Instalment(due_on=event.promised_on, amount=event.amount)],
    )


def _plan_agreed(record: Record, event: events.PaymentPlanAgreed) -> Row:
    return _promise_event(
        record,
        event,
        promise_id=event.plan_id,
        invoice_ids=event.invoice_ids,
        instalments=event.instalments,
    )


def _plan_cancelled(record: Record, event: events.PaymentPlanCancelled) -> Row:
    return _promise_event(record, event, promise_id=event.plan_id)


_Rows = dict[type[Event], tuple[str, Callable[[Record, Any], Row]]]

PUBLISHED: _Rows = {
    events.OrderDecision: ("order_decisions_raw", _decision),
    events.CreditLimitAlert: ("limit_alerts_raw", _alert),
    events.ExposureChanged: ("exposures_raw", _exposure),
    events.RiskSignal: ("risk_signals_raw", _signal),
    events.DunningStep: ("dunning_steps_raw", _dunning_step),
    events.DunningStepSettled: ("dunning_outcomes_raw", _dunning_outcome),
    events.HandoverChanged: ("handover_changes_raw", _handover_changed),
    events.LetterWritten: ("letters_raw", _letter),
}
"""Events with a table of their own. All others are rows of the journal."""

FURTHER: _Rows = {
    events.BusinessDayStarted: ("business_days_raw", _business_day),
    events.CustomerUpserted: ("customer_records_raw", _customer_record),
    events.InvoiceIssued: ("invoice_events_raw", _invoice_issued),
    events.CreditNoteIssued: ("invoice_events_raw", _credit_note_issued),
    events.InvoiceCancelled: ("invoice_events_raw", _invoice_closed),
    events.InvoiceWrittenOff: ("invoice_events_raw", _invoice_closed),
    events.InvoiceDisputed: ("invoice_events_raw", _invoice_disputed),
    events.DisputeResolved: ("invoice_events_raw", _dispute_resolved),
    events.PaymentReceived: ("payment_events_raw", _payment_received),
    events.PaymentCleared: ("payment_events_raw", _payment_cleared),
    events.PaymentAllocated: ("payment_events_raw", _payment_allocated),
    events.PaymentReversed: ("payment_events_raw", _payment_reversed),
    events.PaymentFailed: ("payment_events_raw", _payment_failed),
    events.PromiseToPayMade: ("promise_events_raw", _promise_made),
    events.PaymentPlanAgreed: ("promise_events_raw", _plan_agreed),
    events.PaymentPlanCancelled: ("promise_events_raw", _plan_cancelled),
}
"""Events of the journal that are also rows of a second table."""


# ── cells ───────────────────────────────────────────────────────────────────────────────────────


def _exponent(currency: str) -> int:
    """The currency's digits; two where nobody named one. Raises `UnknownCurrencyError`."""
    return exponent(currency) if currency else DIGITS_UNKNOWN


def _day(day: Day) -> Day:
    return day if 0 <= day <= LAST_DAY else min(max(day, 0), LAST_DAY)


def within_range(instant: Instant) -> Instant:
    return instant if 0 <= instant <= LAST_INSTANT else min(max(instant, 0), LAST_INSTANT)


def account_of(record: Record) -> str:
    return text_of(record.key)


def text_of(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")


def number_of(raw: bytes | None) -> int:
    """A header's number; -1 where it is missing or is none."""
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < len(str(2**63)) else -1
