"""What the law lets a creditor ask of somebody who pays late: interest, costs, and after which
notice.

The sums stand here; the rates, scales and deadlines, with their sources and the days from which
they hold, are data (`agents/dunning/laws`). Every result says how it came about. Amounts are
integers of minor units; inside a sum they are exact fractions, rounded once, half to even.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date
from fractions import Fraction
from typing import Literal

import msgspec

from schemas.dates import date_of, day_of, format_day
from schemas.events import Day, Minor

Kind = Literal["b2b", "b2c"]
"""Who owes: somebody in business, or a consumer."""

_DAYS_A_YEAR = 365
_WORKING_DAYS_A_WEEK = 5
_PERCENT = 100


class LawMissingError(ValueError):
    """No table says what holds here, on that day; nothing is guessed."""


class Rate(msgspec.Struct, frozen=True):
    """A yearly rate of interest from a day on."""

    since: Day
    percent: Fraction


class Rates(msgspec.Struct, frozen=True):
    """A rate of interest over time, as far as it is known."""

    name: str
    source: str
    rates: tuple[Rate, ...]
    known_until: Day
    """The last day for which the table speaks."""

    def pieces(self, since: Day, until: Day) -> Iterator[tuple[Day, Day, Fraction]]:
        """The stretches of one rate within [since, until]: first day, last day, percent.

        Raises:
            LawMissingError: the table does not speak for all of these days.
        """
        if since < self.rates[0].since or until > self.known_until:
            missing = since if since < self.rates[0].since else max(since, self.known_until + 1)
            raise LawMissingError(
                f"no rate for {self.name} on {format_day(missing)}: the table goes from"
                f" {format_day(self.rates[0].since)} to {format_day(self.known_until)}"
            )
        at = bisect_right(self.rates, since, key=lambda rate: rate.since) - 1
        while since <= until:
            is_last = at + 1 == len(self.rates)
            last = until if is_last else min(until, self.rates[at + 1].since - 1)
            yield since, last, self.rates[at].percent
            since, at = last + 1, at + 1


class InterestLaw(msgspec.Struct, frozen=True):
    """Which interest runs on what is paid late."""

    name: str
    source: str
    rates: Rates
    compounds: bool
    """After each full year the interest of that year bears interest itself. A year then counts from
    the first day of interest, and a full one bears the full rate; else each day bears a 365th.
    """


class InterestLine(msgspec.Struct, frozen=True):
    """The interest of a stretch of days: the first, the last, how many, at which rate, on what."""

    since: Day
    until: Day
    days: int
    percent: Fraction
    base: Minor
    amount: Minor


class InterestClaim(msgspec.Struct, frozen=True):
    """Interest on one claim, and how it came about: the lines add up to the amount."""

    amount: Minor
    law: InterestLaw
    lines: tuple[InterestLine, ...]


class CostStep(msgspec.Struct, frozen=True):
    """Costs of a principal above an amount: a sum, and a percentage of what lies above it."""

    above: Minor
    sum: Minor
    percent: Fraction


class NoticeStart(msgspec.Struct, frozen=True):
    """When the days of a notice begin, by the channel over which it was sent."""

    working_days: int
    """Until it counts as delivered, counted from the day after it was sent."""
    next_day: bool
    """The first day is the one after that, working day or not; else it is that day itself."""


class Notice(msgspec.Struct, frozen=True):
    """A notice without costs that has to come first, with days in which to pay without any."""

    days: int
    starts: dict[str, NoticeStart]
    """By channel."""


class CostLaw(msgspec.Struct, frozen=True):
    """Which costs of collecting may be asked, from a day on. Amounts are in `currency`."""

    name: str
    source: str
    since: Day
    currency: str
    per: Literal["letter", "invoice"]
    """Whether the scale is for the sum of a letter or for each invoice in it."""
    steps: tuple[CostStep, ...]
    least: Minor
    most: Minor | None
    notice: Notice | None


class CostLine(msgspec.Struct, frozen=True):
    """The costs of one principal, and the step of the scale that they come from."""

    principal: Minor
    step: CostStep
    amount: Minor


class CostClaim(msgspec.Struct, frozen=True):
    """Costs of one letter, and how they came about: the lines add up to the amount."""

    amount: Minor
    law: CostLaw
    lines: tuple[CostLine, ...]


class Law(msgspec.Struct, frozen=True):
    """What holds in a country for one kind of debtor."""

    country: str
    kind: Kind
    interest: InterestLaw
    costs: tuple[CostLaw, ...]
    """By the day from which they hold."""

    def costs_on(self, day: Day) -> CostLaw:
        """The costs that may be asked on a day. Raises `LawMissingError` before the first."""
        at = bisect_right(self.costs, day, key=lambda costs: costs.since) - 1
        if at < 0:
            raise LawMissingError(
                f"no law on collection costs in {self.country} ({self.kind}) on {format_day(day)}"
            )
        return self.costs[at]


def interest(law: InterestLaw, principal: Minor, due_on: Day, until: Day) -> InterestClaim:
    """The interest on `principal` from the day after `due_on` up to and including `until`.

    Raises:
        LawMissingError: the rate is not known for all of these days.
    """
    exact, base, shown = Fraction(0), Fraction(principal), 0
    lines = []
    for first, last, days in _years(due_on + 1, until, law):
        of_year = Fraction(0)
        for since, to, percent in law.rates.pieces(first, last):
            of_year += base * percent / _PERCENT * (to - since + 1) / days
            rounded = round(exact + of_year)
            lines.append(
                InterestLine(since, to, to - since + 1, percent, round(base), rounded - shown)
            )
            shown = rounded
        exact += of_year
        if law.compounds:
            base += of_year
    return InterestClaim(shown, law, tuple(lines))


def _years(since: Day, until: Day, law: InterestLaw) -> Iterator[tuple[Day, Day, int]]:
    """The years of a claim, the last perhaps cut off: first day, last day, days of the whole."""
    if not law.compounds:
        if since <= until:
            yield since, until, _DAYS_A_YEAR
        return
    number, first = 0, since
    while first <= until:
        number += 1
        end = _anniversary(since, number)
        yield first, min(end - 1, until), end - first
        first = end


def _anniversary(day: Day, years: int) -> Day:
    """The same day of a later year; 1 March for 29 February where there is none."""
    then = date_of(day)
    leapless = (then.month, then.day) == (2, 29) and not _is_leap(then.year + years)
    later = date(then.year + years, 3, 1) if leapless else then.replace(year=then.year + years)
    return day_of(later)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def costs(law: CostLaw, principals: Sequence[Minor]) -> CostClaim:
    """The costs of one letter that asks for these principals, without interest, all above zero."""
    together = principals if law.per == "invoice" else [sum(principals)]
    lines = tuple(_costs_of(law, principal) for principal in together if principal > 0)
    return CostClaim(sum(line.amount for line in lines), law, lines)


def _costs_of(law: CostLaw, principal: Minor) -> CostLine:
    step = next(step for step in reversed(law.steps) if principal > step.above)
    amount = round(step.sum + (principal - step.above) * step.percent / _PERCENT)
    amount = max(amount, law.least)
    if law.most is not None:
        amount = min(amount, law.most)
    return CostLine(principal, step, amount)


def days_to_pay(
    notice: Notice, channel: str, sent_on: Day, holidays: frozenset[Day]
) -> tuple[Day, Day]:
    """The first and the last day on which who got the notice can pay without costs.

    Args:
        notice: what the law asks.
        channel: over which it was sent.
        sent_on: the day on which it was.
        holidays: of the country, Saturdays and Sundays aside.

    Raises:
        LawMissingError: the law's table does not say when such a message arrives.
    """
    start = notice.starts.get(channel)
    if start is None:
        raise LawMissingError(f"the law does not say when a notice by {channel!r} arrives")
    delivered, left = sent_on, start.working_days
    while left:
        delivered += 1
        left -= is_working_day(delivered, holidays)
    first = delivered + start.next_day
    return first, first + notice.days - 1


def is_working_day(day: Day, holidays: frozenset[Day]) -> bool:
    """Neither a Saturday nor a Sunday nor one of these holidays."""
    weekday = (day + 3) % 7  # 1 January 1970 was a Thursday
    return weekday < _WORKING_DAYS_A_WEEK and day not in holidays
