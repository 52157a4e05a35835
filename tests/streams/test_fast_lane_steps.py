"""What of the fetched records becomes a step: all that is new, and nothing with a hole."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.fast_lane.fetched import Fetched
from streams.fast_lane.outlet import Flight, Outgoing
from streams.fast_lane.partition import (
    GapError,
    LedgerPartition,
    PassPartition,
    StepAbandonedError,
    unseen,
)
from streams.fast_lane.store import Memory, PartitionStore
from streams.fast_lane.transaction import CommitError


class Bytes:
    def encode(self, _key: str, value: bytes) -> bytes:
        return value

    def decode(self, _key: str, raw: bytes) -> bytes:
        return raw


class Recorded:
    """A guarantee that only remembers what it was given."""

    def __init__(self) -> None:
        self.flight = Flight()
        self.hold: threading.Event | None = None
        """Until it is set, commits do not end."""
        self.sent: list[Outgoing] = []
        self.changes: list[Any] = []
        self.commits: list[tuple[int, list[Outgoing]]] = []

    def send(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)

    def seal(self) -> Flight:
        sealed, self.flight = self.flight, Flight()
        return sealed

    def commit(self, flight: Flight, changes: Any, next_offset: int, latest: Any) -> int:
        del flight
        if self.hold is not None:
            assert self.hold.wait(5)
        self.changes.append(changes)
        self.commits.append((next_offset, list(latest)))
        return len(self.commits)

    def close(self) -> None:
        pass


class TouchedKeys:
    """Says each touched key with its value now, and notes how far each commit goes."""

    def __init__(self) -> None:
        self.closed: list[int | None] = []

    def figures(self, store: PartitionStore, keys: Any) -> list[Outgoing]:
        return [Outgoing("figures", key.encode(), store.get(key), []) for key in keys]

    def closing(self, store: PartitionStore) -> None:
        self.closed.append(store.next_offset)


@pytest.fixture
def books() -> TouchedKeys:
    return TouchedKeys()


TOLD: list[tuple[TP, int]] = []
"""What the consumer group was told."""


async def tell(tp: TP, offset: int) -> None:
    TOLD.append((tp, offset))


@pytest.fixture
def partition(tmp_path: Path, books: TouchedKeys) -> Iterator[LedgerPartition]:
    memory = Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    store = PartitionStore(tmp_path, Bytes(), memory)
    with ThreadPoolExecutor(1) as executor:
        yield LedgerPartition(TP("journal", 0), store, Recorded(), 100, executor, tell, books)
    store.close()


def record(offset: int, origin: str | None = None) -> Any:
    headers = () if origin is None else (("headroom_origin", origin.encode()),)
    return SimpleNamespace(offset=offset, headers=headers, value=b"v", timestamp=0)


def fetched(start: int, end: int) -> Fetched:
    return Fetched(start, end, [record(offset) for offset in range(start, end)], end - start)


def test_records_from_where_the_state_stands_are_all_taken(partition: LedgerPartition) -> None:
    assert [r.offset for r in unseen(partition, fetched(100, 103))] == [100, 101, 102]


def test_what_is_in_the_state_is_left_out(partition: LedgerPartition) -> None:
    assert [r.offset for r in unseen(partition, fetched(97, 102))] == [100, 101]
    assert not unseen(partition, fetched(90, 95))


def test_a_hole_before_the_records_is_never_passed_over(partition: LedgerPartition) -> None:
    with pytest.raises(GapError, match="journal-0: records 100 to 100 are missing"):
        unseen(partition, fetched(101, 105))


def test_a_hole_in_the_log_itself_is_none(partition: LedgerPartition) -> None:
    """Compaction and transaction markers take offsets: what counts is where the consumer stood."""
    log = Fetched(100, 110, [record(104), record(108)], 2)
    assert [r.offset for r in unseen(partition, log)] == [104, 108]


def test_repeats_of_an_input_record_are_left_out_of_the_step(partition: LedgerPartition) -> None:
    """Also when an earlier worker's repeats come in between, and for each input by itself."""
    step = [
        record(100, "orders@u:0:7"),
        record(101, "orders@u:0:8"),
        record(102, "orders@u:0:7"),
        record(103, "orders@u:1:7"),
        record(104, "orders@other:0:7"),
        record(105),
        record(106, "orders@u:0:8"),
        record(107, "orders@u:0:9"),
    ]
    batch = partition.begin(step)
    assert [r.offset for r in batch] == [100, 101, 103, 104, 105, 107]


async def commit(partition: LedgerPartition, end: int) -> None:
    partition.finish(end, 10)
    await partition.commit()


def test_a_step_in_the_agents_hands_is_not_committed(partition: LedgerPartition) -> None:
    async def story() -> None:
        batch = partition.begin([record(100)])
        batch.ledger.put("A", b"half")
        committing = asyncio.create_task(partition.commit())
        await asyncio.sleep(0.02)
        assert not committing.done()
        batch.ledger.put("A", b"whole")
        partition.finish(101, 10)
        await committing
        guarantee: Any = partition._guarantee
        assert guarantee.changes[-1][b"A"] == b"whole"

    asyncio.run(story())


def test_what_a_step_publishes_leaves_together_when_it_is_done(
    partition: LedgerPartition,
) -> None:
    guarantee: Any = partition._guarantee
    first, second = (Outgoing("out", key, b"", []) for key in (b"1", b"2"))
    batch = partition.begin([record(100)])
    batch.publish(first)
    batch.publish(second)
    assert guarantee.sent == []
    partition.finish(101, 10)
    assert guarantee.sent == [first, second]
    partition.begin([record(101)])
    partition.finish(102, 10)
    assert guarantee.sent == [first, second]


def test_figures_are_said_once_per_commit_and_before_a_day_begins(
    partition: LedgerPartition, books: TouchedKeys
) -> None:
    async def story() -> None:
        batch = partition.begin([record(100)])
        batch.ledger.put("A", b"1")
        batch.touch("A")
        batch.touch("A")
        batch.close_the_books()
        batch.ledger.put("A", b"2")
        batch.touch("A")
        batch.touch("B")
        await commit(partition, 101)
        partition.begin([record(101)])
        await commit(partition, 102)

    asyncio.run(story())
    guarantee: Any = partition._guarantee
    assert [(end, [(o.key, o.value) for o in latest]) for end, latest in guarantee.commits] == [
        (101, [(b"A", b"1"), (b"A", b"2"), (b"B", None)]),
        (102, []),
    ]
    assert books.closed == [101, 102]


def test_an_account_leaves_behind_its_last_figures_and_what_follows_it_waits(
    partition: LedgerPartition,
) -> None:
    """Its new place says figures as soon as it hears of it: an older one may not come after."""
    before, moved, after, later, last = (
        Outgoing("journal", b"A", value, []) for value in (b"1", b"moved", b"2", b"3", b"4")
    )
    guarantee: Any = partition._guarantee

    async def story() -> None:
        batch = partition.begin([record(100)])
        batch.ledger.put("A", b"closing")
        batch.touch("A")
        batch.close_the_books()
        batch.forward(before, moves=False)
        batch.forward(moved, moves=True)
        batch.forward(after, moves=False)
        partition.finish(101, 10)
        assert guarantee.sent == [before]

        held = threading.Event()
        guarantee.hold = held
        committing = asyncio.create_task(partition.commit())
        await asyncio.sleep(0.02)
        partition.begin([record(101)]).forward(later, moves=False)
        partition.finish(102, 10)
        assert guarantee.sent == [before]
        held.set()
        await committing
        assert guarantee.sent == [before, later]

        partition.begin([record(102)]).forward(last, moves=False)
        partition.finish(103, 10)
        assert guarantee.sent == [before, later, last]
        await partition.commit()

    asyncio.run(story())
    assert [(end, [o.value for o in latest]) for end, latest in guarantee.commits] == [
        (101, [b"closing", b"moved", b"2"]),
        (103, []),
    ]


def test_a_second_account_that_leaves_during_a_commit_goes_with_the_next(
    partition: LedgerPartition,
) -> None:
    first, between, second, behind = (
        Outgoing("journal", b"A", value, []) for value in (b"first", b"1", b"second", b"2")
    )
    guarantee: Any = partition._guarantee

    async def story() -> None:
        partition.begin([record(100)]).forward(first, moves=True)
        partition.finish(101, 10)
        held = threading.Event()
        guarantee.hold = held
        committing = asyncio.create_task(partition.commit())
        await asyncio.sleep(0.02)
        batch = partition.begin([record(101)])
        batch.forward(between, moves=False)
        batch.forward(second, moves=True)
        held.set()
        await committing
        batch.forward(behind, moves=False)
        partition.finish(102, 10)
        assert guarantee.sent == []
        await partition.commit()

    asyncio.run(story())
    assert guarantee.sent == []
    assert [(end, [o.value for o in latest]) for end, latest in guarantee.commits] == [
        (101, [b"first"]),
        (102, [b"1", b"second", b"2"]),
    ]


def test_what_comes_behind_a_held_record_is_not_taken_for_done(partition: LedgerPartition) -> None:
    """The step ends there, and the rest comes again when the worker starts anew."""
    step = [record(100 + n, f"orders@u:0:{n}") for n in range(4)]
    batch = partition.begin(step)
    taken = []
    for one in batch:
        taken.append(one.offset)
        if one.offset == 101:
            batch.hold(one, "too many dead letters")
    assert taken == [100, 101]
    assert batch.held == (102, "too many dead letters")
    assert [one.offset for one in partition.begin(step)] == [102, 103]


def test_nothing_of_an_abandoned_step_leaves(partition: LedgerPartition) -> None:
    """Neither when it is abandoned nor when the commit ends that was under way; who commits next
    hears of it.
    """
    guarantee: Any = partition._guarantee
    moved = Outgoing("journal", b"A", b"moved", [])

    async def story() -> None:
        partition.begin([record(100)]).forward(moved, moves=True)
        partition.finish(101, 10)
        guarantee.hold = threading.Event()
        committing = asyncio.create_task(partition.commit())
        await asyncio.sleep(0.02)
        batch = partition.begin([record(101)])
        batch.ledger.put("A", b"half")
        batch.publish(Outgoing("out", b"A", b"", []))
        batch.forward(Outgoing("journal", b"A", b"behind", []), moves=False)
        waiting = asyncio.create_task(partition.commit())
        batch.abandon("it failed")
        guarantee.hold.set()
        await committing
        with pytest.raises(StepAbandonedError, match="journal-0: it failed"):
            await waiting
        with pytest.raises(StepAbandonedError):
            await partition.commit()

    asyncio.run(story())
    assert guarantee.sent == []
    assert [(end, latest) for end, latest in guarantee.commits] == [(101, [moved])]


def test_a_commit_that_waits_for_a_step_does_not_follow_when_it_is_abandoned(
    partition: LedgerPartition,
) -> None:
    guarantee: Any = partition._guarantee

    async def story() -> None:
        partition.begin([record(100)])
        partition.finish(101, 10)
        batch = partition.begin([record(101)])
        waiting = asyncio.create_task(partition.commit())
        await asyncio.sleep(0.02)
        batch.abandon("it failed")
        with pytest.raises(StepAbandonedError):
            await waiting

    asyncio.run(story())
    assert guarantee.commits == []


def test_what_is_under_way_counts_until_it_is_committed(partition: LedgerPartition) -> None:
    async def story() -> None:
        assert partition.in_flight_bytes == 0
        assert not partition.wants_commit
        partition.begin([record(100)])
        partition.finish(101, 1000)
        assert partition.in_flight_bytes == 1000
        assert (partition.uncommitted_since or 0.0) > 0.0
        await partition.commit()
        assert partition.in_flight_bytes == 0
        assert await partition.commit() is None

    asyncio.run(story())


def test_the_group_is_told_the_last_of_several_commits(partition: LedgerPartition) -> None:
    TOLD.clear()

    async def story() -> None:
        for offset in (100, 101, 102):
            partition.begin([record(offset)])
            await commit(partition, offset + 1)
        assert partition._telling is not None
        await partition._telling

    asyncio.run(story())
    assert TOLD[-1] == (TP("journal", 0), 103)
    assert sorted(TOLD) == TOLD


class Fails:
    """A guarantee whose first commit fails after a while; it remembers what it was asked for."""

    def __init__(self) -> None:
        self.flight = Flight()
        self.asked: list[int] = []

    def send(self, outgoing: Outgoing, flight: Flight | None = None) -> None:
        pass

    def seal(self) -> Flight:
        return Flight()

    def _try(self, next_offset: int) -> None:
        self.asked.append(next_offset)
        if len(self.asked) == 1:
            raise CommitError("the brokers did not answer")


class LedgerFails(Fails):
    def commit(self, _flight: Flight, _changes: Any, next_offset: int, _latest: Any) -> int:
        time.sleep(0.05)
        self._try(next_offset)
        return 1


class PassFails(Fails):
    async def commit(self, _flight: Flight, next_offset: int) -> bool:
        await asyncio.sleep(0.05)
        self._try(next_offset)
        return True


@pytest.mark.parametrize("guarantee", [LedgerFails(), PassFails()], ids=["ledger", "pass"])
def test_nothing_is_committed_behind_a_commit_that_failed(tmp_path: Path, guarantee: Any) -> None:
    """What the failed one held would be passed over: the events of an agent without state left with
    it, and the offset of the next one lies behind them.
    """
    tp = TP("journal", 0)
    store = PartitionStore(
        tmp_path, Bytes(), Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    )

    async def story() -> None:
        with ThreadPoolExecutor(1) as executor:
            partition: Any = (
                PassPartition(tp, guarantee)
                if isinstance(guarantee, PassFails)
                else LedgerPartition(tp, store, guarantee, 100, executor, tell)
            )
            partition.begin([record(100)])
            partition.finish(101, 10)
            first = asyncio.create_task(partition.commit())
            await asyncio.sleep(0.01)
            partition.begin([record(101)])
            partition.finish(102, 10)
            second = asyncio.create_task(partition.commit())
            failed = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(one) for one in failed] == [CommitError, CommitError]

    asyncio.run(story())
    assert guarantee.asked == [101]
    store.close()


@pytest.mark.parametrize("kind", [LedgerFails, PassFails])
def test_what_failed_to_commit_is_gone_when_it_is_let_go(tmp_path: Path, kind: type[Fails]) -> None:
    """With it goes a client of the brokers and its threads; the collector may take a long time."""
    tp = TP("journal", 0)
    store = PartitionStore(
        tmp_path, Bytes(), Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    )

    async def story() -> weakref.ref[Fails]:
        with ThreadPoolExecutor(1) as executor:
            guarantee: Any = kind()
            partition: Any = (
                PassPartition(tp, guarantee)
                if kind is PassFails
                else LedgerPartition(tp, store, guarantee, 100, executor, tell)
            )
            partition.begin([record(100)])
            partition.finish(101, 10)
            with contextlib.suppress(CommitError):
                await partition.commit()
            with contextlib.suppress(CommitError):
                await partition.commit()
            await partition.close()
            return weakref.ref(guarantee)

    gc.disable()
    try:
        assert asyncio.run(story())() is None
    finally:
        gc.enable()
