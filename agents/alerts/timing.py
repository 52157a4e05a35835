"""When somebody wants to be told: digests and quiet hours. Pure; the time is handed in.

All is counted in the recipient's own time of day. Where a clock is put forward an hour is missing,
and what would leave in it leaves right behind; where it is put back an hour comes twice, and what
is due in the second leaves at once.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from schemas.events import Instant

_SECOND = 1_000_000
MINUTES_PER_DAY = 1440
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Digest(msgspec.Struct, frozen=True):
    """Every `every` minutes from midnight, or daily at the minute `daily` of the day; with neither
    at once, each by itself.
    """

    every: int = 0
    daily: int | None = None

    @property
    def gathers(self) -> bool:
        """Whether what is due leaves together."""
        return bool(self.every) or self.daily is not None


AT_ONCE = Digest()


class Quiet(msgspec.Struct, frozen=True):
    """From the minute `start` of the day until before the minute `end`, over midnight if that is
    earlier.
    """

    start: int
    end: int

    def holds(self, minute: int) -> bool:
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def due_at(at: Instant, zone: str, digest: Digest, quiet: Quiet | None) -> Instant:
    """When what comes at `at` is to leave: with the next digest, and in no quiet hour."""
    due = at
    if digest.daily is not None:
        day, minute, exact = _local(due, zone)
        ahead = digest.daily > minute or (digest.daily == minute and exact)
        due = max(at, _instant(day if ahead else day + timedelta(days=1), digest.daily, zone))
    elif digest.every:
        day, minute, exact = _local(due, zone)
        wanted = minute if exact else minute + 1
        wanted = -(-wanted // digest.every) * digest.every
        if wanted >= MINUTES_PER_DAY:
            day, wanted = day + timedelta(days=1), 0
        due = max(at, _instant(day, wanted, zone))
    return end_of_quiet(due, zone, quiet)


def end_of_quiet(at: Instant, zone: str, quiet: Quiet | None) -> Instant:
    """The end of the quiet hours that hold at `at`; `at` itself when none do."""
    while quiet is not None and is_quiet(at, zone, quiet):
        day, minute, _ = _local(at, zone)
        day = day if minute < quiet.end else day + timedelta(days=1)
        # Where the clock is put back just then, the minute comes a second time.
        at = max(_instant(day, quiet.end, zone), at + 60 * _SECOND)
    return at


def is_quiet(at: Instant, zone: str, quiet: Quiet | None) -> bool:
    return quiet is not None and quiet.holds(_local(at, zone)[1])


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local(at: Instant, zone: str) -> tuple[date, int, bool]:
    """Day and minute of the day on the clock there, and whether the minute begins just then."""
    there = (_EPOCH + timedelta(microseconds=at)).astimezone(_zone(zone))
    return there.date(), there.hour * 60 + there.minute, at % (60 * _SECOND) == 0


def _instant(day: date, minute: int, zone: str) -> Instant:
    there = datetime(
        day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=_zone(zone)
    ).astimezone(UTC)
    return (there - _EPOCH) // timedelta(microseconds=1)
