"""Limit alerts: a threshold fires once, and again only after utilisation was well below it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cache

from agents.core.policy import SHARE_ONE, Policy, Threshold
from agents.credit.case import Case, outgoing_id
from agents.credit.effects import Effect
from agents.credit.group_books import GroupBooks
from agents.credit.holdings import Holdings, utilisation_text
from schemas.events import CreditLimitAlert, Minor


def raise_and_clear_alerts(case: Case) -> None:
    """Compare the account's utilisation, after all else that the event did, with the policy's
    thresholds.

    Raised lowest first; cleared highest first. Without a limit to compare with, nothing is near it.
    """
    account = case.account
    limit = case.limit()
    if not account.raised and limit is None:
        return
    for label, direction in _crossed(case, limit, case.policy, account.raised):
        case.effects.append(
            CreditLimitAlert(
                event_id=case.next_id(),
                occurred_at=case.at,
                customer_id=case.account_id,
                threshold=label,
                direction=direction,
                exposure=case.exposure(),
                credit_limit=limit,
                utilisation=utilisation_text(case.exact_exposure(), limit),
                cause_event_id=case.cause,
                currency=account.currency,
            )
        )


def raise_and_clear_group_alerts(books: GroupBooks, effects: list[Effect]) -> None:
    """The same for a group and its limit."""
    group, limit = books.group, books.limit()
    for label, direction in _crossed(books, limit, books.policy, group.raised):
        effects.append(
            CreditLimitAlert(
                event_id=outgoing_id(
                    "\0" + books.group_id, group.sequence, books.event.event_id, len(effects)
                ),
                occurred_at=books.event.occurred_at,
                customer_id=books.group_id,
                threshold=label,
                direction=direction,
                exposure=books.exposure(),
                credit_limit=limit,
                utilisation=utilisation_text(books.exact_exposure(), limit),
                cause_event_id=books.event.event_id,
                currency=group.currency,
                group_id=books.group_id,
            )
        )


def _crossed(
    holdings: Holdings, limit: Minor | None, policy: Policy, raised: list[str]
) -> list[tuple[str, str]]:
    """The labels of the thresholds that are crossed now, each with `raised` or `cleared`; `raised`
    follows.
    """
    exposure = holdings.exact_exposure()
    crossed: list[tuple[str, str]] = []
    if raised:
        known = {threshold.label: threshold for threshold in policy.thresholds}
        for label in sorted(raised, key=_height, reverse=True):
            # One that the policy no longer has is cleared: nobody would ever hear of it again.
            threshold = known.get(label)
            if threshold is None or _well_below(threshold, policy.rearm, exposure, limit):
                raised.remove(label)
                crossed.append((label, "cleared"))
    if limit is None or exposure <= 0:
        return crossed
    for threshold in policy.thresholds:
        # With a zero limit this holds for any exposure above zero: utilisation is infinite then.
        if exposure * SHARE_ONE < threshold.share * limit:
            break  # nor are those above it reached
        if threshold.label not in raised:
            raised.append(threshold.label)
            crossed.append((threshold.label, "raised"))
    return crossed


@cache
def _height(label: str) -> Decimal:
    return Decimal(label)


def _well_below(
    threshold: Threshold, rearm: int, exposure: Minor | Fraction, limit: Minor | None
) -> bool:
    if limit is None or exposure <= 0:
        return True
    return exposure * SHARE_ONE < (threshold.share - rearm) * limit
