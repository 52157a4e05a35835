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
from agents.credit.phrases import Amount, Date, Figure, Moment, Sentence, say
from schemas.events import BusinessDayStarted, Day, Minor

_INVOICES_NAMED = 5


class Obstacle(msgspec.Struct, frozen=True):
    """One reason against an order.

    Attributes:
        reason: its code.
        finding: what was found, with the figures.
        remedy: what somebody has to do about it.
        missing: by how much headroom is short, where it is; minor units.
        currency: of `missing`.
    """

    reason: str
    finding: Sentence
    remedy: Sentence
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


# ── one per reason; what the policy does not ask for is none ──────────────────────────────────────


def _customer_unknown(_case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    return Obstacle(reasons.CUSTOMER_UNKNOWN, say("customer_unknown"), say("send_record"))


def _customer_blocked(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    if case.account.closed:
        return Obstacle(reasons.CUSTOMER_BLOCKED, say("customer_closed"), say("reopen"))
    return Obstacle(reasons.CUSTOMER_BLOCKED, say("customer_blocked"), say("unblock"))


def _limit_missing(case: Case, _order_id: str, order: state.Order) -> Obstacle:
    group = case.group
    if group is not None and group.limit() is None:
        asked = group.exact(case.asked(order), order.currency)
        needed = _money(group, group.exact_exposure() + asked)
        return Obstacle(
            reasons.LIMIT_MISSING,
            say("group_limit_missing"),
            say("give_group_limit", limit=needed),
        )
    needed = _money(case, case.exact_exposure() + _asked(case, order))
    return Obstacle(reasons.LIMIT_MISSING, say("limit_missing"), say("give_limit", limit=needed))


def _limit_expired(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    until = case.account.limit_valid_until
    ended = say("limit_ended") if until is None else say("limit_ended_on", day=Date(until))
    return Obstacle(reasons.LIMIT_EXPIRED, ended, say("renew_limit"))


def _prepayment_required(case: Case, _order_id: str, order: state.Order) -> Obstacle:
    owed = _money(case, case.exact_exposure() + _asked(case, order))
    return Obstacle(
        reasons.PREPAYMENT_REQUIRED,
        say("prepays", owed=owed),
        say("pay_in_advance", owed=owed),
        owed.minor,
        owed.currency,
    )


def _overdue(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    allowed = case.policy.max_overdue_days
    late = late_invoices(case)
    too_late = [one for one in late if case.today - one.due_on > allowed]
    figures: dict[str, Figure] = {
        "allowed": allowed,
        "total": _money(case, total(case, too_late)),
        "invoices": ", ".join(one.invoice_id for one in too_late[:_INVOICES_NAMED]),
    }
    more = len(too_late) - _INVOICES_NAMED
    return Obstacle(
        reasons.OVERDUE,
        say(
            "overdue",
            days=case.today - late[0].due_on if late else 0,
            allowed=allowed,
            total=_money(case, total(case, late)),
        ),
        say("pay_late", **figures) if more <= 0 else say("pay_late_and_more", **figures, more=more),
    )


def _dunning_block(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    level = case.policy.block_from_level or 0
    dunned = case.account.dunning_blocks
    if dunned:
        return Obstacle(
            reasons.DUNNING_BLOCK,
            say("one_dunned") if dunned == 1 else say("many_dunned", invoices=dunned),
            say("pay_dunned"),
        )
    return Obstacle(
        reasons.DUNNING_BLOCK,
        say("dunned_to_level", reached=max(case.account.dunned, default=0), level=level),
        say("pay_dunned_to_level", level=level),
    )


def _credit_limit_exceeded(case: Case, order_id: str, order: state.Order) -> Obstacle:
    waiting = Waiting(case).before(state.held_key(case.account_id, order.placed_at, order_id))
    limit = case.limit() or 0
    return _short_of(reasons.CREDIT_LIMIT_EXCEEDED, case, order, case, waiting, limit, "limit")


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
        "group_limit",
    )


def _insurance_cover_stopped(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    allowed = case.policy.max_extension_days or 0
    oldest = next((key for key, _ in case.ledger.scan(*state.insured_range(case.account_id))), None)
    if oldest is None:
        return Obstacle(
            reasons.INSURANCE_COVER_STOPPED,
            say("cover_was_stopped", allowed=allowed),
            say("pay_uncovered"),
        )
    invoice, day = state.last_part(oldest), Date(state.due_day(oldest))
    return Obstacle(
        reasons.INSURANCE_COVER_STOPPED,
        say("cover_stopped", invoice=invoice, day=day, allowed=allowed),
        say("pay_invoice", invoice=invoice),
    )


def _fx_rate_missing(case: Case, _order_id: str, order: state.Order) -> Obstacle:
    own, days = case.account.currency, case.policy.fx_max_age_days
    missing = sorted(
        currency
        for currency in {order.currency, *case.account.books}
        if not case.is_valued(currency)
    )
    if not missing and case.group is not None:
        currency = case.group.group.currency
        return Obstacle(
            reasons.FX_RATE_MISSING,
            say("no_rate_of_group", days=days, currency=currency),
            say("publish_rate_of_group", days=days, currency=currency),
        )
    pairs = ", ".join(f"{currency}/{own}" for currency in missing)
    return Obstacle(
        reasons.FX_RATE_MISSING,
        say("no_rate", days=days, pairs=pairs),
        say("publish_rate", days=days, pairs=pairs),
    )


def _stale_data(case: Case, _order_id: str, _order: state.Order) -> Obstacle:
    until = case.ledger.get(state.feed_key(PAYMENTS))
    minutes = case.policy.payments_feed_minutes or 0
    return Obstacle(
        reasons.STALE_DATA,
        say("payments_late", minutes=minutes)
        if until is None
        else say("payments_late_since", minutes=minutes, until=Moment(until)),
        say("wait_for_payments"),
    )


def _manual_hold(_case: Case, _order_id: str, order: state.Order) -> Obstacle:
    until = order.manual_hold_until
    return Obstacle(
        reasons.MANUAL_HOLD,
        say("held_by", who=order.manual_hold_by or "", why=order.manual_hold_why or ""),
        say("release") if until is None else say("release_or_wait", day=Date(until)),
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
    figures = {
        "asked": _money(of, asked),
        "limit": _money(of, limit),
        "used": _money(of, exposure),
    }
    needed = exposure + asked
    missing = needed - limit
    if missing <= 0:
        finding = say(f"{whose}_used_older_first", **figures)
        return Obstacle(reason, finding, say("wait_for_older"))
    short = _money(of, missing)
    return Obstacle(
        reason,
        say(f"{whose}_used", **figures),
        say(f"pay_or_raise_{whose}", missing=short, limit=_money(of, needed)),
        short.minor,
        short.currency,
    )


def _asked(case: Case, order: state.Order) -> Minor | Fraction:
    return case.exact(case.asked(order), order.currency)


def _money(holdings: Holdings, amount: Minor | Fraction) -> Amount:
    """In the currency of an account or group; what has to be reached is rounded up."""
    return Amount(ceil(amount), holdings.holder.currency)
