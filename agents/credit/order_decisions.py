"""What becomes of an order: each function takes it from one credit status to the next, books what
follows and says so in an `OrderDecision`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

from agents.core.policy import SHARE_ONE
from agents.credit import state
from agents.credit.authority import Overreach, check_authority
from agents.credit.behaviour import note_order
from agents.credit.bookkeeping import APPROVED
from agents.credit.case import Case
from agents.credit.holdings import utilisation_text
from agents.credit.order_check import (
    Waiting,
    delivery_reasons,
    hold_reasons,
    prepays,
    standing_reasons,
)
from agents.credit.positions import order_extent, order_position, order_total
from agents.credit.valuation import Factor, shown
from schemas.events import Minor, OrderDecision, RateUsed

_NONE_FITS: Minor = 2**62
"""More than any order asks for: the least that held ones ask for when only people can release them,
and the room where there is no limit.
"""
_HELD_AT_A_TIME = 8


def decide_placed(case: Case, order_id: str, order: state.Order) -> None:
    """Answer an order that has just become known."""
    case.rebook_order(order_id, order)
    if case.policy.forecast_days:
        asked = case.exact(case.asked(order), order.currency)
        note_order(case.account, asked, case.today)
    if order.cancelled_all or (order.cancels and order_total(order) == 0):
        _conclude(case, order_id, order, "cancelled", [])
        return
    held_for = hold_reasons(case, order_id, order)
    if not held_for:
        _conclude(case, order_id, order, "approved", [])
    elif _was_released_before(case, order_id, order):
        _release(case, order_id, order)
    else:
        _conclude(case, order_id, order, "held", held_for)


def decide_total_changed(case: Case, order_id: str, order: state.Order) -> None:
    """Check what an approved order grew by; a held one waits for the re-check that always follows.

    An order whose parts were all cancelled lives again when a later total says so. One that a
    person released may grow by the policy's tolerance; beyond, the release is void.
    """
    if order.status == "cancelled" and not order.cancelled_all and order_total(order) > 0:
        decide_placed(case, order_id, order)
        return
    if order.status not in APPROVED or case.asked(order) <= order.booked_open:
        decide_parts_changed(case, order_id, order)
        return
    if is_overridden(case, order):
        _release(case, order_id, order)
        return
    order.override = None
    held_for = hold_reasons(case, order_id, order)
    _conclude(case, order_id, order, "held" if held_for else "approved", held_for)


def decide_parts_changed(case: Case, order_id: str, order: state.Order) -> None:
    """Follow an invoice or a cancelled part: these ask for no new credit."""
    case.rebook_order(order_id, order)
    if order.status == "held":
        case.account.smallest_held = min(case.account.smallest_held, _least_asked(case, order))


def decide_delivered(case: Case, order_id: str, order: state.Order) -> None:
    """Follow a delivery, and check again whether what approved the order still holds."""
    decide_parts_changed(case, order_id, order)
    if order.status in APPROVED and not is_overridden(case, order):
        held_for = delivery_reasons(case, order_id, order)
        if held_for:
            _conclude(case, order_id, order, "held", held_for)


def cancel(case: Case, order_id: str, order: state.Order) -> None:
    """End the reservation or the hold."""
    if order.known and order.status != "cancelled":
        _conclude(case, order_id, order, "cancelled", [])
    else:
        case.rebook_order(order_id, order)


def hold_by_person(case: Case, order_id: str, order: state.Order) -> None:
    """Put an approved order on hold; one that is held already keeps its decision and gains the
    reason. A hold that has run out before it came only ends what a person released before it.
    """
    held_for = hold_reasons(case, order_id, order) if order.status in APPROVED else []
    if not held_for:
        case.ledger.put(state.order_key(case.account_id, order_id), order)
    elif order.is_held_by_person(case.today):
        by, why = order.manual_hold_by, order.manual_hold_why
        _conclude(case, order_id, order, "held", held_for, by, why)
    else:
        _conclude(case, order_id, order, "held", held_for)


def release_by_person(case: Case, order_id: str, order: state.Order) -> None:
    """Release a held order against all reasons; it counts in the exposure, beyond the limit if need
    be. For one that has its credit the release means that it may grow.
    """
    if order.status == "held":
        _release(case, order_id, order)
        return
    if order.override is not None and order.known:
        order.override.total = order_extent(order)
    case.ledger.put(state.order_key(case.account_id, order_id), order)


def release_held(case: Case, order_id: str, order: state.Order) -> None:
    """Release a held order because it passes now."""
    _conclude(case, order_id, order, "released", [])


def look_again(case: Case, order_id: str) -> None:
    """Follow the day: the order comes within the shipping horizon, or what a person said of it has
    run out.
    """
    order: state.Order | None = case.ledger.get(state.order_key(case.account_id, order_id))
    if order is None:
        return
    decide_parts_changed(case, order_id, order)
    if order.override is None or case.today <= order.override.until:
        return
    order.override = None
    rest, _ = order_position(order)
    held_for = hold_reasons(case, order_id, order) if order.status == "released" and rest else []
    if held_for:
        _conclude(case, order_id, order, "held", held_for)
    else:
        case.ledger.put(state.order_key(case.account_id, order_id), order)


def is_overridden(case: Case, order: state.Order) -> bool:
    """Whether a person's release still holds good: neither run out nor outgrown."""
    override = order.override
    return (
        override is not None
        and case.today <= override.until
        and order_extent(order) * SHARE_ONE
        <= override.total * (SHARE_ONE + case.policy.recheck_tolerance)
    )


def recheck_held_orders(case: Case) -> None:
    """Release, oldest first, every held order that now passes; what does not fit is passed over.

    It ends where not even the smallest can fit any more: a payment that makes room for one of
    thousands looks at those before that one, not at all.
    """
    account = case.account
    if not account.held_orders or standing_reasons(case):
        return
    room = _room(case)
    if account.smallest_held > room:
        return
    smallest, none_waits = _NONE_FITS, True
    waiting, group = Waiting(case), case.group
    waiting_in_group = None if group is None else Waiting(group)
    for order_id in _held_orders(case):
        order: state.Order = case.ledger.get(state.order_key(case.account_id, order_id))
        if none_waits:
            account.held_from = state.held_place(order.placed_at, order_id)
        asked = _least_asked(case, order)
        if asked <= room and not hold_reasons(case, order_id, order, waiting, waiting_in_group):
            release_held(case, order_id, order)
            room = _room(case)
            if account.smallest_held > room:
                return  # nothing is known of the rest, so the bound stays as it is
            continue
        none_waits = False
        if order.manual_hold_by is None or order.manual_hold_until is not None:
            smallest = min(smallest, asked)
    account.smallest_held = smallest


def _room(case: Case) -> Minor | Fraction:
    """An order that asks for more does not pass, whatever else is said of it."""
    ceiling = 0 if prepays(case) else case.limit()
    return _NONE_FITS if ceiling is None else max(ceiling - case.exact_exposure(), 0)


def _held_orders(case: Case) -> Iterator[str]:
    """Ids of the held orders, oldest first. One that was given may be released before the next."""
    start, end = case.held_range()
    while keys := [key for key, _ in islice(case.ledger.scan(start, end), _HELD_AT_A_TIME)]:
        for key in keys:
            yield state.last_part(key)
        start = keys[-1] + state.NUL  # just behind it


def _was_released_before(case: Case, order_id: str, order: state.Order) -> bool:
    """Whether a person released the order before it came, and may. The release came without an
    amount to compare, so a person whose authority does not reach is told by the hold.
    """
    if order.override is None:
        return False
    try:
        check_authority(case, order_id, order, order.override)
    except Overreach:
        order.override = None
        return False
    return case.today <= order.override.until


def _release(case: Case, order_id: str, order: state.Order) -> None:
    """Release by the order's override."""
    override = order.override
    assert override is not None  # noqa: S101  the callers have looked
    if not override.total:
        override.total = order_extent(order)
    rest, _ = order_position(order)
    if rest:
        case.look_again_on(override.until + 1, order_id)
    _conclude(case, order_id, order, "released", [], override.by, override.why)


def _least_asked(case: Case, order: state.Order) -> Minor:
    """At most what the order asks for, in the account's currency."""
    # Another currency's worth moves with its rate: nothing can be said for longer than today.
    return case.asked(order) if order.currency == case.account.currency else 0


def _conclude(
    case: Case,
    order_id: str,
    order: state.Order,
    decision: str,
    held_for: list[str],
    by: str | None = None,
    why: str | None = None,
) -> None:
    """Give the order its new status, book it, and say so."""
    account = case.account
    before = case.exposure()
    was_held = order.status == "held"
    order.status = decision
    order.decision_number += 1
    case.rebook_order(order_id, order)
    if decision == "held":
        asked = _least_asked(case, order)
        account.smallest_held = (
            asked if not account.held_orders else min(account.smallest_held, asked)
        )
        case.count_held(order_id, order, 1)
    elif was_held:
        case.count_held(order_id, order, -1)
    exposure = case.exposure()
    limit = case.limit()
    group = case.group
    own = account.currency or order.currency
    rate = None if order.currency == own else case.factor(order.currency)
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
            account_currency=own,
            by=by,
            why=why,
            fx_rate=None if rate is None else shown(rate),
            fx_rates=_rates_used(case, rate) if account.foreign else [],
            group_id=account.group_id or None,
            group_currency=None if group is None else group.group.currency,
            group_exposure=None if group is None else group.exposure(),
            group_limit=None if group is None else group.limit(),
        )
    )


def _rates_used(case: Case, of_order: Factor | None) -> list[RateUsed]:
    """The published rates that the figures stand on, each once."""
    factors = [of_order] + [
        case.factor(currency)
        for currency, book in case.account.books.items()
        if currency != case.account.currency and book.exposure() != 0
    ]
    used = [rate for by in factors if by is not None for rate in by.rates]
    return list({(rate.base, rate.quote): rate for rate in used}.values())
