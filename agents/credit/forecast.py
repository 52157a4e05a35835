"""Whether an account's headroom runs out soon, going by what it has open and how it behaves.

The projection is simple and deterministic. From today's exposure, each coming day

* takes off the invoices expected to be paid: each on its due day, shifted by the median lateness
  of the account's own last payments (one that is late already is not counted on); one that is
  promised, or under a payment plan, by the instalments that are still to come;
* adds the dated orders that then come within the shipping horizon;
* adds what the account orders in a day, on the average of its own last weeks;

and compares that with the limit of that day, since a temporary limit ends. The first day on which
it is above is the day on which headroom runs out. docs/forecast.md says how well that foretells.
"""

from __future__ import annotations

from fractions import Fraction
from statistics import median_low

from agents.credit import state
from agents.credit.account_day import AccountDay
from agents.credit.behaviour import ordered
from agents.credit.case import Case
from agents.credit.lateness import is_promised
from agents.dunning.promises import to_come
from schemas.dates import format_day
from schemas.events import Day, Minor, RiskSignal
from schemas.money import format_amount

_PAYMENTS_NEEDED = 3
_QUIET_DAYS = 7
"""A warning may come again once headroom was expected to last on each of so many days; an account
on which nothing happens is looked at as often."""


def warn_of_breach(case: Case) -> None:
    """Tell, once, that headroom is expected to run out."""
    account = case.account
    if not case.policy.forecast_days:
        return
    if account.look_on <= case.today and (account.shown > 0 or account.held_orders):
        case.look_ahead_on(case.today + _QUIET_DAYS)
    expected_on = expected_breach(case)
    if expected_on is None:
        if account.breach_told_on is not None and (
            case.today - account.breach_told_on >= _QUIET_DAYS
        ):
            account.breach_told_on = None
        return
    told_before = account.breach_told_on is not None
    account.breach_told_on = case.today
    if told_before:
        return
    exposure, limit, currency = case.exposure(), case.limit() or 0, account.currency
    case.effects.append(
        RiskSignal(
            event_id=case.next_id(),
            occurred_at=case.at,
            customer_id=case.account_id,
            kind="forecast_breach",
            severity="warning",
            detail=(
                f"headroom of {format_amount(limit - exposure, currency)} {currency} is "
                f"expected to run out on {format_day(expected_on)}"
            ),
            expected_on=expected_on,
            cause_event_id=case.cause,
        )
    )


def expected_breach(case: Case) -> Day | None:
    """The day, at most `forecast_days` ahead, on which the account is expected to owe more than its
    limit.

    None: on none of them; or orders wait already, or it owes more already, or there is no limit to
    compare with, or too few payments to know its habits.
    """
    account, today = case.account, case.today
    limit = case.limit()
    exposure = case.exact_exposure()
    if (
        limit is None
        or exposure > limit
        or account.held_orders
        or len(account.days_late) < _PAYMENTS_NEEDED
    ):
        return None
    amount, in_days = ordered(account.pace, today)
    days = case.policy.forecast_days
    limit_stays = account.temporary_until is None or not (
        today <= account.temporary_until < today + days
    )
    if (
        limit_stays
        and case.policy.shipping_horizon_days is None
        and (exposure - limit) * in_days + amount * days <= 0
    ):
        return None  # not even if nobody pays
    moves = _expected_moves(case)
    for ahead in range(1, days + 1):
        day = today + ahead
        exposure += moves.get(day, 0)
        if day - 1 == account.temporary_until:
            limit = _limit_on(case, day)
        if limit is not None and (exposure - limit) * in_days + amount * ahead > 0:
            return day
    return None


def _limit_on(case: Case, day: Day) -> Minor | None:
    return AccountDay(case.ledger, case.policies, case.account_id, case.account, day).limit()


def _expected_moves(case: Case) -> dict[Day, Minor | Fraction]:
    """What payments take off and dated orders add, by day, in the account's currency."""
    account, today = case.account, case.today
    last = today + case.policy.forecast_days
    late = median_low(account.days_late)
    moves: dict[Day, Minor | Fraction] = {}
    due_days = state.due_range(case.account_id, max(today + 1 - late, 0), max(last + 1 - late, 0))
    for key, due in case.ledger.scan(*due_days):
        if account.promises and is_promised(case, state.last_part(key)):
            continue
        day = state.due_day(key) + late
        moves[day] = moves.get(day, 0) - case.exact(due.amount, due.currency)
    if account.promises:
        for day, amount, currency in to_come(case):
            moves[day] = moves.get(day, 0) - case.exact(amount, currency)
    if case.policy.shipping_horizon_days is not None:
        for key, _ in case.ledger.scan(*state.timers_until(case.account_id, last)):
            order = case.ledger.get(state.order_key(case.account_id, state.last_part(key)))
            day = state.due_day(key)
            if order is not None and order.deliver_on is not None and not order.booked_open:
                rest = case.rest_of(order)
                moves[day] = moves.get(day, 0) + case.exact(rest, order.currency)
    return moves
