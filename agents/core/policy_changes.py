"""What a policy says, setting by setting, and what changes from one policy to another.

Settings have the names of the file ("overdue.max_overdue_days"). Two terms are the same when they
decide the same: "0.8" is "0.80" and changes nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import msgspec

from agents.core.policy import SHARE_ONE, Policy, PolicyBook, PolicyVersion
from agents.core.policy_text import decimal_text
from schemas.events import Day

Value: TypeAlias = bool | int | str | list[str] | dict[str, str] | None
"""Amounts and shares are decimal texts, authority is an amount by role; None is "none"."""


class Change(msgspec.Struct, frozen=True):
    """One setting that two terms differ in."""

    setting: str
    old: Value
    new: Value


class SegmentChanges(msgspec.Struct, frozen=True):
    """What changes for one segment; None: for the customers without terms of their own."""

    segment: str | None
    changes: list[Change]


class Span(msgspec.Struct, frozen=True):
    """Days through which one version of the old and one of the new policy hold.

    `valid_from` and `valid_until` are its first and last day; None: there is none.
    """

    valid_from: Day | None
    valid_until: Day | None
    old_version: str
    new_version: str
    segments: list[SegmentChanges]


def settings(policy: Policy) -> dict[str, Value]:
    """Every setting as it stands in these terms, in the order of the file."""
    return {
        "currency": policy.currency,
        "credit.default_limit": _amount(policy.default_limit),
        "credit.cap_by_insurance": policy.cap_by_insurance,
        "credit.own_risk_margin": _share(policy.own_risk_margin),
        "credit.prepayment": policy.prepayment,
        "credit.prepayment_after_write_off": policy.prepayment_after_write_off,
        "credit.held_orders_consume": policy.held_orders_consume,
        "credit.strict_fifo": policy.strict_fifo,
        "credit.amounts": "net" if policy.net_of_vat else "gross",
        "credit.shipping_horizon_days": policy.shipping_horizon_days,
        "alerts.thresholds": [threshold.label for threshold in policy.thresholds],
        "alerts.rearm": _share(policy.rearm),
        "alerts.forecast_days": policy.forecast_days,
        "overdue.max_overdue_days": policy.max_overdue_days,
        "overdue.min_overdue_amount": _amount(policy.min_overdue_amount),
        "overdue.above_utilisation": _share(policy.overdue_above_utilisation),
        "overdue.defer_promised": policy.defer_promised,
        "dunning.block_from_level": policy.block_from_level,
        "insurance.max_extension_days": policy.max_extension_days,
        "release.validity_days": policy.validity_days,
        "release.recheck_tolerance": _share(policy.recheck_tolerance),
        "release.four_eyes_above": _amount(policy.four_eyes_above),
        "release.authority": {
            role: decimal_text(Decimal(up_to)) for role, up_to in policy.authority.items()
        }
        or None,
        "fx.max_age_days": policy.fx_max_age_days,
        "fx.pivot": policy.fx_pivot,
        "feeds.payments_minutes": policy.payments_feed_minutes,
        "documents.small_balance": _amount(policy.small_balance),
        "documents.remember_days": policy.remember_days,
    }


def changes(old: Policy, new: Policy) -> list[Change]:
    """The settings that differ, in the order of the file."""
    after = settings(new)
    return [
        Change(setting, value, after[setting])
        for setting, value in settings(old).items()
        if value != after[setting]
    ]


def compare(old: PolicyBook, new: PolicyBook) -> list[Span]:
    """What changes for whom and when; split wherever another version of either comes into force.

    Every span has all segments of either version, also those for which nothing changes.
    """
    # Both begin with the version that holds from the beginning, so the first start is no day.
    starts = sorted({version.valid_from for book in (old, new) for version in book.versions})
    spans: list[Span] = []
    for at, start in enumerate(starts):
        before, after = old.at(start), new.at(start)
        spans.append(
            Span(
                valid_from=start if at > 0 else None,
                valid_until=starts[at + 1] - 1 if at + 1 < len(starts) else None,
                old_version=before.version,
                new_version=after.version,
                segments=_by_segment(before, after),
            )
        )
    return spans


def reused_names(old: PolicyBook, new: PolicyBook) -> list[str]:
    """Names of versions that stand for other terms in the one policy than in the other.

    A decision records the name of the version that made it, so a name should mean one thing.
    """
    before = {version.version: version for version in old.versions}
    return [
        version.version
        for version in new.versions
        if version.version in before
        and any(segment.changes for segment in _by_segment(before[version.version], version))
    ]


def _by_segment(old: PolicyVersion, new: PolicyVersion) -> list[SegmentChanges]:
    return [
        SegmentChanges(None, changes(old.base, new.base)),
        *(
            SegmentChanges(name, changes(old.of(name), new.of(name)))
            for name in sorted(old.segments.keys() | new.segments.keys())
        ),
    ]


def _amount(text: str | None) -> str | None:
    return None if text is None else decimal_text(Decimal(text))


def _share(share: int | None) -> str | None:
    return None if share is None else decimal_text(Decimal(share) / SHARE_ONE)
