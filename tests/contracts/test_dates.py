"""Days and instants are UTC, exact, and of one form."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from contracts.event_strategies import DAYS, INSTANTS
from hypothesis import given

from schemas.dates import (
    MalformedDateError,
    format_day,
    format_instant,
    parse_day,
    parse_instant,
)


@given(DAYS)
def test_day_that_is_written_reads_back(day: int) -> None:
    text = format_day(day)
    assert parse_day(text) == day
    assert date.fromisoformat(text) == date(1970, 1, 1) + timedelta(days=day)


@given(INSTANTS)
def test_instant_that_is_written_reads_back(instant: int) -> None:
    text = format_instant(instant)
    assert parse_instant(text) == instant
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
    assert datetime.fromisoformat(text) == moment


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01T00:00:00+00:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.000001000Z", 1),
        ("2026-03-02T09:30:00Z", 1_772_443_800_000_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_instant_is_microseconds_of_utc(text: str, microseconds: int) -> None:
    assert parse_instant(text) == microseconds


def test_instant_is_written_with_six_digits_or_none() -> None:
    assert format_instant(1_772_443_800_000_000) == "2026-03-02T09:30:00Z"
    assert format_instant(1_772_443_800_000_500) == "2026-03-02T09:30:00.000500Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-02",
        "2026-03-02T09:30:00",
        "2026-03-02 09:30:00Z",
        "2026-03-02T09:30Z",
        "2026-03-02T09:30:00+01:00",
        "2026-03-02T24:00:00Z",
        "2026-03-02T09:30:60Z",
        "2026-02-30T09:30:00Z",
        "2026-03-02T09:30:00.0000001Z",
        "2026-03-02T09:30:00.Z",
        "2026-03-02T09:30:00Z\n",
        "٢٠٢٦-03-02T09:30:00Z",
    ],
)
def test_instant_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedDateError):
        parse_instant(text)


@pytest.mark.parametrize(
    "text", ["", "2026-3-2", "20260302", "2026-02-29", "2026-W10-1", "0000-01-01", "2026-03-02 "]
)
def test_day_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedDateError):
        parse_day(text)


@pytest.mark.parametrize("day", [-719_163, 2_932_897, 2**31, -(2**63)])
def test_day_outside_the_calendar_cannot_be_written(day: int) -> None:
    with pytest.raises(MalformedDateError):
        format_day(day)
    with pytest.raises(MalformedDateError):
        format_instant(day * 86_400_000_000)
