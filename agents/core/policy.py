"""The policy: every number that credit control turns on. None of them stands in code.

A policy file has versions, each valid from a day on, and each version has terms for every segment
of customers. `PolicyBook` finds the terms for a customer on a day; the day is that of the account
(the business day of its partition), so that a replay decides as it was decided then. How a file is
read is in `agents.core.policy_text`.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import ROUND_DOWN, Decimal
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from schemas.events import Day
from schemas.money import exponent

if TYPE_CHECKING:  # what stands in the core knows no room
    from agents.dunning.book import DunningBook

SHARE_ONE = 10_000
"""Shares are kept as ten-thousandths, so that comparing them needs integers only."""
ALWAYS: Day = -(2**31)
"""The day from which the first version of a policy is valid."""


class Threshold(msgspec.Struct, frozen=True):
    """A share of the limit that raises an alert: as people write it, and in ten-thousandths."""

    label: str
    share: int


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one segment in one version, ready for the rules.

    Amounts are decimal texts in major units of `currency`, or of whatever currency the account has
    when that is None (`Case.policy_amount` turns them into money). Shares are in ten-thousandths.
    None switches a rule off.
    """

    version: str
    currency: str | None
    default_limit: str | None
    cap_by_insurance: bool
    own_risk_margin: int
    prepayment: bool
    prepayment_after_write_off: bool
    held_orders_consume: bool
    strict_fifo: bool
    net_of_vat: bool
    shipping_horizon_days: int | None
    thresholds: tuple[Threshold, ...]
    rearm: int
    forecast_days: int
    max_overdue_days: int
    min_overdue_amount: str
    overdue_above_utilisation: int | None
    defer_promised: bool
    block_from_level: int | None
    max_extension_days: int | None
    authority: dict[str, str]
    four_eyes_above: str | None
    validity_days: int
    recheck_tolerance: int
    fx_max_age_days: int
    fx_pivot: str
    payments_feed_minutes: int | None
    small_balance: str
    remember_days: int


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The terms from one day on: of all segments, and `base` for those without terms of their
    own.
    """

    version: str
    valid_from: Day
    base: Policy
    segments: dict[str, Policy]

    def of(self, segment: str) -> Policy:
        return self.segments.get(segment, self.base)


class PolicyBook:
    """A policy file: its versions, by the day from which they are valid; and by what is dunned."""

    def __init__(
        self, versions: tuple[PolicyVersion, ...], dunning: DunningBook | None = None
    ) -> None:
        self.versions = versions
        self.dunning = dunning
        """None: nobody is dunned."""
        self._starts = [version.valid_from for version in versions]

    def at(self, day: Day) -> PolicyVersion:
        """The version in force on a day."""
        if len(self.versions) == 1:
            return self.versions[0]
        return self.versions[max(bisect_right(self._starts, day) - 1, 0)]

    def changes_within(self, after: Day, until: Day) -> bool:
        """Whether another version comes into force on a day later than `after`, up to `until`."""
        return self.at(after) is not self.at(until)

    def followed_by(self, other: PolicyBook, day: Day) -> PolicyBook:
        """What holds when the other policy takes over on `day`."""
        begins = msgspec.structs.replace(other.at(day), valid_from=day)
        earlier = [version for version in self.versions if version.valid_from < day]
        later = [version for version in other.versions if version.valid_from > day]
        return PolicyBook((*earlier, begins, *later), self.dunning)

    def with_dunning(self, dunning: DunningBook | None) -> PolicyBook:
        """The same policy, and by what is dunned."""
        return PolicyBook(self.versions, dunning)


@cache
def in_minor(amount: str, currency: str) -> int:
    """`amount` in major units as minor units of `currency`, rounded down (0.05 is 0 in JPY).

    Raises `UnknownCurrencyError`.
    """
    return int(Decimal(amount).scaleb(exponent(currency)).to_integral_value(ROUND_DOWN))
