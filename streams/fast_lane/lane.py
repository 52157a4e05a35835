"""Between a Faust agent and its partitions: everything that the agent should not have to think of.

    async for batch in lane.batches(stream):
        for record in batch:
            ...
            batch.publish(...)

The lane opens a partition when Faust assigns it (fence, restore) and lets no record of it through
before; splits what was fetched into short steps; drops what belongs to an older generation of the
group or is in the state already; stops the process when records are missing; holds back when too
much is in flight; commits every so often; commits and closes when the partition goes away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import Executor
from typing import Any

import faust
from confluent_kafka import KafkaException
from faust.types import TP

from streams.fast_lane.assignment import Share
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.fetch import OF_NO_HELP_TO_WAIT
from streams.fast_lane.fetched import Fetched
from streams.fast_lane.membership import Membership, Standing
from streams.fast_lane.partition import Batch, Held, Partition, StepAbandonedError, unseen
from streams.fast_lane.restore import OpeningAbandonedError
from streams.fast_lane.transaction import CommitError, FencedError
from streams.fast_lane.transport import BatchTransport, let_read_again
from streams.kafka_client import cause_of
from streams.metrics import Metrics, partition_label

logger = logging.getLogger(__name__)

STEP_SECONDS = 0.005
"""A step should take about this long, so that commits, other partitions and the web get their turn.
"""
_STEP_RECORDS = (16, 4096)
_READ_AHEAD_SHARE = 8
"""An eighth of what may be in flight may wait for the agent; more would only take memory."""
_CLOSE_SECONDS = 20.0
_OPEN_AGAIN_SECONDS = 0.5
_ASK_AGAIN_SECONDS = 0.2

OpenPartition = Callable[[TP, Callable[[], bool]], Partition]
"""Makes a partition ready; runs in a thread and may wait. The second argument says whether it is
wanted no longer.
"""


class Lane:
    """The partitions of one agent's topics in this worker.

    Args:
        app: the agent's Faust App; its transport must be a `BatchTransport`.
        topics: the topics in batch mode.
        open_partition: makes a partition ready.
        executor: threads for what waits.
        commit_interval_seconds: time between commits.
        in_flight_bytes: bound on what was fetched or sent and is not committed.
    """

    def __init__(
        self,
        app: faust.App,
        *,
        topics: Collection[str],
        open_partition: OpenPartition,
        executor: Executor,
        commit_interval_seconds: float,
        in_flight_bytes: int,
        metrics: Metrics,
    ) -> None:
        self.app = app
        self.membership = Membership(app)
        self._topics = frozenset(topics)
        self._open_partition = open_partition
        self._executor = executor
        self._commit_interval = commit_interval_seconds
        self._in_flight_bytes = in_flight_bytes
        self._metrics = metrics
        self._partitions: dict[TP, Partition] = {}
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._opening_since: dict[TP, float] = {}
        self._committing: set[TP] = set()
        self._held: dict[TP, str] = {}
        self._committer: asyncio.Task[None] | None = None
        self._wanted: frozenset[TP] = frozenset()
        self._generation = -1
        self._accepting = False
        self._stopped = False
        self._step_records = 64
        transport = app.transport
        assert isinstance(transport, BatchTransport)  # noqa: S101  what `build_app` gave it
        self._fetch = transport.fetch
        self._assignor = transport.assignor
        self.follow: Callable[[Share], object] = lambda _share: None
        """Hears what this worker got, once nothing of the rest is open."""
        self._fetch.may_read = self._may_read
        metrics.before_scrape.append(self._show_lag)
        metrics.before_scrape.append(self._show_held)
        metrics.before_scrape.append(self._show_opening)
        app.on_partitions_assigned.connect(self._assigned)  # type: ignore[arg-type]
        app.on_partitions_revoked.connect(self._revoked)  # type: ignore[arg-type]

    # ── what the agent sees ─────────────────────────────────────────────────────────────────────

    async def batches(self, stream: Any) -> AsyncIterator[Batch]:
        """The stream's records as steps, each of one partition, in the partition's order."""
        async for event in stream.events():
            fetched: Fetched = event.value
            self._fetch.queued_bytes -= fetched.size
            message = event.message
            tp = TP(message.topic, message.partition)
            partition = self._partitions.get(tp)
            if (
                partition is None
                or not self._current(message.generation_id)
                or not self._fetch.is_current(tp, fetched)
            ):
                continue
            records = unseen(partition, fetched)
            if not records and fetched.end > (partition.next_offset or 0):
                # All known, but the log goes on behind them with something that is no record.
                partition.begin(())
                partition.finish(fetched.end, 0)
            at = 0
            while at < len(records):
                await self._room()
                if not self._current(message.generation_id) or self._partitions.get(tp) is not (
                    partition
                ):
                    break
                step = records[at : at + self._step_records]
                at += len(step)
                end = fetched.end if at == len(records) else step[-1].offset + 1
                started = time.perf_counter()
                batch = partition.begin(step)
                yield batch
                if batch.abandoned is not None:
                    self._begin_again(partition, batch.abandoned)
                    break
                if batch.held is not None:
                    end = batch.held.offset
                    step = [record for record in step if record.offset < end]
                partition.last_record_at = step[-1].timestamp / 1000
                partition.finish(end, sum(256 + len(record.value or b"") for record in step))
                if batch.held is not None:
                    self._hold(tp, batch.held)
                    break
                self._pace(len(step), time.perf_counter() - started)
                await asyncio.sleep(0)

    @property
    def partitions(self) -> Collection[Partition]:
        """Those that are open."""
        return self._partitions.values()

    def has_read_all(self, tp: TP) -> bool:
        """The partition has no more to read, or no room for more."""
        partition, end = self._partitions.get(tp), self._fetch.end_of(tp)
        if partition is None or end is None:
            return False
        return (partition.next_offset or 0) >= end or self._in_flight() >= self._in_flight_bytes

    def is_ready(self) -> bool:
        """All that is assigned is restored and being read, and there has been an assignment."""
        return (
            self._accepting and self._wanted == self._partitions.keys() and self._fetch.is_reading()
        )

    def held(self) -> Collection[str]:
        """The partitions that stand still until the worker starts anew, each with why."""
        return [why for tp, why in self._held.items() if tp in self._wanted]

    def stuck_for(self) -> float:
        """Seconds that the oldest uncommitted step has waited."""
        now = time.monotonic()
        since = [p.uncommitted_since for p in self._partitions.values()]
        return max((now - at for at in since if at is not None), default=0.0)

    async def stop(self) -> None:
        """Take in no more, commit what was done, let the partitions go."""
        self._stopped = True
        self._accepting = False
        await self._finish_opening()
        await self._commit_all()
        await self._finish_opening()
        for tp in list(self._partitions):
            await self._close(tp)
        await self._fetch.stop()
        if self._committer is not None:
            self._committer.cancel()

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _may_read(self) -> bool:
        """Asked by the reader's thread before it takes records."""
        return (
            self._accepting
            and self._fetch.queued_bytes < self._in_flight_bytes // _READ_AHEAD_SHARE
            and self._in_flight() < self._in_flight_bytes
        )

    def _current(self, generation: int) -> bool:
        return self._accepting and generation == self._generation == self.app.consumer_generation_id

    def _in_flight(self) -> int:
        return sum(partition.in_flight_bytes for partition in list(self._partitions.values()))

    async def _room(self) -> None:
        """Wait until less is in flight; a commit makes room."""
        while self._accepting and self._in_flight() >= self._in_flight_bytes:  # noqa: ASYNC110  a poll
            await asyncio.sleep(self._commit_interval / 4)

    def _pace(self, records: int, seconds: float) -> None:
        """Make the next step about `STEP_SECONDS` long, changing slowly."""
        fitting = records * STEP_SECONDS / max(seconds, 1e-6)
        low, high = _STEP_RECORDS
        # A small batch says little about a large one: it may not make steps longer than twice its
        # own size.
        target = min(fitting, max(self._step_records, 2 * records))
        self._step_records = int(min(max(0.8 * self._step_records + 0.2 * target, low), high))

    def _show_lag(self) -> None:
        """Set each partition's lag: how old the last record taken in is, while there are more."""
        now = time.time()
        for tp, partition in self._partitions.items():
            end = self._fetch.end_of(tp)
            behind = end is not None and end > (partition.next_offset or 0)
            self._metrics.consumer_lag_seconds.labels(
                partition_label(str(self.app.conf.id), tp)
            ).set(max(now - partition.last_record_at, 0.0) if behind else 0.0)

    def _show_opening(self) -> None:
        begun = min(self._opening_since.values(), default=None)
        waited = 0.0 if begun is None else time.monotonic() - begun
        self._metrics.opening_seconds.labels(str(self.app.conf.id)).set(waited)

    def _show_held(self) -> None:
        self._metrics.held_partitions.labels(str(self.app.conf.id)).set(len(self.held()))

    # ── assignment ──────────────────────────────────────────────────────────────────────────────

    @fail_stop
    async def _assigned(self, _app: Any, assigned: Collection[TP], **_signal: Any) -> None:
        """Faust: these are ours now. Opens what is new, keeps what we had and nobody can have had
        since.
        """
        if self._stopped:
            return
        generation = self.app.consumer_generation_id
        wanted = frozenset(tp for tp in assigned if tp.topic in self._topics)
        unbroken = generation in (self._generation, self._generation + 1)
        for tp in list(self._partitions):
            if tp not in wanted or not unbroken:
                await self._close(tp)
        # A commit may have failed since the round began, and its partition be closed just now.
        await self._finish_opening()
        self._wanted = wanted
        self._generation = generation
        self._accepting = True
        self.follow(self._assignor.share)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_forever())
            self._fetch.start()
        logger.info("%s: %s partitions assigned", self.app.conf.id, len(wanted))
        for tp, partition in self._partitions.items():
            self._read(tp, partition)
        for tp in sorted(wanted - self._partitions.keys()):
            self._opening[tp] = asyncio.create_task(self._open(tp))

    @fail_stop
    async def _revoked(self, _app: Any, revoked: Collection[TP], **_signal: Any) -> None:
        """Faust: the group is about to share out the partitions anew. They may come back
        (`_assigned`).
        """
        del revoked  # always all of them
        self._accepting = False
        self._wanted = frozenset()
        self._fetch.close_all()
        self._fetch.queued_bytes = 0  # Faust has thrown away what waited
        await self._finish_opening()
        if self.membership.is_current(self._generation):
            await self._commit_all()
            await self._finish_opening()
        else:
            # Our session is over: somebody else may have the partitions, and what is not committed
            # is theirs to do.
            logger.warning("%s: membership lost, letting the partitions go", self.app.conf.id)
            for tp in list(self._partitions):
                await self._close(tp)
            await self._finish_opening()  # of those whose commit failed meanwhile

    @fail_stop
    async def _open(self, tp: TP, *, instead_of: Partition | None = None) -> None:
        """Make a partition ready, once the one that it takes the place of is closed."""
        loop = asyncio.get_running_loop()
        started = self._opening_since[tp] = time.monotonic()

        def abandoned() -> bool:
            return tp not in self._wanted

        try:
            if instead_of is not None:
                await instead_of.close()
            partition = None
            while partition is None:
                if not await self._may_open(tp, abandoned):
                    return
                try:
                    partition = await loop.run_in_executor(
                        self._executor, self._open_partition, tp, abandoned
                    )
                except KafkaException as error:
                    # A client may not find its way back to the brokers; the next attempt has new
                    # ones.
                    if cause_of(error).code() in OF_NO_HELP_TO_WAIT:
                        raise
                    logger.warning("%s-%s cannot be opened yet: %s", *tp, cause_of(error).str())
                    await asyncio.sleep(_OPEN_AGAIN_SECONDS)
                except (CommitError, FencedError) as error:
                    logger.warning("%s-%s cannot be opened yet: %s", *tp, error)
        except OpeningAbandonedError:
            return
        finally:
            self._opening.pop(tp, None)
            self._opening_since.pop(tp, None)
        if abandoned():
            await partition.close()
            return
        seconds = time.monotonic() - started
        logger.debug("%s-%s opened in %.3f s", *tp, seconds)
        self._metrics.recovery_seconds.observe(seconds)
        self._partitions[tp] = partition
        self._read(tp, partition)
        if instead_of is not None:
            logger.info("%s-%s goes on", *tp)

    async def _may_open(self, tp: TP, abandoned: Callable[[], bool]) -> bool:
        """Ask the group whether the partition is still ours: opening it fences whoever has it. One
        that was cut off, or stopped, hears of its failed transaction before it hears of its
        successor.
        """
        while not abandoned():
            standing = await self.membership.ask(self._generation)
            if standing is Standing.MEMBER:
                return True
            if standing is Standing.REPLACED:
                logger.warning(
                    "%s-%s: this worker was replaced while it was silent; it changes nothing", *tp
                )
                return False
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        return False

    def _read(self, tp: TP, partition: Partition) -> None:
        """Read on from where the partition stands, be that before what was read last."""
        if tp in self._held:
            return
        let_read_again(self.app, tp)
        self._fetch.open(tp, partition.next_offset)

    def _hold(self, tp: TP, held: Held) -> None:
        """Read no further."""
        self._held[tp] = f"{tp.topic}-{tp.partition}@{held.offset}: {held.why}"
        self._fetch.close(tp)
        logger.critical("%s: stands still before %s", self.app.conf.id, self._held[tp])

    async def _finish_opening(self) -> None:
        """Wait for openings under way, which notice that they are not wanted."""
        self._wanted = frozenset()
        while self._opening:  # noqa: ASYNC110  the openings are threads
            await asyncio.sleep(0.01)

    async def _close(self, tp: TP) -> None:
        """Unless somebody took it away meanwhile, who closes it: its commit may fail, or the worker
        be stopped, while others are being closed.
        """
        if tp in self._partitions:
            await self._take_away(tp).close()

    def _take_away(self, tp: TP) -> Partition:
        """It gets no more records, and belongs to the caller, who closes it."""
        self._fetch.close(tp)
        self._metrics.forget_partition(self.app.conf.id, tp)
        return self._partitions.pop(tp)

    # ── committing ──────────────────────────────────────────────────────────────────────────────

    @fail_stop
    async def _commit_forever(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        while True:
            partitions = list(self._partitions.values())
            for partition in partitions:
                # One after the other: all at once, they would keep the brokers from answering.
                await asyncio.sleep(self._commit_interval / len(partitions))
                if self._is_due(partition):
                    self._committing.add(partition.tp)
                    task = asyncio.create_task(self._commit(partition))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            if not partitions:
                await asyncio.sleep(self._commit_interval)

    def _is_due(self, partition: Partition) -> bool:
        return (
            self._partitions.get(partition.tp) is partition
            and partition.wants_commit
            and partition.tp not in self._committing
        )

    @fail_stop
    async def _commit(self, partition: Partition) -> None:
        try:
            seconds = await partition.commit()
        except (CommitError, FencedError, StepAbandonedError) as error:
            self._begin_again(partition, error)
            return
        finally:
            self._committing.discard(partition.tp)
        if seconds is not None:
            self._metrics.commit_seconds.observe(seconds)

    def _begin_again(self, partition: Partition, error: Exception) -> None:
        """Throw away what is not known to be committed, and go on from what is: a new producer,
        the state as it was committed last, the records since then once more. Whether the partition
        is still ours is for the group to say (`_may_open`): the brokers fence too, when a
        transaction took too long.
        """
        tp = partition.tp
        if self._partitions.get(tp) is not partition:
            return  # let go of already
        logger.warning("%s; going back to what is committed", error)
        # Counts as an opening from here on, so that a round of the group waits for its end.
        self._opening[tp] = asyncio.create_task(
            self._open(tp, instead_of=self._take_away(tp)), name=f"{tp.topic}-{tp.partition} again"
        )

    async def _commit_all(self) -> None:
        """Commit what was done, as far as that is possible in time: what is not committed then is
        done again by whoever has the partition next. A commit under way goes on; it is waited for
        before its disk is closed.
        """
        commits = [
            asyncio.create_task(self._commit(partition)) for partition in self._partitions.values()
        ]
        if not commits:
            return
        _, late = await asyncio.wait(commits, timeout=_CLOSE_SECONDS)
        if late:
            logger.warning(
                "%s: %s partitions could not be committed within %.0f s; what they did since their"
                " last commit is done again",
                *(self.app.conf.id, len(late), _CLOSE_SECONDS),
            )
