"""The order check: may this order ship on credit, and if not, why not.

Laws that the tests hold it to: an approval reserves before anything else is looked at, so no two
approvals share the same headroom; a held order reserves nothing; every reason that applies is
given, in the order of `reasons.PRECEDENCE`; a held order is looked at again whenever something can
have helped, oldest first.
"""

from __future__ import annotations

from agents.core.policy import in_minor
from agents.credit import reasons, state
from agents.credit.case import Case, utilisation_text
from agents.credit.positions import order_rest, order_total
from schemas.events import Minor, OrderDecision

_NONE_FITS: Minor = 2**62
"""Lower bound of what held orders ask for when only people can release them."""


def decide_placed(case: Case, order_id: str, order: state.Order) -> None:
    """Answer an order that has just become known."""
    case.rebook_order(order_id, order)
    if order.cancelled_all or (order.cancels and order_total(order) == 0):
        _conclude(case, order_id, order, "cancelled", [])
        return
    held_for = hold_reasons(case, order, order_rest(order))
    if not held_for:
        _conclude(case, order_id, order, "approved", [])
    elif order.override_by is not None:
        _conclude(case, order_id, order, "released", [], by=order.override_by)
    else:
        _conclude(case, order_id, order, "held", held_for)


def decide_total_changed(case: Case, order_id: str, order: state.Order) -> None:
    """Check what an approved order grew by; a held one waits for the re-check that always follows.

    An order whose parts were all cancelled lives again when a later total says so.
    """
    if order.status == "cancelled" and not order.cancelled_all and order_total(order) > 0:
        decide_placed(case, order_id, order)
        return
    if order.status not in ("approved", "released"):
        decide_parts_changed(case, order_id, order)
        return
    increase = order_rest(order) - order.booked_open
    if increase <= 0:
        case.rebook_order(order_id, order)
        return
    held_for = hold_reasons(case, order, increase)
    _conclude(case, order_id, order, "held" if held_for else "approved", held_for)


def decide_parts_changed(case: Case, order_id: str, order: state.Order) -> None:
    """Follow a delivery, an invoice or a cancelled part: these ask for no new credit."""
    if order.status == "held":
        _refresh_held(case, order_id, order)
        return
    case.rebook_order(order_id, order)


def cancel(case: Case, order_id: str, order: state.Order) -> None:
    """End the reservation or the hold."""
    if order.known and order.status != "cancelled":
        _conclude(case, order_id, order, "cancelled", [])
    else:
        case.rebook_order(order_id, order)


def hold_by_person(case: Case, order_id: str, order: state.Order) -> None:
    """Put an approved order on hold; one that is held already keeps its decision and gains the
    reason.
    """
    if order.status in ("approved", "released"):
        held_for = hold_reasons(case, order, order.booked_open, freed=order.booked_open)
        _conclude(case, order_id, order, "held", held_for, by=order.manual_hold_by)
    else:
        case.ledger.put(state.order_key(case.account_id, order_id), order)


def release_by_person(case: Case, order_id: str, order: state.Order) -> None:
    """Release a held order against all reasons; it counts in the exposure, beyond the limit if need
    be.
    """
    if order.status == "held":
        _conclude(case, order_id, order, "released", [], by=order.override_by)
    else:
        case.ledger.put(state.order_key(case.account_id, order_id), order)


def recheck_held_orders(case: Case) -> None:
    """Release, oldest first, every held order that now passes; what does not fit is passed over."""
    account = case.account
    if not account.held_orders or standing_reasons(case):
        return
    limit = case.limit()
    if limit is not None and account.smallest_held > max(limit - case.exposure(), 0):
        return
    smallest = _NONE_FITS
    start, end = state.held_range(case.account_id)
    for key, _ in list(case.ledger.scan(start, end)):
        order_id = state.last_part(key)
        order: state.Order = case.ledger.get(state.order_key(case.account_id, order_id))
        rest = order_rest(order)
        if not hold_reasons(case, order, rest):
            _conclude(case, order_id, order, "released", [])
        elif order.manual_hold_by is None:
            smallest = min(smallest, rest)
    account.smallest_held = smallest


def hold_reasons(case: Case, order: state.Order, asked: Minor, freed: Minor = 0) -> list[str]:
    """Every reason against granting `asked`, minor units of the order's currency.

    `freed` is what the order reserves now and would give back first.
    """
    found = standing_reasons(case)
    if order.currency == case.account.currency:
        limit = case.limit()
        if limit is not None and asked > 0 and asked > limit - case.exposure() + freed:
            found.append(reasons.CREDIT_LIMIT_EXCEEDED)
    elif case.account.known and reasons.FX_RATE_MISSING not in found:
        found.append(reasons.FX_RATE_MISSING)
    if order.manual_hold_by is not None:
        found.append(reasons.MANUAL_HOLD)
    if len(found) > 1:
        found.sort(key=reasons.PRECEDENCE.index)
    return found


def standing_reasons(case: Case) -> list[str]:
    """The reasons that lie in the account and its day, whatever the order."""
    account = case.account
    if not account.known:
        return [reasons.CUSTOMER_UNKNOWN]
    found: list[str] = []
    if account.blocked:
        found.append(reasons.CUSTOMER_BLOCKED)
    if not account.unlimited:
        if case.limit() is None:
            found.append(reasons.LIMIT_MISSING)
        elif case.limit_expired():
            found.append(reasons.LIMIT_EXPIRED)
    if is_overdue(case):
        found.append(reasons.OVERDUE)
    if case.has_unvalued_currency():
        found.append(reasons.FX_RATE_MISSING)
    return found


def is_overdue(case: Case) -> bool:
    """Whether an uncontested invoice is too late and late invoices reach the policy's amount."""
    account = case.account
    oldest = account.oldest_due
    if oldest is None or case.today - oldest <= case.policy.max_overdue_days:
        return False
    late = account.books.get(account.currency)
    minimum = in_minor(case.policy.min_overdue_amount, account.currency)
    # An invoice in another currency has no value here; one that is late counts as reaching the
    # amount.
    return (0 if late is None else late.overdue) >= minimum or case.has_unvalued_currency()


def _refresh_held(case: Case, order_id: str, order: state.Order) -> None:
    case.rebook_order(order_id, order)
    case.account.smallest_held = min(case.account.smallest_held, order_rest(order))


def _conclude(
    case: Case,
    order_id: str,
    order: state.Order,
    decision: str,
    held_for: list[str],
    by: str | None = None,
) -> None:
    """Give the order its new status, book it, and say so."""
    account = case.account
    before = case.exposure()
    was_held = order.status == "held"
    order.status = decision
    order.decision_number += 1
    case.rebook_order(order_id, order)
    if decision == "held":
        rest = order_rest(order)
        account.smallest_held = (
            rest if not account.held_orders else min(account.smallest_held, rest)
        )
        account.held_orders += 1
        case.ledger.put(state.held_key(case.account_id, order.placed_at, order_id), True)
    elif was_held:
        account.held_orders -= 1
        case.ledger.delete(state.held_key(case.account_id, order.placed_at, order_id))
    exposure = case.exposure()
    limit = case.limit()
    case.effects.append(
        OrderDecision(
            event_id=case.next_id(),
            occurred_at=case.at,
            customer_id=case.account_id,
            order_id=order_id,
            decision=decision,
            reasons=held_for,
            amount=order_total(order),
            currency=order.currency,
            exposure_before=before,
            exposure_after=exposure,
            credit_limit=limit,
            headroom=None if limit is None else limit - exposure,
            utilisation=utilisation_text(exposure, limit),
            decision_number=order.decision_number,
            cause_event_id=case.cause,
            policy_version=case.policy.version,
            account_currency=account.currency or order.currency,
            by=by,
        )
    )
