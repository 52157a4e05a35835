"""The partitions of a journal, told as one course of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.credit.effects import Sent
from agents.journal.entries import DIRECT, Entry
from agents.journal.in_order import in_order
from agents.simulate import business_day
from schemas import events as ev
from schemas.events import BusinessDayStarted, Event


def blocked(name: str) -> Event:
    return ev.CustomerBlocked(event_id=name, occurred_at=0, customer_id="C-1", reason="r", by="ann")


def entry(partition: int, offset: int, timestamp: int, event: Event, sent: Sent = DIRECT) -> Entry:
    return Entry(partition, offset, timestamp, "C-1", event, sent)


def test_what_one_partition_has_before_a_day_comes_before_all_that_another_has_after_it() -> None:
    slow = [entry(0, 0, 500, blocked("before")), entry(0, 1, 900, business_day(2))]
    quick = [entry(1, 0, 100, business_day(2)), entry(1, 1, 101, blocked("after"))]
    told = [event.event_id for event in in_order([iter(slow), iter(quick)])]
    assert told == ["before", "day-1970-01-03", "after"]


def test_within_a_day_what_was_written_first_comes_first() -> None:
    one = [entry(0, 0, 10, blocked("a")), entry(0, 1, 30, blocked("c"))]
    other = [entry(1, 0, 20, blocked("b"))]
    assert [event.event_id for event in in_order([iter(one), iter(other)])] == ["a", "b", "c"]


def test_what_was_forwarded_and_what_moved_is_left_out() -> None:
    moved = ev.AccountMoved(
        event_id="m", occurred_at=0, customer_id="C-1", part=1, parts=1, entries=[]
    )
    partition = [
        entry(0, 0, 1, blocked("sent in")),
        entry(0, 1, 2, blocked("forwarded"), Sent("G")),
        entry(0, 2, 3, moved),
    ]
    assert [event.event_id for event in in_order([iter(partition)])] == ["sent in"]


_kinds = st.sampled_from(["day", "event"])


@given(st.lists(st.lists(st.tuples(_kinds, st.integers(0, 50)), max_size=12), max_size=4))
def test_each_partition_keeps_its_order_and_days_only_go_on(
    partitions: list[list[tuple[str, int]]],
) -> None:
    """Whatever the clocks of those who wrote say."""
    journals: list[list[Entry]] = []
    for partition, steps in enumerate(partitions):
        day, journal = 0, []
        for offset, (kind, timestamp) in enumerate(steps):
            day += kind == "day"
            event = business_day(day) if kind == "day" else blocked(f"{partition}-{day}-{offset}")
            journal.append(entry(partition, offset, timestamp, event))
        journals.append(journal)
    told = list(in_order([iter(journal) for journal in journals]))
    day = 0
    for event in told:
        if isinstance(event, BusinessDayStarted):
            assert event.date > day
            day = event.date
        else:
            assert int(event.event_id.split("-")[1]) == day
    for partition, journal in enumerate(journals):
        own = [e.event.event_id for e in journal if not isinstance(e.event, BusinessDayStarted)]
        assert [e.event_id for e in told if e.event_id.startswith(f"{partition}-")] == own
