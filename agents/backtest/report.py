"""What changes from one policy to another, from two courses of the same events. Pure.

Definitions, each per segment and currency:

* an order is *decided differently* when its decisions, or how long it was held, differ;
* *newly held*: held under the proposed policy and never under the current one; *no longer held*:
  the other way round; *held longer* and *held shorter*: held under both; *other reasons*: held as
  long, for other reasons;
* *revenue delayed*: the amounts of orders newly held or held longer, each once; its days are the
  additional days on hold, weighted by amount;
* *exposure not taken*: the amounts of orders newly held. Of it *at risk*: of orders whose invoice
  was, in what really happened, written off or paid more than so many days late. *Exposure taken on*
  is the same of orders no longer held.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from agents.backtest.courses import OrderName, Stay, TwoCourses
from schemas.events import Instant, Minor

NEWLY_HELD = "newly held"
NO_LONGER_HELD = "no longer held"
HELD_LONGER = "held longer"
HELD_SHORTER = "held shorter"
OTHER_REASONS = "other reasons"
_MICROSECONDS_PER_DAY = 86_400_000_000


class OrderChange(msgspec.Struct, frozen=True):
    """An order that is decided differently. Days on hold are to the hundredth."""

    customer_id: str
    order_id: str
    segment: str
    currency: str
    amount: Minor
    first_at: Instant
    change: str
    first_current: str
    first_proposed: str
    reasons_current: list[str]
    reasons_proposed: list[str]
    days_held_current: float
    days_held_proposed: float
    at_risk: bool


class SegmentReport(msgspec.Struct):
    """The sums of one segment in one currency; amounts in minor units."""

    segment: str
    currency: str
    orders: int = 0
    newly_held: int = 0
    no_longer_held: int = 0
    held_longer: int = 0
    held_shorter: int = 0
    other_reasons: int = 0
    revenue_delayed: Minor = 0
    delayed_amount_days: float = 0.0
    revenue_earlier: Minor = 0
    earlier_amount_days: float = 0.0
    exposure_not_taken: Minor = 0
    at_risk_not_taken: Minor = 0
    exposure_taken_on: Minor = 0
    at_risk_taken_on: Minor = 0

    @property
    def days_delayed(self) -> float:
        """Additional days on hold, weighted by amount."""
        return self.delayed_amount_days / self.revenue_delayed if self.revenue_delayed else 0.0

    @property
    def days_earlier(self) -> float:
        return self.earlier_amount_days / self.revenue_earlier if self.revenue_earlier else 0.0


class AlertReport(msgspec.Struct):
    """Alerts of one threshold in one segment; of groups, in the segment without a name."""

    segment: str
    threshold: str
    current: int = 0
    proposed: int = 0
    more: int = 0
    fewer: int = 0


class Report(msgspec.Struct, frozen=True):
    """All that changes: the orders one by one, the sums per segment, the alerts."""

    orders: list[OrderChange]
    segments: list[SegmentReport]
    alerts: list[AlertReport]


def report(courses: TwoCourses, at_risk_days: int) -> Report:
    """Compare two courses.

    Args:
        courses: what was decided under each policy.
        at_risk_days: how late an invoice has to be paid to count as at risk.
    """
    if courses.proposed is None:
        return Report([], [], [])
    sums: dict[tuple[str, str], SegmentReport] = {}
    changes: list[OrderChange] = []
    mine, other = courses.current.orders, courses.proposed.orders
    for name in mine.keys() | other.keys():
        stay = mine.get(name) or other[name]
        place = (stay.segment, stay.currency)
        sum_of = sums.setdefault(place, SegmentReport(*place))
        sum_of.orders += 1
        change = _change(courses, name, mine.get(name), other.get(name), at_risk_days)
        if change is not None:
            changes.append(change)
            _add(sum_of, change)
    changes.sort(key=lambda one: (one.first_at, one.customer_id, one.order_id))
    return Report(changes, [sums[place] for place in sorted(sums)], _alerts(courses))


def _change(
    courses: TwoCourses,
    name: OrderName,
    current: Stay | None,
    proposed: Stay | None,
    at_risk_days: int,
) -> OrderChange | None:
    """How the order is decided differently, if it is. Under one policy it may not be decided at
    all after the courses part, because nothing changed for it.
    """
    known = current or proposed
    assert known is not None  # noqa: S101  one of them has it
    nothing = Stay(known.segment, known.amount, known.currency, known.first_at, [])
    current, proposed = current or nothing, proposed or nothing
    days_current = current.held_until(courses.end) / _MICROSECONDS_PER_DAY
    days_proposed = proposed.held_until(courses.end) / _MICROSECONDS_PER_DAY
    if current.was_held is not proposed.was_held:
        kind = NEWLY_HELD if proposed.was_held else NO_LONGER_HELD
    elif days_proposed != days_current:
        kind = HELD_LONGER if days_proposed > days_current else HELD_SHORTER
    elif current.said != proposed.said:
        kind = OTHER_REASONS
    else:
        return None
    return OrderChange(
        customer_id=name[0],
        order_id=name[1],
        segment=known.segment,
        currency=known.currency,
        amount=max(current.amount, proposed.amount),
        first_at=known.first_at,
        change=kind,
        first_current=current.said[0][0] if current.said else "",
        first_proposed=proposed.said[0][0] if proposed.said else "",
        reasons_current=_reasons(current),
        reasons_proposed=_reasons(proposed),
        days_held_current=round(days_current, 2),
        days_held_proposed=round(days_proposed, 2),
        at_risk=courses.went_bad(name, at_risk_days),
    )


def _reasons(stay: Stay) -> list[str]:
    """Every reason that held it, in the order in which they came up."""
    return list(dict.fromkeys(reason for _, reasons in stay.said for reason in reasons))


def _add(sum_of: SegmentReport, one: OrderChange) -> None:
    days = one.days_held_proposed - one.days_held_current
    match one.change:
        case "newly held":
            sum_of.newly_held += 1
            sum_of.exposure_not_taken += one.amount
            sum_of.at_risk_not_taken += one.amount if one.at_risk else 0
        case "no longer held":
            sum_of.no_longer_held += 1
            sum_of.exposure_taken_on += one.amount
            sum_of.at_risk_taken_on += one.amount if one.at_risk else 0
        case "held longer":
            sum_of.held_longer += 1
        case "held shorter":
            sum_of.held_shorter += 1
        case _:
            sum_of.other_reasons += 1
    if one.change in (NEWLY_HELD, HELD_LONGER):
        sum_of.revenue_delayed += one.amount
        sum_of.delayed_amount_days += one.amount * days
    elif one.change in (NO_LONGER_HELD, HELD_SHORTER):
        sum_of.revenue_earlier += one.amount
        sum_of.earlier_amount_days -= one.amount * days


def _alerts(courses: TwoCourses) -> list[AlertReport]:
    assert courses.proposed is not None  # noqa: S101  the caller has looked
    current, proposed = courses.current.raised, courses.proposed.raised
    found: dict[tuple[str, str], AlertReport] = defaultdict(lambda: AlertReport("", ""))
    for key in current.keys() | proposed.keys():
        segment, _, threshold = key
        one = found[segment, threshold]
        one.segment, one.threshold = segment, threshold
        one.current += current[key]
        one.proposed += proposed[key]
        one.more += max(proposed[key] - current[key], 0)
        one.fewer += max(current[key] - proposed[key], 0)
    return [found[place] for place in sorted(found)]
