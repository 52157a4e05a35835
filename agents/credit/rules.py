"""The credit room: exposure, order decisions and limit alerts, one event at a time.

Laws, each held by a property test:

* the account's totals are the sum of what its documents stand for, after every event;
* no set of approved orders takes the exposure over the limit, but by a person's release;
* the same event twice changes nothing the second time;
* the exposure at the end does not depend on the order in which documents arrived;
* taking a payment back restores what was before it.

This file knows no Kafka, no clock and no store; a day comes as `BusinessDayStarted`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import customers, feeds, invoices, orders, payments, state, valuation
from agents.credit.account_day import AccountDay, utilisation_text
from agents.credit.alerts import raise_and_clear_alerts
from agents.credit.case import Case, outgoing_id
from agents.credit.effects import Effect
from agents.credit.order_decisions import look_again, recheck_held_orders
from schemas import events
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    BusinessDayStarted,
    Day,
    Event,
    ExposureChanged,
    FeedAdvanced,
    FxRatePublished,
)

_HANDLERS: dict[type[Event], Callable[[Case, Any], None]] = {
    events.CustomerUpserted: customers.customer_upserted,
    events.CreditLimitChanged: customers.credit_limit_changed,
    events.CustomerBlocked: customers.customer_blocked,
    events.CustomerUnblocked: customers.customer_unblocked,
    events.OrderPlaced: orders.order_placed,
    events.OrderChanged: orders.order_changed,
    events.OrderDelivered: orders.order_delivered,
    events.OrderCancelled: orders.order_cancelled,
    events.OrderReleased: orders.order_released,
    events.OrderHeld: orders.order_held,
    events.InvoiceIssued: invoices.invoice_issued,
    events.CreditNoteIssued: invoices.credit_note_issued,
    events.InvoiceCancelled: invoices.invoice_cancelled,
    events.InvoiceWrittenOff: invoices.invoice_written_off,
    events.InvoiceDisputed: invoices.invoice_disputed,
    events.DisputeResolved: invoices.dispute_resolved,
    events.PaymentReceived: payments.payment_received,
    events.PaymentCleared: payments.payment_cleared,
    events.PaymentAllocated: payments.payment_allocated,
    events.PaymentReversed: payments.payment_reversed,
    events.DunningStep: invoices.invoices_dunned,
}
"""Events of the journal that are not here concern other rooms."""


def reduce(ledger: Ledger, event: Event, policies: PolicyBook) -> list[Effect]:
    """Fold one event of the journal into the partition's ledger and say what follows from it, in
    order.
    """
    handler = _HANDLERS.get(type(event))
    effects: list[Effect] = []
    if handler is not None:
        account_id: str = event.customer_id  # type: ignore[attr-defined]  # every handled event has one
        case = Case(ledger, policies, account_id, event, _today(ledger, event), effects)
        case.age()
        handler(case, event)
        _settle(case)
    elif isinstance(event, BusinessDayStarted):
        _start_day(ledger, event, policies, effects)
    elif isinstance(event, FxRatePublished):
        _revalue(ledger, event, policies, effects)
    elif isinstance(event, FeedAdvanced):
        feeds.advance(ledger, event)
    return effects


def figures(ledger: Ledger, account_id: str, policies: PolicyBook) -> ExposureChanged:
    """The account's figures now, as they are published. Raises `KeyError` for an account never
    touched.
    """
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None:
        raise KeyError(account_id)
    today: Day | None = ledger.get(state.BUSINESS_DAY)
    if today is None:
        today = account.aged_to or 0
    shown = AccountDay(ledger, policies, account_id, account, today)
    limit = shown.limit()
    book = shown.valued_book()
    exposure = book.exposure()
    late_days = 0 if account.oldest_due is None else max(today - account.oldest_due, 0)
    return ExposureChanged(
        event_id=outgoing_id(account_id, account.sequence, account.cause_event_id, "exposure"),
        occurred_at=account.changed_at,
        customer_id=account_id,
        currency=account.currency,
        exposure=exposure,
        open_receivables=book.receivables,
        delivered_not_invoiced=book.delivered,
        open_orders=book.orders,
        unapplied_credit=book.unapplied,
        credit_limit=limit,
        headroom=None if limit is None else limit - exposure,
        utilisation=utilisation_text(shown.exact_exposure(), limit),
        overdue=book.overdue,
        oldest_overdue_days=late_days,
        held_orders=account.held_orders,
        cause_event_id=account.cause_event_id,
    )


def _settle(case: Case) -> None:
    """What every event ends with: held orders get another chance, alerts compare, the account is
    stored.
    """
    recheck_held_orders(case)
    raise_and_clear_alerts(case)
    case.close()


def _start_day(
    ledger: Ledger, event: BusinessDayStarted, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Begin a day: age and re-check the accounts for which it changes something. An earlier day is
    ignored.
    """
    before: Day | None = ledger.get(state.BUSINESS_DAY)
    if before is not None and event.date <= before:
        return
    ledger.put(state.BUSINESS_DAY, event.date)
    due = list(ledger.scan(*state.agenda_until(event.date)))
    for key, _ in due:
        ledger.delete(key)
    woken = dict.fromkeys(state.woken_account(key) for key, _ in due)
    for account_id in woken:
        _look_at(ledger, account_id, event, policies, effects)
    if before is not None:
        base = policies.at(event.date).base
        moved = valuation.pairs_moving(ledger, base, before, event.date)
        _look_at_valued(ledger, moved, woken, event, policies, effects)
        if policies.changes_within(before, event.date):
            for account_id in state.accounts(ledger):
                _look_at(ledger, account_id, event, policies, effects)
    _forget(ledger, event.date, policies.at(event.date).base.remember_days)


def _revalue(
    ledger: Ledger, event: FxRatePublished, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Keep a rate; when it is the one in force now, value again what hangs on it."""
    if valuation.publish(ledger, event, _today(ledger, event)):
        _look_at_valued(ledger, [(event.base, event.quote)], {}, event, policies, effects)


def _look_at_valued(
    ledger: Ledger,
    pairs: list[tuple[str, str]],
    seen: dict[str, None],
    event: Event,
    policies: PolicyBook,
    effects: list[Effect],
) -> None:
    """Look at the accounts that rates of these pairs have moved, other than those seen already."""
    currencies = sorted({currency for pair in pairs for currency in pair})
    hang_on_them = dict.fromkeys(
        state.last_part(key)
        for currency in currencies
        for key, _ in ledger.scan(*state.valued_range(currency))
    )
    today = _today(ledger, event)
    for account_id in hang_on_them:
        if account_id in seen:
            continue
        account: state.Account = ledger.get(state.account_key(account_id))
        moved = AccountDay(ledger, policies, account_id, account, today).exposure() != account.shown
        if moved or account.held_orders:
            _look_at(ledger, account_id, event, policies, effects)


def _look_at(
    ledger: Ledger, account_id: str, event: Event, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Have an account follow an event that is not its own."""
    own_effects: list[Effect] = []
    case = Case(ledger, policies, account_id, event, _today(ledger, event), own_effects)
    case.age()
    for order_id in case.orders_to_look_at():
        look_again(case, order_id)
    _settle(case)
    effects.extend(own_effects)


def _forget(ledger: Ledger, today: Day, remember_days: int) -> None:
    """Drop documents that closed long enough ago; one that was opened again since stays."""
    for key, document_keys in list(ledger.scan(*state.forget_until(today))):
        ledger.delete(key)
        for document_key in document_keys:
            document = ledger.get(document_key)
            if (
                document is not None
                and document.closed_on is not None
                and document.closed_on + remember_days <= today
            ):
                ledger.delete(document_key)


def _today(ledger: Ledger, event: Event) -> Day:
    """The partition's business day; before any has started, the day on which the event happened."""
    business_day: Day | None = ledger.get(state.BUSINESS_DAY)
    return event.occurred_at // MICROSECONDS_PER_DAY if business_day is None else business_day
