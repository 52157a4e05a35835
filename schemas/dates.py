"""Days and instants as text and as integers: RFC 3339, UTC only."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache

from schemas.events import Day, Instant

MICROSECONDS_PER_DAY = 86_400_000_000
_MICROSECONDS_PER_SECOND = 1_000_000
_MICROSECONDS_PER_MINUTE = 60 * _MICROSECONDS_PER_SECOND
_MINUTES_PER_DAY = 24 * 60
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|[+-]00:00)",
    re.ASCII,
)


class MalformedDateError(ValueError):
    """The text is no day or instant of the form that the contract asks for."""


def day_of(day: date) -> Day:
    """Days since 1970-01-01 of a date."""
    return day.toordinal() - _EPOCH_ORDINAL


def date_of(day: Day) -> date:
    """The date of a day. Raises `ValueError` or `OverflowError` outside the years 1 to 9999."""
    return date.fromordinal(day + _EPOCH_ORDINAL)


# Two years of days are 731; most events of a run fall on a few of them.
@lru_cache(maxsize=4096)
def parse_day(text: str) -> Day:
    """Days since 1970-01-01 of `YYYY-MM-DD`.

    Raises:
        MalformedDateError: another form, or no day of the calendar.
    """
    if _DAY.fullmatch(text) is None:
        raise MalformedDateError(f"{text[:40]!r} is not a date YYYY-MM-DD")
    try:
        return day_of(date.fromisoformat(text))
    except ValueError:
        raise MalformedDateError(f"{text!r} is no day of the calendar") from None


@lru_cache(maxsize=4096)
def format_day(day: Day) -> str:
    """`YYYY-MM-DD`.

    Raises:
        MalformedDateError: not in the years 1 to 9999.
    """
    try:
        return date_of(day).isoformat()
    except (ValueError, OverflowError):
        raise MalformedDateError(f"day {day} is not in the years 1 to 9999") from None


def parse_instant(text: str) -> Instant:
    """Microseconds since 1970-01-01T00:00:00Z of an RFC 3339 time in UTC (`Z` or `+00:00`).

    Raises:
        MalformedDateError: another form, another offset, no time of the calendar (leap seconds too,
            as nothing we write to knows them), or finer than a microsecond.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise MalformedDateError(
            f"{text[:40]!r} is not a time YYYY-MM-DDThh:mm:ssZ (RFC 3339, UTC)"
        )
    day, hour, minute, second, fraction = match.groups(default="")
    if fraction[6:].strip("0"):
        raise MalformedDateError(f"{text!r} is finer than a microsecond")
    try:
        moment = datetime(1970, 1, 1, int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        raise MalformedDateError(f"{text!r} is no time of the calendar") from None
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    microseconds = int(fraction[:6].ljust(6, "0"))
    return parse_day(day) * MICROSECONDS_PER_DAY + seconds * _MICROSECONDS_PER_SECOND + microseconds


def format_instant(instant: Instant) -> str:
    """`YYYY-MM-DDThh:mm:ssZ`, with six digits behind the second when it is not a whole one.

    Raises:
        MalformedDateError: not in the years 1 to 9999.
    """
    minute, rest = divmod(instant, _MICROSECONDS_PER_MINUTE)
    second, microseconds = divmod(rest, _MICROSECONDS_PER_SECOND)
    if microseconds:
        return f"{_minute(minute)}{second:02d}.{microseconds:06d}Z"
    return f"{_minute(minute)}{second:02d}Z"


# Events of a live feed fall into the minute that is, those of a replay into few at a time.
@lru_cache(maxsize=1024)
def _minute(minute: int) -> str:
    day, of_day = divmod(minute, _MINUTES_PER_DAY)
    return f"{format_day(day)}T{of_day // 60:02d}:{of_day % 60:02d}:"
