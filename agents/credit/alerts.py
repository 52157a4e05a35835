"""Limit alerts: a threshold fires once, and again only after utilisation was well below it."""

from __future__ import annotations

from agents.core.policy import Threshold
from agents.credit.account_day import utilisation_text
from agents.credit.case import Case
from schemas.events import CreditLimitAlert, Minor

_ONE = 10_000


def raise_and_clear_alerts(case: Case) -> None:
    """Compare the account's utilisation, after all else that the event did, with the policy's
    thresholds.

    Raised lowest first; cleared highest first. Without a limit to compare with, nothing is near it.
    """
    account = case.account
    limit = case.limit()
    exposure = case.exposure()
    if not account.raised and (limit is None or exposure <= 0):
        return
    if account.raised:
        for threshold in reversed(case.policy.thresholds):
            if threshold.label in account.raised and _well_below(case, threshold, exposure, limit):
                account.raised.remove(threshold.label)
                _tell(case, threshold, "cleared", exposure, limit)
    if limit is None:
        return
    for threshold in case.policy.thresholds:
        if not _reached(threshold, exposure, limit):
            return  # nor are those above it
        if threshold.label not in account.raised:
            account.raised.append(threshold.label)
            _tell(case, threshold, "raised", exposure, limit)


def _reached(threshold: Threshold, exposure: Minor, limit: Minor) -> bool:
    # With a zero limit this holds for any exposure above zero: utilisation is infinite then.
    return exposure > 0 and exposure * _ONE >= threshold.share * limit


def _well_below(case: Case, threshold: Threshold, exposure: Minor, limit: Minor | None) -> bool:
    if limit is None or exposure <= 0:
        return True
    return exposure * _ONE < (threshold.share - case.policy.rearm) * limit


def _tell(
    case: Case, threshold: Threshold, direction: str, exposure: Minor, limit: Minor | None
) -> None:
    case.effects.append(
        CreditLimitAlert(
            event_id=case.next_id(),
            occurred_at=case.at,
            customer_id=case.account_id,
            threshold=threshold.label,
            direction=direction,
            exposure=exposure,
            credit_limit=limit,
            utilisation=utilisation_text(exposure, limit),
            cause_event_id=case.cause,
            currency=case.account.currency,
        )
    )
