"""Digests and quiet hours, on the recipient's clock, also when it is put forward or back."""

from __future__ import annotations

import pytest
from alerts.told import AMSTERDAM, HOUR, MINUTE
from hypothesis import given
from hypothesis import strategies as st

from agents.alerts.timing import AT_ONCE, Digest, Quiet, due_at, end_of_quiet, is_quiet
from schemas.dates import format_instant, parse_instant

_NIGHT = Quiet(20 * 60, 7 * 60)
_LUNCH = Quiet(12 * 60, 13 * 60)


@pytest.mark.parametrize(
    ("at", "digest", "quiet", "due"),
    [
        ("2026-03-02T09:31:10Z", AT_ONCE, None, "2026-03-02T09:31:10Z"),
        ("2026-03-02T09:31:10Z", Digest(every=30), None, "2026-03-02T10:00:00Z"),
        ("2026-03-02T09:30:00Z", Digest(every=30), None, "2026-03-02T09:30:00Z"),
        ("2026-03-02T09:30:00.000001Z", Digest(every=30), None, "2026-03-02T10:00:00Z"),
        ("2026-03-02T22:50:00Z", Digest(every=45), None, "2026-03-02T23:00:00Z"),  # midnight there
        ("2026-03-02T06:59:00Z", Digest(daily=480), None, "2026-03-02T07:00:00Z"),
        ("2026-03-02T07:00:00Z", Digest(daily=480), None, "2026-03-02T07:00:00Z"),
        ("2026-03-02T07:00:01Z", Digest(daily=480), None, "2026-03-03T07:00:00Z"),
        ("2026-03-02T18:59:59Z", AT_ONCE, _NIGHT, "2026-03-02T18:59:59Z"),
        ("2026-03-02T19:00:00Z", AT_ONCE, _NIGHT, "2026-03-03T06:00:00Z"),
        ("2026-03-03T02:00:00Z", AT_ONCE, _NIGHT, "2026-03-03T06:00:00Z"),
        ("2026-03-02T18:40:00Z", Digest(every=30), _NIGHT, "2026-03-03T06:00:00Z"),
        ("2026-03-02T11:30:00Z", AT_ONCE, _LUNCH, "2026-03-02T12:00:00Z"),
        # The clock goes from 02:00 to 03:00, and from 03:00 to 02:00.
        ("2026-03-29T00:40:00Z", Digest(every=30), None, "2026-03-29T01:00:00Z"),
        ("2026-03-28T22:00:00Z", AT_ONCE, Quiet(22 * 60, 150), "2026-03-29T01:30:00Z"),
        ("2026-10-25T01:10:00Z", Digest(every=60), None, "2026-10-25T02:00:00Z"),
        ("2026-10-25T00:10:00Z", AT_ONCE, Quiet(120, 150), "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:10:00Z", AT_ONCE, Quiet(120, 150), "2026-10-25T01:30:00Z"),
    ],
)
def test_when_it_leaves(at: str, digest: Digest, quiet: Quiet | None, due: str) -> None:
    assert format_instant(due_at(parse_instant(at), AMSTERDAM, digest, quiet)) == due


_INSTANTS = st.integers(
    parse_instant("2025-01-01T00:00:00Z"), parse_instant("2027-12-31T00:00:00Z")
)
_ZONES = st.sampled_from(
    ["UTC", AMSTERDAM, "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Tokyo"]
)
_MINUTES = st.integers(0, 1439)
_DIGESTS = st.one_of(
    st.just(AT_ONCE),
    st.builds(Digest, every=st.integers(1, 1440)),
    st.builds(Digest, daily=_MINUTES),
)
_QUIET = st.none() | st.builds(Quiet, _MINUTES, _MINUTES)


@given(_INSTANTS, _ZONES, _DIGESTS, _QUIET)
def test_it_leaves_later_soon_and_in_no_quiet_hour(
    at: int, zone: str, digest: Digest, quiet: Quiet | None
) -> None:
    due = due_at(at, zone, digest, quiet)
    assert at <= due <= at + 51 * HOUR
    assert not is_quiet(due, zone, quiet)


@given(_INSTANTS, _ZONES, _DIGESTS, _QUIET, st.integers(0, 120))
def test_what_comes_later_leaves_no_earlier(
    at: int, zone: str, digest: Digest, quiet: Quiet | None, minutes: int
) -> None:
    """But for the hour that comes twice when a clock is put back."""
    later = due_at(at + minutes * MINUTE, zone, digest, quiet)
    assert later >= due_at(at, zone, digest, quiet) - HOUR


@given(_INSTANTS, _ZONES, _QUIET)
def test_outside_quiet_hours_nothing_waits_for_their_end(
    at: int, zone: str, quiet: Quiet | None
) -> None:
    end = end_of_quiet(at, zone, quiet)
    assert (end == at) is not is_quiet(at, zone, quiet)
