"""Promises to pay and payment plans. While one is kept, nothing is sent about its invoices.

A promise is a plan of one instalment. It is kept as long as what was due by it, and a procedure's
days of tolerance later, was paid; credit notes count, they lower the debt as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agents.core.policy import in_minor
from agents.credit import state
from agents.credit.case import Case, outgoing_id
from agents.credit.positions import invoice_position
from agents.dunning import records
from agents.dunning.agenda import look_on
from agents.dunning.records import Instalment, Promise
from agents.dunning.terms import debtor_of, followed_of, put_followed, terms_of
from schemas.dates import format_day
from schemas.events import (
    Day,
    Minor,
    PaymentPlanAgreed,
    PaymentPlanCancelled,
    PromiseToPayMade,
    RiskSignal,
)

_SEVERITY = {"kept": "info", "partly": "warning", "broken": "warning"}
_KIND = {"kept": "promise_kept", "partly": "promise_partly_kept", "broken": "promise_broken"}


def promise_made(case: Case, event: PromiseToPayMade) -> None:
    dues = [Instalment(event.promised_on, event.amount)]
    _begin(case, "promise_id", event.promise_id, event.invoice_ids, dues, plan=False)


def plan_agreed(case: Case, event: PaymentPlanAgreed) -> None:
    dues = sorted(
        (Instalment(one.due_on, one.amount) for one in event.instalments),
        key=lambda one: one.on,
    )
    _begin(case, "plan_id", event.plan_id, event.invoice_ids, dues, plan=True)


def plan_cancelled(case: Case, event: PaymentPlanCancelled) -> None:
    """It no longer holds; also when it is said before the plan itself comes."""
    promise: Promise | None = case.ledger.get(records.promise_key(case.account_id, event.plan_id))
    if promise is None:
        promise = Promise([], [], 0, plan=True)
    elif promise.outcome:
        return
    else:
        _release(case, event.plan_id, promise, case.today + 1)
    promise.outcome = "cancelled"
    case.ledger.put(records.promise_key(case.account_id, event.plan_id), promise)


def follow_day(case: Case) -> None:
    """Find out on a new day which promises of the account are kept, and which are broken."""
    if not case.account.promises:
        return
    for key, promise in list(case.ledger.scan(*records.promise_range(case.account_id))):
        if not promise.outcome:
            _follow(case, state.last_part(key)[1:], promise)


def to_come(case: Case) -> Iterator[tuple[Day, Minor, str]]:
    """What running promises and plans say will still be paid, as (day, amount, currency), by the
    invoices that it is for. What two of them promise is expected once.
    """
    left: dict[str, Minor] = {}
    for _, promise in case.ledger.scan(*records.promise_range(case.account_id)):
        if promise.outcome:
            continue
        for invoice_id in promise.invoice_ids:
            left.setdefault(invoice_id, open_of(case, invoice_id))
        paid = promise.owed - sum(open_of(case, one) for one in promise.invoice_ids)
        for due in promise.dues:
            rest = max(due.amount - max(paid, 0), 0)
            paid -= due.amount
            for invoice_id in promise.invoice_ids:
                part = min(rest, left[invoice_id])
                if part:
                    rest -= part
                    left[invoice_id] -= part
                    yield due.on, part, _currency(case, invoice_id)


def _begin(
    case: Case,
    field: str,
    promise_id: str,
    invoice_ids: list[str],
    dues: list[Instalment],
    *,
    plan: bool,
) -> None:
    key = records.promise_key(case.account_id, promise_id)
    known: Promise | None = case.ledger.get(key)
    if known is not None:
        if known.dues and (known.invoice_ids, known.dues) != (invoice_ids, dues):
            case.refuse("document_conflict", field, f"{promise_id} is known with other content")
        return
    promise = Promise(invoice_ids, dues, sum(open_of(case, one) for one in invoice_ids), plan=plan)
    case.account.promises += 1
    for invoice_id in invoice_ids:
        followed = followed_of(case, invoice_id)
        followed.promises.append(promise_id)
        put_followed(case, invoice_id, followed)
    case.ledger.put(key, promise)
    _wake(case, promise)


def _follow(case: Case, promise_id: str, promise: Promise) -> None:
    today, tolerance = case.today, _tolerance(case)
    paid = promise.owed - sum(open_of(case, one) for one in promise.invoice_ids)
    asked = sum(one.amount for one in promise.dues if one.on + tolerance < today)
    last = max((one.on for one in promise.dues), default=today)
    if paid < asked:
        promise.outcome = "partly" if paid > 0 else "broken"
    elif paid >= sum(one.amount for one in promise.dues) or last + tolerance < today:
        promise.outcome = "kept"
    else:
        _wake(case, promise)
        return
    _release(case, promise_id, promise, today)
    case.ledger.put(records.promise_key(case.account_id, promise_id), promise)
    what = "plan" if promise.plan else "promise"
    named = ", ".join(promise.invoice_ids)
    case.effects.append(
        RiskSignal(
            event_id=outgoing_id(case.account_id, 0, promise_id, promise.outcome),
            occurred_at=case.at,
            customer_id=case.account_id,
            kind=_KIND[promise.outcome],
            severity=_SEVERITY[promise.outcome],
            detail=f"{what} {promise_id} for {named} until {format_day(last)}: {promise.outcome}",
            cause_event_id=case.cause,
            promise_id=promise_id,
        )
    )


def _release(case: Case, promise_id: str, promise: Promise, look: Day) -> None:
    """Its invoices are no longer under it."""
    case.account.promises -= 1
    for invoice_id in promise.invoice_ids:
        followed = followed_of(case, invoice_id)
        if promise_id in followed.promises:
            followed.promises.remove(promise_id)
            put_followed(case, invoice_id, followed)
    look_on(case, look)


def _wake(case: Case, promise: Promise) -> None:
    """Look again on the day behind the next instalment and its tolerance."""
    tolerance = _tolerance(case)
    for one in promise.dues:
        if one.on + tolerance >= case.today:
            case.wake_on(one.on + tolerance + 1)
            return
    case.wake_on(case.today + 1)


def wake_for_all(case: Case, promises: Iterable[Promise]) -> None:
    """The same for promises that came here with an account."""
    for promise in promises:
        if not promise.outcome:
            _wake(case, promise)


def _tolerance(case: Case) -> int:
    terms = terms_of(case, debtor_of(case))
    return 0 if terms is None else terms.procedure.plan_tolerance_days


def _currency(case: Case, invoice_id: str) -> str:
    invoice: state.Invoice = case.ledger.get(state.invoice_key(case.account_id, invoice_id))
    return invoice.currency


def open_of(case: Case, invoice_id: str) -> Minor:
    """What is left unpaid of an invoice, disputed or not; 0 for one that is not known."""
    invoice: state.Invoice | None = case.ledger.get(state.invoice_key(case.account_id, invoice_id))
    if invoice is None or not invoice.known:
        return 0
    small_balance = in_minor(case.policy.small_balance, invoice.currency)
    return invoice_position(invoice, small_balance).open
