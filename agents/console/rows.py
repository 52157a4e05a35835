"""An account and a held order as the console's lists have them. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.obstacles import obstacles_now
from agents.credit.rules import figures
from agents.credit.valuation import factor
from agents.dunning.records import Debtor, debtor_key
from schemas.events import Day, Minor, OrderDecision
from schemas.money import AMOUNT_MAX, UnknownCurrencyError, exponent

INFINITE = 1e9
"""The utilisation of a limit of zero on which something is owed."""
_WORTH_DIGITS = 2


class AccountRow(NamedTuple):
    """Amounts in minor units of `currency`; what starts with `worth` in hundredths of the currency
    by which lists compare. `utilisation` None: no limit to compare with. How late the oldest item
    is follows from the day: a new one changes no account.
    """

    account_id: str
    name: str
    folded: str
    manager: str
    segment: str
    currency: str
    blocked: bool
    exposure: Minor
    credit_limit: Minor | None
    headroom: Minor | None
    utilisation: float | None
    overdue: Minor
    oldest_due: Day | None
    held_orders: int
    worth: Minor
    worth_overdue: Minor


class HeldRow(NamedTuple):
    """`reasons` with a space around each."""

    account_id: str
    order_id: str
    placed_at: int
    amount: Minor
    currency: str
    worth: Minor
    reasons: str
    held_by: str


def folded(text: str) -> str:
    """Text as it is searched: `Bäcker` and `BÄCKER` are the same."""
    return text.casefold()


def today_in(ledger: Ledger, account: state.Account | None) -> Day:
    """The business day in a partition; before the first one, the day of what happened last."""
    today: Day | None = ledger.get(state.BUSINESS_DAY)
    if today is not None:
        return today
    return 0 if account is None else account.changed_at // 86_400_000_000


def account_row(ledger: Ledger, account_id: str, policies: PolicyBook) -> AccountRow | None:
    """The figures of an account; None for one that is not kept in this partition."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None:
        return None
    debtor: Debtor | None = ledger.get(debtor_key(account_id))
    name = "" if debtor is None or debtor.name is None else debtor.name
    now = figures(ledger, account_id, policies)
    today = today_in(ledger, account)
    utilisation = None if now.utilisation is None else float(now.utilisation)
    if utilisation is None and now.credit_limit == 0 and now.exposure > 0:
        utilisation = INFINITE
    return AccountRow(
        account_id=account_id,
        name=name,
        folded=folded(f"{name}\n{account_id}"),
        manager=account.account_manager,
        segment=account.segment,
        currency=account.currency,
        blocked=account.blocked,
        exposure=now.exposure,
        credit_limit=now.credit_limit,
        headroom=now.headroom,
        utilisation=utilisation,
        overdue=now.overdue,
        oldest_due=account.oldest_due,
        held_orders=account.held_orders,
        worth=worth(ledger, policies, today, now.exposure, account.currency),
        worth_overdue=worth(ledger, policies, today, now.overdue, account.currency),
    )


def held_row(
    ledger: Ledger,
    policies: PolicyBook,
    account_id: str,
    order_id: str,
    order: state.Order,
    decided: list[OrderDecision],
) -> HeldRow:
    """An order on hold, with the reasons that were published; where the topic has forgotten them,
    with those that hold it now.
    """
    account: state.Account | None = ledger.get(state.account_key(account_id))
    today = today_in(ledger, account)
    if decided and decided[0].decision == "held":
        reasons = list(decided[0].reasons)
    else:
        key = state.order_key(account_id, order_id)
        reasons = [one.reason for one in obstacles_now(ledger, policies, key, today)]
    return HeldRow(
        account_id=account_id,
        order_id=order_id,
        placed_at=order.placed_at,
        amount=order.total,
        currency=order.currency,
        worth=worth(ledger, policies, today, order.total, order.currency),
        reasons=f" {' '.join(reasons)} ",
        held_by=order.manual_hold_by or "",
    )


def worth(ledger: Ledger, policies: PolicyBook, today: Day, amount: Minor, currency: str) -> Minor:
    """An amount in hundredths of the policy's pivot currency, to compare it with others. One that
    no rate values is taken as it is.
    """
    policy = policies.at(today).base
    try:
        digits = exponent(currency)
    except UnknownCurrencyError:
        digits = _WORTH_DIGITS
    exact = Fraction(amount, 10**digits)
    if currency != policy.fx_pivot:
        rate = factor(ledger, policy, today, currency, policy.fx_pivot)
        exact *= 1 if rate is None else rate.of_major
    hundredths: int = round(exact * 10**_WORTH_DIGITS)
    return max(min(hundredths, AMOUNT_MAX), -AMOUNT_MAX)
