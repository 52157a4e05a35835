"""Records of several partitions in the order of time: none lost, none twice, each partition's own
order kept.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.fast_lane.fetched import RECORD_BYTES, Fetched, fetched, split
from streams.fast_lane.oldest_first import OldestFirst
from streams.record import Record

NOW = 10_000
VALUE = b"12345"


def lot(*timestamps: int, start: int = 0, end: int | None = None) -> Fetched:
    """One record at each instant, its offset its place."""
    records = [
        Record("t", 0, start + n, timestamp, None, VALUE, [])
        for n, timestamp in enumerate(timestamps)
    ]
    return fetched(start, start + len(records) if end is None else end, records, 1)


def times(taken: Fetched) -> list[int]:
    return [record.timestamp for record in taken.records]


def test_the_partition_whose_next_record_is_the_oldest_goes_first() -> None:
    line = OldestFirst[str]()
    line.put("orders", lot(5_000, 5_010), NOW)
    line.put("payments", lot(1_000, 1_010), NOW)
    assert [line.take()[0] for _ in range(2)] == ["payments", "orders"]
    assert not line


def test_it_goes_as_far_as_the_next_of_another_and_a_little_beyond() -> None:
    line = OldestFirst[str]()
    line.put("orders", lot(1_000, 2_000, 3_000, 4_000), NOW)
    line.put("payments", lot(1_900, 3_900), NOW)
    taken = [line.take() for _ in range(4)]
    assert [(whose, times(one)) for whose, one in taken] == [
        ("orders", [1_000, 2_000]),
        ("payments", [1_900]),
        ("orders", [3_000, 4_000]),
        ("payments", [3_900]),
    ]


def test_alone_it_goes_as_a_whole() -> None:
    line = OldestFirst[str]()
    whole = lot(1_000, 9_000)
    line.put("orders", whole, NOW)
    assert line.take() == ("orders", whole)


def test_a_sender_whose_clock_is_ahead_does_not_wait_for_ever() -> None:
    line = OldestFirst[str]()
    line.put("ahead", lot(99_000), 2_000)
    line.put("orders", lot(1_000, 3_000), NOW)
    assert [line.take()[0] for _ in range(3)] == ["orders", "ahead", "orders"]


def test_what_holds_no_record_waits_for_none() -> None:
    line = OldestFirst[str]()
    line.put("orders", lot(1_000), NOW)
    line.put("marker", lot(start=7, end=8), NOW)
    assert line.take()[0] == "marker"


def test_nothing_of_a_partition_that_was_given_up_comes() -> None:
    line = OldestFirst[str]()
    line.put("orders", lot(1_000), NOW)
    line.put("payments", lot(2_000), NOW)
    line.drop("orders")
    line.drop("never there")
    assert line.bytes_of("orders") == 0
    assert line.take()[0] == "payments"
    with pytest.raises(ValueError, match="empty"):
        line.take()


def test_split_leaves_a_hole_with_the_first_half() -> None:
    whole = fetched(3, 12, [Record("t", 0, offset, 1, None, None, []) for offset in (4, 8, 9)], 7)
    first, rest = split(whole, 1)
    assert (first.start, first.end, len(first.records), first.size) == (3, 8, 1, RECORD_BYTES)
    assert (rest.start, rest.end, len(rest.records)) == (8, 12, 2)
    assert first.opening == rest.opening == 7


PARTITIONS = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.lists(st.integers(0, 4_000), max_size=6), min_size=1, max_size=4),
    min_size=1,
)


@given(PARTITIONS, st.integers(0, 5_000))
def test_whatever_waits_each_record_comes_once_in_its_order(
    partitions: dict[str, list[list[int]]], now: int
) -> None:
    line = OldestFirst[str]()
    for whose, lots in partitions.items():
        at = 0
        for timestamps in lots:
            line.put(whose, lot(*timestamps, start=at), now)
            at += len(timestamps)
    taken: dict[str, list[Fetched]] = {whose: [] for whose in partitions}
    while line:
        oldest = min(line._next.values())
        whose, one = line.take()
        if one.records:
            assert min(one.records[0].timestamp, now) == oldest
        taken[whose].append(one)
    for whose, lots in partitions.items():
        assert [t for one in taken[whose] for t in times(one)] == [t for one in lots for t in one]
        assert all(one.end == two.start for one, two in pairwise(taken[whose]))
        assert line.bytes_of(whose) == 0
