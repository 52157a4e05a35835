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

import msgspec

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import (
    customers,
    day_run,
    feeds,
    invoices,
    merging,
    orders,
    parking,
    payments,
    seats,
    state,
    valuation,
)
from agents.credit.account_day import AccountDay
from agents.credit.case import Case, outgoing_id
from agents.credit.effects import Effect, Sent
from agents.credit.holdings import Holdings, utilisation_text
from agents.credit.looks import look_at, look_at_valued
from agents.credit.settlement import settle
from agents.credit.today import day_of, today_of
from agents.dunning import following, outcomes, promises, second_chance
from agents.dunning.handovers import follow_handed
from agents.dunning.messages import review
from schemas import events
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    AccountMoved,
    AccountRecalled,
    BusinessDayContinued,
    BusinessDayStarted,
    CreditGroupUpserted,
    CustomersMerged,
    CustomerUpserted,
    Day,
    Event,
    ExposureChanged,
    FeedAdvanced,
    FxRatePublished,
    GroupExposureChanged,
    ParkedAccountRetried,
    ParkedEventDiscarded,
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
    events.PaymentFailed: second_chance.payment_failed,
    events.PromiseToPayMade: promises.promise_made,
    events.PaymentPlanAgreed: promises.plan_agreed,
    events.PaymentPlanCancelled: promises.plan_cancelled,
    events.DunningPaused: following.dunning_paused,
    events.DunningResumed: following.dunning_resumed,
    events.DunningStepReported: outcomes.step_reported,
    events.DunningStepDecided: outcomes.step_decided,
}
"""Events of the journal that are not here concern other rooms."""

_FOLLOWED_BY: dict[type[Event], Callable[[Case, Any], None]] = {
    events.CustomerUpserted: following.customer_upserted,
    events.PaymentReceived: following.payment_moved,
    events.PaymentCleared: following.payment_moved,
    events.PaymentAllocated: following.payment_moved,
    events.PaymentReversed: following.payment_moved,
}
"""What events mean for the dunning of an account, once its books have them."""

_MOVES = (CustomersMerged, AccountMoved, AccountRecalled)
"""With these an account goes somewhere else, or another one goes into it."""


_DIRECT = Sent()


def reduce(
    ledger: Ledger, event: Event, policies: PolicyBook, sent: Sent = _DIRECT
) -> list[Effect]:
    """Fold one event of the journal into the partition's ledger and say what follows from it, in
    order.

    `sent` tells how the event was forwarded here, if it was.

    Raises:
        AccountFailedError: the event cannot be applied to an account, for a reason that no rule
            foresees; the ledger is not to be used as it is now.
    """
    kind = type(event)
    handler = _HANDLERS.get(kind)
    effects: list[Effect] = []
    # What is said before the event is none of its own effects, and moves none of their ids.
    before: list[Effect] = []
    if handler is not None:
        account_id: str = event.customer_id  # type: ignore[attr-defined]  # every handled event has one
        account: state.Account | None = ledger.get(state.account_key(account_id))
        day_run.catch_up(ledger, account_id, policies, before)
        if account is not None and account.parked and account.group_id == sent.group_id:
            parking.keep(ledger, account_id, account, event, sent)
        elif not _is_elsewhere(ledger, event, sent, account, effects):
            _apply(ledger, account_id, handler, event, policies, sent, effects)
    elif not isinstance(event, _MOVES) or not _is_kept(ledger, event, sent):
        if isinstance(event, _MOVES):
            for account_id in dict.fromkeys((seats.customer_of(event), event.customer_id)):
                day_run.catch_up(ledger, account_id, policies, before)
        _reduce_other(ledger, event, policies, sent, effects)
    return before + effects if before else effects


def _apply(
    ledger: Ledger,
    account_id: str,
    handler: Callable[[Case, Any], None],
    event: Event,
    policies: PolicyBook,
    sent: Sent,
    effects: list[Effect],
) -> None:
    """Have an account follow an event of its own."""
    try:
        if sent.aliases:
            event = merging.renamed(ledger, account_id, event, sent.aliases)
        case = Case(ledger, policies, account_id, event, day_of(ledger, account_id, event), effects)
        case.begin()
        case.age()
        handler(case, event)
        followed_by = _FOLLOWED_BY.get(type(event))
        if followed_by is not None:
            followed_by(case, event)
        if case.account.messages:
            review(case, case.at)
        if case.account.handed:
            follow_handed(case)
        settle(case)
    except Exception as error:
        raise parking.AccountFailedError(account_id, event, error) from error


def _is_kept(ledger: Ledger, event: Event, sent: Sent) -> bool:
    """Whether an account is to go to, or to come from, one that is parked here; then the event
    waits with that one.
    """
    names = [seats.customer_of(event)]
    if isinstance(event, CustomersMerged) and sent.group_id:
        names.append(event.customer_id)  # within a group the accounts are merged at once
    for account_id in names:
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is not None and account.parked and account.group_id == sent.group_id:
            parking.keep(ledger, account_id, account, event, sent)
            return True
    return False


def _reduce_other(
    ledger: Ledger, event: Event, policies: PolicyBook, sent: Sent, effects: list[Effect]
) -> None:
    """Events of the whole partition, of groups, and of where accounts are kept."""
    account: state.Account | None
    today = today_of(ledger, event)
    match event:
        case BusinessDayStarted():
            day_run.start(ledger, event, policies, effects)
        case FxRatePublished():
            if valuation.publish(ledger, event, today):
                look_at_valued(ledger, [(event.base, event.quote)], {}, event, policies, effects)
        case BusinessDayContinued():
            day_run.go_on(ledger, event, policies, effects)
        case FeedAdvanced():
            feeds.advance(ledger, event)
        case CreditGroupUpserted():
            customers.group_upserted(ledger, policies, event, today, effects)
        case CustomersMerged():
            if sent.group_id:
                seats.hand_back(ledger, policies, event, sent, today, effects)
            else:
                seats.merge(ledger, event, sent, effects)
        case AccountMoved(into_customer_id=str(survivor)):
            account = ledger.get(state.account_key(survivor))
            if not _is_elsewhere(ledger, event, sent, account, effects):
                _apply(ledger, survivor, merging.absorb, event, policies, _DIRECT, effects)
        case AccountMoved():
            for waited, how in seats.take_in(ledger, policies, event, sent, today, effects):
                effects += _late(waited, reduce(ledger, waited, policies, how))
        case AccountRecalled():
            seats.hand_back(ledger, policies, event, sent, today, effects)
        case ParkedAccountRetried():
            account = ledger.get(state.account_key(event.customer_id))
            if not _is_elsewhere(ledger, event, sent, account, effects):
                _go_on(ledger, event, policies, account, effects)
        case ParkedEventDiscarded():
            account = ledger.get(state.account_key(event.customer_id))
            if not _is_elsewhere(ledger, event, sent, account, effects):
                _discard(ledger, event, effects)


def _go_on(
    ledger: Ledger,
    event: ParkedAccountRetried,
    policies: PolicyBook,
    account: state.Account | None,
    effects: list[Effect],
) -> None:
    """Apply what has waited with a parked account, in its order, then what days and rates have
    brought since. Nothing happens to an account that is not parked.
    """
    if account is None or not account.parked:
        return
    customer_id = event.customer_id
    for _, waited, how in parking.let_go_on(ledger, customer_id, account):
        effects += _late(waited, reduce(ledger, waited, policies, how))
    look_at(ledger, customer_id, event, policies, effects, rebuild_agenda=True)


def _discard(ledger: Ledger, event: ParkedEventDiscarded, effects: list[Effect]) -> None:
    """Refuse one of the events that wait with a parked account, with who and why."""
    for key, waited, _ in parking.kept(ledger, event.customer_id):
        if waited.event_id == event.parked_event_id:
            ledger.delete(key)
            detail = f"{type(waited).__name__} discarded by {event.by}: {event.reason}"
            effects.append(Refusal("discarded", "event_id", detail, waited))
            return


def _is_elsewhere(
    ledger: Ledger,
    event: Event,
    sent: Sent,
    account: state.Account | None,
    effects: list[Effect],
) -> bool:
    """Whether the account that the event concerns is not kept here; then the event is sent on."""
    if sent.group_id:
        if account is not None and account.group_id == sent.group_id:
            return False
        seats.refuse_stray(event, sent.group_id, effects)
        return True
    joins = isinstance(event, CustomerUpserted) and event.group_id
    if account is not None and not account.group_id and not joins:
        return False
    return seats.redirect(ledger, event, sent, account, effects)


def _late(event: Event, effects: list[Effect]) -> list[Effect]:
    """What follows from an event that had to wait: a refusal has to say which event it means."""
    return [
        msgspec.structs.replace(effect, event=event) if isinstance(effect, Refusal) else effect
        for effect in effects
    ]


def figures(ledger: Ledger, account_id: str, policies: PolicyBook) -> ExposureChanged:
    """The account's figures now, as they are published; nothing of a customer who was merged into
    another. Raises `KeyError` for an account that is not kept here.
    """
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None:
        return _figures_of_merged(ledger, account_id)
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
        group_id=account.group_id or None,
    )


def has_figures(ledger: Ledger, account_id: str) -> bool:
    """Whether the partition speaks for the account: it is here, or was merged into another."""
    if ledger.get(state.account_key(account_id)) is not None:
        return True
    seat: state.Seat | None = ledger.get(state.seat_key(account_id))
    return seat is not None and bool(seat.merged_into and seat.currency)


def _figures_of_merged(ledger: Ledger, account_id: str) -> ExposureChanged:
    seat: state.Seat | None = ledger.get(state.seat_key(account_id))
    if seat is None or not seat.merged_into:
        raise KeyError(account_id)
    return ExposureChanged(
        event_id=outgoing_id(account_id, 0, seat.cause_event_id, "exposure"),
        occurred_at=seat.changed_at,
        customer_id=account_id,
        currency=seat.currency,
        exposure=0,
        open_receivables=0,
        delivered_not_invoiced=0,
        open_orders=0,
        unapplied_credit=0,
        credit_limit=None,
        headroom=None,
        utilisation=None,
        overdue=0,
        oldest_overdue_days=0,
        held_orders=0,
        cause_event_id=seat.cause_event_id,
    )


def group_figures(ledger: Ledger, group_id: str, policies: PolicyBook) -> GroupExposureChanged:
    """The group's figures now, as they are published. Raises `KeyError` for a group never
    touched.
    """
    group: state.Group | None = ledger.get(state.group_key(group_id))
    if group is None:
        raise KeyError(group_id)
    today: Day | None = ledger.get(state.BUSINESS_DAY)
    if today is None:
        today = group.changed_at // MICROSECONDS_PER_DAY
    shown = Holdings(ledger, group, policies.at(today).base, today)
    book = shown.valued_book()
    exposure = book.exposure()
    limit = group.limit
    return GroupExposureChanged(
        event_id=outgoing_id("\0" + group_id, group.sequence, group.cause_event_id, "exposure"),
        occurred_at=group.changed_at,
        group_id=group_id,
        currency=group.currency,
        exposure=exposure,
        open_receivables=book.receivables,
        delivered_not_invoiced=book.delivered,
        open_orders=book.orders,
        unapplied_credit=book.unapplied,
        credit_limit=limit,
        headroom=None if limit is None else limit - exposure,
        utilisation=utilisation_text(shown.exact_exposure(), limit),
        members=group.members,
        held_orders=group.held_orders,
        cause_event_id=group.cause_event_id,
    )
