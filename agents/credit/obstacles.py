"""What stands against a held order: for each reason what was found, and what would lift it.

Pure, and looks only. Amounts are in the account's currency, or the group's where the group's limit
is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil

import msgspec

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import reasons, state
from agents.credit.case import Case
from agents.credit.feeds import PAYMENTS
from agents.credit.holdings import Holdings
from agents.credit.lateness import late_invoices, total
from agents.credit.order_check import Waiting, hold_reasons
from schemas.dates import format_day, format_instant
from schemas.events import BusinessDayStarted, Day, Minor
from schemas.money import format_amount

_INVOICES_NAMED = 5


class Obstacle(msgspec.Struct, frozen=True):
    """One reason against an order.

    Attributes:
        reason: its code.
        finding: what was found, with the figures, in a sentence without its full stop.
        remedy: what somebody has to do about it.
        missing: by how much headroom is short, where it is; minor units.
        currency: of `missing`.
    """

    reason: str
    finding: str
    remedy: str
    missing: Minor | None = None
    currency: str | None = None


def obstacles_now(
    ledger: Ledger, policies: PolicyBook, order_key: str, today: Day
) -> list[Obstacle]:
    """What holds the order with this key in the ledger; nothing for one that is not held."""
    order: state.Order = ledger.get(order_key)
    if order.status != "held":
        return []
    case = look_at(ledger, policies, order_key.partition(state.NUL)[0], today)
    order_id = state.last_part(order_key)[1:]
    return obstacles(case, order_id, order, hold_reasons(case, order_id, order))


def look_at(ledger: Ledger, policies: PolicyBook, customer_id: str, today: Day) -> Case:
    """The account on a day, to look at."""
    account: state.Account | None = ledger.get(state.account_key(customer_id))
    # An account of which nothing is stored yet is in the middle of its first event.
    at = 0 if account is None else account.changed_at
    look = BusinessDayStarted(event_id="", occurred_at=at, date=today)
    return Case(ledger, policies, customer_id, look, today, [])


def obstacles(
    case: Case, order_id: str, order: state.Order, held_for: Sequence[str]
) -> list[Obstacle]:
    """An obstacle per reason, in their order."""
    return [_OBSTACLES[reason](case, order_id, order) for reason in held_for]


# ── one per reason ──────────────────────────────────────────────────────────────────────────────


def _customer_unknown(_case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    return Obstacle(
        reasons.CUSTOMER_UNKNOWN,
        "the customer's master record has not come",
        "send the customer's master record",
    )


def _customer_blocked(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    if case.account.closed:
        return Obstacle(reasons.CUSTOMER_BLOCKED, "the customer is closed", "reopen the customer")
    return Obstacle(reasons.CUSTOMER_BLOCKED, "the customer is blocked", "unblock the customer")


def _limit_missing(case: Case, _order_id: str, order: state.Order) -> Obstacle:
    group = case.group
    if group is not None and group.limit() is None:
        asked = group.exact(case.asked(order), order.currency)
        return Obstacle(
            reasons.LIMIT_MISSING,
            "the customer's credit group has no limit",
            f"give the group a limit of at least {_money(group, group.exact_exposure() + asked)}",
        )
    needed = _money(case, case.exact_exposure() + _asked(case, order))
    return Obstacle(
        reasons.LIMIT_MISSING,
        "the customer has no limit, and the policy has none for the segment",
        f"give the customer a limit of at least {needed}",
    )


def _limit_expired(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    until = case.account.limit_valid_until
    return Obstacle(
        reasons.LIMIT_EXPIRED,
        "the limit has ended" if until is None else f"the limit ended on {format_day(until)}",
        "renew the customer's limit",
    )


def _prepayment_required(case: Case, _order_id: str, order: state.Order) -> Obstacle:
    after = case.exact_exposure() + _asked(case, order)
    return Obstacle(
        reasons.PREPAYMENT_REQUIRED,
        f"the customer pays in advance, and with this order would owe {_money(case, after)}",
        f"pay {_money(case, after)} in advance",
        ceil(after),
        case.account.currency,
    )


def _overdue(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    allowed = case.policy.max_overdue_days
    late = late_invoices(case)
    too_late = [one for one in late if case.today - one.due_on > allowed]
    named = ", ".join(one.invoice_id for one in too_late[:_INVOICES_NAMED])
    more = f" and {len(too_late) - _INVOICES_NAMED} more" if len(too_late) > _INVOICES_NAMED else ""
    days = case.today - late[0].due_on if late else 0
    return Obstacle(
        reasons.OVERDUE,
        f"the oldest late invoice is {days} days late, more than {allowed}; "
        f"all late invoices total {_money(case, total(case, late))}",
        f"pay what is more than {allowed} days late: "
        f"{_money(case, total(case, too_late))} on {named}{more}",
    )


def _dunning_block(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    level = case.policy.block_from_level
    if case.account.dunning_blocks:
        late = case.account.dunning_blocks
        return Obstacle(
            reasons.DUNNING_BLOCK,
            f"{late} open {'invoice has' if late == 1 else 'invoices have'} reached a dunning "
            "level that holds orders",
            "pay what was dunned",
        )
    return Obstacle(
        reasons.DUNNING_BLOCK,
        f"an open invoice was dunned to level {max(case.account.dunned, default=0)}; "
        f"level {level} holds orders",
        f"pay the invoices that were dunned to level {level} or higher",
    )


def _credit_limit_exceeded(case: Case, order_id: str, order: state.Order) -> Obstacle:
    waiting = Waiting(case).before(state.held_key(case.account_id, order.placed_at, order_id))
    return _short_of(
        reasons.CREDIT_LIMIT_EXCEEDED, case, order, case, waiting, case.limit() or 0, "limit"
    )


def _group_limit_exceeded(case: Case, order_id: str, order: state.Order) -> Obstacle:
    group = case.group
    assert group is not None  # noqa: S101  no group, no such reason
    key = state.group_held_key(group.group_id, order.placed_at, case.account_id, order_id)
    return _short_of(
        reasons.GROUP_LIMIT_EXCEEDED,
        case,
        order,
        group,
        Waiting(group).before(key),
        group.limit() or 0,
        "group's limit",
    )


def _insurance_cover_stopped(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    allowed = case.policy.max_extension_days
    oldest = next((key for key, _ in case.ledger.scan(*state.insured_range(case.account_id))), None)
    invoice = "an invoice" if oldest is None else f"invoice {state.last_part(oldest)}"
    since = "" if oldest is None else f" since its original due day {_day(oldest)}"
    return Obstacle(
        reasons.INSURANCE_COVER_STOPPED,
        f"{invoice} is unpaid{since}, more than {allowed} days: the insurer covers nothing new",
        f"pay {invoice}",
    )


def _fx_rate_missing(case: Case, _order_id: str, order: state.Order) -> Obstacle:
    own = case.account.currency
    missing = sorted(
        currency
        for currency in {order.currency, *case.account.books}
        if not case.is_valued(currency)
    )
    pairs = ", ".join(f"{currency}/{own}" for currency in missing)
    if not missing and case.group is not None:
        pairs = f"the group's currency {case.group.group.currency}"
    of_late = f"of the last {case.policy.fx_max_age_days} days for {pairs}"
    return Obstacle(
        reasons.FX_RATE_MISSING, f"there is no rate {of_late}", f"publish a rate {of_late}"
    )


def _stale_data(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    until = case.ledger.get(state.feed_key(PAYMENTS))
    told = "" if until is None else f": it is complete up to {format_instant(until)}"
    return Obstacle(
        reasons.STALE_DATA,
        f"the payments feed is later than the {case.policy.payments_feed_minutes} minutes that it "
        f"promises{told}, and what it has not told yet may be enough",
        "wait for the payments feed",
    )


def _manual_hold(_case: Case, _order_id: str, order: state.Order) -> Obstacle:
    until = order.manual_hold_until
    return Obstacle(
        reasons.MANUAL_HOLD,
        f"{order.manual_hold_by} held it: {order.manual_hold_why}",
        "have a person release it"
        if until is None
        else f"have a person release it, or wait until {format_day(until)} is over",
    )


_OBSTACLES: dict[str, Callable[[Case, str, state.Order], Obstacle]] = {
    reasons.CUSTOMER_UNKNOWN: _customer_unknown,
    reasons.CUSTOMER_BLOCKED: _customer_blocked,
    reasons.LIMIT_MISSING: _limit_missing,
    reasons.LIMIT_EXPIRED: _limit_expired,
    reasons.PREPAYMENT_REQUIRED: _prepayment_required,
    reasons.OVERDUE: _overdue,
    reasons.DUNNING_BLOCK: _dunning_block,
    reasons.CREDIT_LIMIT_EXCEEDED: _credit_limit_exceeded,
    reasons.GROUP_LIMIT_EXCEEDED: _group_limit_exceeded,
    reasons.INSURANCE_COVER_STOPPED: _insurance_cover_stopped,
    reasons.FX_RATE_MISSING: _fx_rate_missing,
    reasons.STALE_DATA: _stale_data,
    reasons.MANUAL_HOLD: _manual_hold,
}


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def _short_of(
    reason: str,
    case: Case,
    order: state.Order,
    of: Holdings,
    waiting: Minor | Fraction,
    limit: Minor,
    whose: str,
) -> Obstacle:
    """Headroom of the account, or of its group, is short of what the order asks for; `waiting` is
    what older held orders ask for.
    """
    asked = of.exact(case.asked(order), order.currency)
    exposure = of.exact_exposure() - of.exact(order.booked_open, order.currency)
    if case.policy.held_orders_consume:
        exposure += waiting
    needed = exposure + asked
    finding = (
        f"the order asks for {_money(of, asked)}; of the {whose} of {_money(of, limit)} "
        f"{_money(of, exposure)} is used"
    )
    missing = needed - limit
    if missing <= 0:
        return Obstacle(
            reason, f"{finding}, and an older order comes first", "wait for the older order"
        )
    return Obstacle(
        reason,
        finding,
        f"pay {_money(of, missing)} or raise the {whose} to {_money(of, needed)}",
        ceil(missing),
        of.holder.currency,
    )


def _asked(case: Case, order: state.Order) -> Minor | Fraction:
    return case.exact(case.asked(order), order.currency)


def _day(index_key: str) -> str:
    return format_day(state.due_day(index_key))


def _money(holdings: Holdings, amount: Minor | Fraction) -> str:
    """An amount with its currency; what has to be reached is rounded up."""
    currency = holdings.holder.currency
    return f"{format_amount(ceil(amount), currency)} {currency}"
