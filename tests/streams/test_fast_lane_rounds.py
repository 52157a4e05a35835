"""Commits that fail, and rounds of the group that come at the worst moment: a partition is opened
anew when the group says that it is still ours, once, and not before the old one is closed.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.errors import HeadroomError
from streams.fast_lane.lane import Lane
from streams.fast_lane.membership import Standing
from streams.fast_lane.transaction import CommitError, FencedError
from streams.fast_lane.transport import BatchTransport
from streams.metrics import Metrics

JOURNAL = TP("journal", 0)


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that waits for what the lane does."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  the lane tells nobody
            await asyncio.sleep(0.001)


class Stub:
    """A partition with something to commit, which fails if it is told to."""

    def __init__(self, tp: TP, log: list[str]) -> None:
        self.tp = tp
        self.name = f"{tp.partition}.{sum(line.startswith('open') for line in log)}"
        self.error: HeadroomError | None = None
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.next_offset = 0
        self.in_flight_bytes = 0
        self.uncommitted_since = None
        self.last_record_at = 0.0
        self.wants_commit = False
        self._log = log
        log.append(f"open {self.name}")

    async def commit(self) -> float | None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self._log.append(f"commit {self.name}")
        return 0.0

    async def close(self) -> None:
        await self.may_close.wait()
        self._log.append(f"close {self.name}")


class Group:
    """What the lane hears of its consumer group."""

    def __init__(self) -> None:
        self.standing = Standing.MEMBER
        self.asked = 0

    async def ask(self, _generation: int) -> Standing:
        await asyncio.sleep(0)
        self.asked += 1
        return self.standing

    def is_current(self, _generation: int) -> bool:
        return self.standing is Standing.MEMBER


class Worker:
    """A lane with everything around it."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.log: list[str] = []
        self.group = Group()
        transport = object.__new__(BatchTransport)
        idle = SimpleNamespace(connect=lambda _hear: None)

        async def stop() -> None:
            pass

        transport.fetch = SimpleNamespace(  # type: ignore[assignment]
            start=lambda: None,
            stop=stop,
            open=lambda tp, offset: self.log.append(f"read {tp.partition} from {offset}"),
            close=lambda _tp: None,
            close_all=lambda: None,
            is_reading=lambda: True,
            queued_bytes=0,
        )
        transport.assignor = SimpleNamespace(share=None)  # type: ignore[assignment]
        app: Any = SimpleNamespace(
            transport=transport,
            conf=SimpleNamespace(id="app"),
            consumer=SimpleNamespace(_read_offset={}),
            consumer_generation_id=0,
            on_partitions_assigned=idle,
            on_partitions_revoked=idle,
        )
        self.app = app
        loop = asyncio.get_running_loop()

        def open_partition(tp: TP, _abandoned: Callable[[], bool]) -> Any:
            made = asyncio.run_coroutine_threadsafe(self._make(tp), loop)
            return made.result(5)

        self.lane = Lane(
            app,
            topics=["journal"],
            open_partition=open_partition,
            executor=executor,
            commit_interval_seconds=0.01,
            in_flight_bytes=1 << 20,
            metrics=Metrics(),
        )
        self.lane.membership = self.group  # type: ignore[assignment]

    async def _make(self, tp: TP) -> Stub:
        return Stub(tp, self.log)

    async def round(self, *wanted: TP) -> None:
        """The group shares out anew."""
        await self.lane._revoked(self.app, set())
        self.app.consumer_generation_id += 1
        await self.lane._assigned(self.app, wanted)

    async def the_partition(self) -> Any:
        """The one that is open, once it is."""
        await until(lambda: self.lane.partitions)
        (one,) = self.lane.partitions
        return one

    async def a_commit_fails(self, error: HeadroomError) -> Any:
        partition = await self.the_partition()
        partition.error = error
        partition.wants_commit = True
        await until(lambda: partition not in self.lane.partitions)
        return partition


@asynccontextmanager
async def worker() -> AsyncIterator[Worker]:
    with ThreadPoolExecutor(2) as executor:
        one = Worker(executor)
        await one.round(JOURNAL)
        await one.the_partition()
        yield one
        one.group.standing = Standing.MEMBER
        await one.lane.stop()


@pytest.mark.parametrize(
    "error", [CommitError("the brokers did not answer"), FencedError("fenced after a time-out")]
)
@in_a_loop
async def test_a_partition_that_is_still_ours_goes_on_after_a_failed_commit(
    error: HeadroomError,
) -> None:
    """The brokers fence a transaction that took too long as if another worker had come."""
    async with worker() as one:
        await one.a_commit_fails(error)
        await one.the_partition()
        assert one.log == ["open 0.0", "read 0 from 0", "close 0.0", "open 0.1", "read 0 from 0"]
        assert one.lane.is_ready()


@in_a_loop
async def test_a_worker_that_was_fenced_and_replaced_opens_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with worker() as one:
        one.group.standing = Standing.REPLACED
        asked = one.group.asked
        with caplog.at_level(logging.WARNING):
            await one.a_commit_fails(FencedError("journal-0 was fenced"))
            await until(lambda: not one.lane._opening)
        assert one.group.asked > asked
        assert one.log == ["open 0.0", "read 0 from 0", "close 0.0"]
        assert not one.lane.is_ready()
        assert "journal-0 was fenced; going back to what is committed" in caplog.text
        assert "this worker was replaced while it was silent; it changes nothing" in caplog.text


@in_a_loop
async def test_a_round_between_a_failed_commit_and_the_second_start_waits_for_the_close() -> None:
    """Else the partition would be opened twice, or while its disk is still in use."""
    async with worker() as one:
        (await one.the_partition()).may_close.clear()
        failed = await one.a_commit_fails(CommitError("the brokers did not answer"))
        sharing = asyncio.create_task(one.round(JOURNAL))
        await asyncio.sleep(0.05)
        assert one.log == ["open 0.0", "read 0 from 0"]
        failed.may_close.set()
        await sharing
        await one.the_partition()
        await asyncio.sleep(0.05)
        assert one.log == ["open 0.0", "read 0 from 0", "close 0.0", "open 0.1", "read 0 from 0"]


@in_a_loop
async def test_a_commit_that_fails_in_a_round_is_closed_before_the_round_goes_on() -> None:
    async with worker() as one:
        partition = await one.the_partition()
        partition.error = CommitError("the brokers did not answer")
        await one.round(JOURNAL)
        await one.the_partition()
        assert one.log == ["open 0.0", "read 0 from 0", "close 0.0", "open 0.1", "read 0 from 0"]


@in_a_loop
async def test_a_commit_that_fails_while_a_lost_partition_is_let_go_does_not_stop_the_worker() -> (
    None
):
    """A worker that was frozen hears at once that it was fenced and that it was replaced."""
    other = TP("journal", 1)
    async with worker() as one:
        await one.round(JOURNAL, other)
        await until(lambda: len(one.lane.partitions) == 2)
        partitions: Any = one.lane.partitions
        first, second = partitions
        one.group.standing = Standing.REPLACED
        first.may_close.clear()
        second.may_close.clear()
        letting_go = asyncio.create_task(one.lane._revoked(one.app, set()))
        await asyncio.sleep(0.01)
        second.error = FencedError("journal-1 was fenced")
        await one.lane._commit(second)
        first.may_close.set()
        await asyncio.sleep(0.05)
        assert not letting_go.done(), "the group goes on while a partition is not closed yet"
        second.may_close.set()
        await letting_go
        assert [line for line in one.log if line.startswith("close")] == ["close 0.0", "close 1.1"]


@in_a_loop
async def test_a_worker_that_stops_while_it_hears_that_it_was_replaced_ends_as_planned() -> None:
    async with worker() as one:
        partition = await one.the_partition()
        partition.may_close.clear()
        one.group.standing = Standing.REPLACED
        letting_go = asyncio.create_task(one.lane._revoked(one.app, set()))
        stopping = asyncio.create_task(one.lane.stop())
        await asyncio.sleep(0.01)
        partition.may_close.set()
        await asyncio.gather(letting_go, stopping)
        assert one.log == ["open 0.0", "read 0 from 0", "close 0.0"]


@in_a_loop
async def test_a_commit_that_fails_between_the_two_halves_of_a_round_opens_once() -> None:
    """While the others join, commits go on here; the new assignment finds one that failed."""
    async with worker() as one:
        partition = await one.the_partition()
        await one.lane._revoked(one.app, set())
        partition.may_close.clear()
        partition.error = CommitError("the brokers did not answer")
        await one.lane._commit(partition)
        one.app.consumer_generation_id += 1
        assigning = asyncio.create_task(one.lane._assigned(one.app, [JOURNAL]))
        await asyncio.sleep(0.05)
        begun = ["open 0.0", "read 0 from 0", "commit 0.0"]
        assert one.log == begun
        partition.may_close.set()
        await assigning
        await one.the_partition()
        await asyncio.sleep(0.05)
        assert one.log == [*begun, "close 0.0", "open 0.1", "read 0 from 0"]
