"""A customer's year, from ClickHouse, as a chart that needs no script."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from agents.console.telling import Telling
from schemas.events import Day
from schemas.money import exponent
from streams.errors import HeadroomError
from streams.settings import Settings

logger = logging.getLogger(__name__)

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 900, 260, 90, 12, 30
_GRID = 4


class DayFigures(NamedTuple):
    """The end of a day, in major units."""

    day: Day
    exposure: Decimal
    overdue: Decimal
    limit: Decimal | None


class HistoryUnreachableError(HeadroomError):
    """ClickHouse does not answer, or is not there."""


Year = Callable[[str, str], list[DayFigures]]
"""The days of a customer in a currency; raises `HistoryUnreachableError`."""


def year_in(settings: Settings) -> Year:
    """Asks the ClickHouse of the settings: a server, or the embedded engine where a process holds
    it open. The console never opens that itself: a worker could not have it any more.
    """

    def year(customer_id: str, currency: str) -> list[DayFigures]:
        from agents.console.year import year_of  # noqa: PLC0415  200 MB, for who asks

        return year_of(settings, customer_id, currency)

    return year


@dataclass(frozen=True)
class Chart:
    """Figures and paths of the picture, in its own units."""

    title: str
    width: int
    height: int
    left: int
    grid: list[dict[str, Any]]
    months: list[dict[str, Any]]
    area: str
    late: str
    limit: str
    rows: list[dict[str, str]]


def chart_of(days: list[DayFigures], currency: str, telling: Telling) -> Chart | None:
    """The chart of a year; None for a year without a day."""
    if not days:
        return None
    top = max(max(one.exposure, one.limit or Decimal(0), one.overdue) for one in days)
    highest = _nice(top)
    first, last = days[0].day, max(days[-1].day, days[0].day + 1)

    def x(day: Day) -> float:
        return round(_LEFT + (day - first) / (last - first) * (_WIDTH - _LEFT), 1)

    def y(amount: Decimal) -> float:
        room = _HEIGHT - _TOP - _BOTTOM
        return round(_TOP + room * (1 - float(max(amount, Decimal(0)) / highest)), 1)

    def money(amount: Decimal | None) -> str:
        if amount is None:
            return "–"
        return telling.money(int(amount.scaleb(exponent(currency))), currency)

    floor = y(Decimal(0))
    exposure = _steps([(x(one.day), y(one.exposure)) for one in days])
    months = [one.day for one in days if telling.is_first_of_month(one.day)]
    ends = [one for one in days if telling.is_first_of_month(one.day + 1)]
    if days[-1] not in ends:
        ends.append(days[-1])
    return Chart(
        title=telling.w.history_of.format(
            first=telling.day(days[0].day), last=telling.day(days[-1].day)
        ),
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        grid=[
            {"y": y(highest * n / _GRID), "text": telling.count(float(highest * n / _GRID))}
            for n in range(_GRID + 1)
        ],
        months=[{"x": x(day), "text": telling.month(day)} for day in months],
        area=f"{exposure} V{floor} H{x(days[0].day)} Z",
        late=_steps([(x(one.day), y(one.overdue)) for one in days]),
        limit=_steps([(x(one.day), y(one.limit)) for one in days if one.limit is not None]),
        rows=[
            {
                "day": telling.day(one.day),
                "exposure": money(one.exposure),
                "overdue": money(one.overdue),
                "limit": money(one.limit),
            }
            for one in ends
        ],
    )


def _steps(points: list[tuple[float, float]]) -> str:
    """A path that goes up and down where a day begins; days that change nothing are left out."""
    if not points:
        return ""
    path, at = [f"M{points[0][0]} {points[0][1]}"], points[0][1]
    for x, y in points[1:]:
        if y != at:
            path.append(f"H{x}V{y}")
            at = y
    return "".join([*path, f"H{points[-1][0]}"])


def _nice(top: Decimal) -> Decimal:
    """A round amount that is not below the highest."""
    if top <= 0:
        return Decimal(1)
    unit = Decimal(10) ** (top.adjusted())
    for step in (1, 2, 4, 5, 10):
        if unit * step >= top:
            return unit * step
    return unit * 10
