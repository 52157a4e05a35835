"""One partition of an agent while this worker owns it: what was taken in, what is under way, what
is committed.

Two kinds. A `LedgerPartition` has state, which is committed with the offset. A `PassPartition` has
none: what goes out is a function of each record alone.

All methods belong to the event loop; `commit` does its waiting in other threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol

from faust.types import TP

from streams.cloud_events import ORIGIN
from streams.errors import HeadroomError
from streams.fast_lane.commit import Guarantee, PassGuarantee
from streams.fast_lane.fetched import Fetched
from streams.fast_lane.outlet import Flight, Outgoing
from streams.fast_lane.store import PartitionStore
from streams.fast_lane.transaction import CommitError
from streams.record import Record

_TELLING_SECONDS = 2.0

TellGroup = Callable[[TP, int], Awaitable[object]]
"""Commits an offset for the consumer group."""


class Books(Protocol):
    """What an agent with state says once per commit, not once per event."""

    def figures(self, store: PartitionStore, keys: Iterable[str]) -> Sequence[Outgoing]:
        """What holds now for keys that were touched. Asked before each commit, and in between by
        `close_the_books`.
        """
        ...

    def closing(self, store: PartitionStore) -> None:
        """The state is about to be frozen: what is kept beside the ledger belongs into it."""
        ...


class GapError(HeadroomError):
    """Records of the log did not reach the agent."""


class StepAbandonedError(HeadroomError):
    """The agent could not apply a step; the state is in between and must not be committed."""


class Held(NamedTuple):
    """Before which offset a partition stands still, and why."""

    offset: int
    why: str


class Batch:
    """One step: consecutive records of a partition, none of which is in the state yet.

    Iterate over the records; `ledger` is the partition's state, `publish` what follows from them.
    The step counts as done when the agent asks for the next batch, and is committed as a whole or
    not at all.
    """

    __slots__ = ("_is_repeat", "_partition", "abandoned", "held", "records")

    def __init__(
        self,
        partition: Partition,
        records: Sequence[Record],
        is_repeat: Callable[[Record], bool] | None = None,
    ) -> None:
        self._partition = partition
        self._is_repeat = is_repeat
        self.records = records
        self.abandoned: StepAbandonedError | None = None
        self.held: Held | None = None

    def __iter__(self) -> Iterator[Record]:
        """One by one: a record counts as in the state when it is taken, not before, since another
        may end the step.
        """
        is_repeat = self._is_repeat
        for record in self.records:
            if is_repeat is not None and is_repeat(record):
                continue
            yield record
            if self.held is not None or self.abandoned is not None:
                return

    @property
    def ledger(self) -> PartitionStore:
        """The state. Raises `AttributeError` in an agent that has none."""
        return self._partition.store

    def publish(self, outgoing: Outgoing) -> None:
        """Send an event: all that a step publishes leaves together when the step is done."""
        self._partition.publish(outgoing)

    def forward(self, outgoing: Outgoing, *, moves: bool) -> None:
        """Send a record to another partition of the source; they arrive there in their order.

        One that `moves` a key's state there goes with the commit, behind what is said of the key
        here for the last time: what is said there can then only come after it.
        """
        self._partition.forward(outgoing, moves=moves)

    def touch(self, key: str) -> None:
        """What is said of `key` once per commit has to be said anew."""
        self._partition.touched[key] = None

    def close_the_books(self) -> None:
        """Say now what is said once per commit, with the figures as they are."""
        self._partition.close_the_books()

    def abandon(self, why: str) -> None:
        """Have all thrown away that was not committed, this step too, and its records come again.
        Nothing that the step published leaves.
        """
        tp = self._partition.tp
        self.abandoned = StepAbandonedError(f"{tp.topic}-{tp.partition}: {why}")
        self._partition.abandon(self.abandoned)

    def hold(self, record: Record, why: str) -> None:
        """End the step behind the record that is being applied, and have the partition stand still
        there until the worker starts anew.
        """
        self.held = Held(record.offset + 1, why)


class Partition(Protocol):
    """What the lane does with a partition."""

    tp: TP
    stepping: bool
    """A batch is in the agent's hands, so the state is between two offsets."""
    touched: dict[str, None]
    last_record_at: float
    """Timestamp of the last record taken in, seconds since 1970; at first the time of opening."""

    @property
    def store(self) -> PartitionStore: ...

    @property
    def next_offset(self) -> int | None: ...

    @property
    def in_flight_bytes(self) -> int: ...

    @property
    def uncommitted_since(self) -> float | None: ...

    @property
    def wants_commit(self) -> bool: ...

    def begin(self, records: Sequence[Record]) -> Batch: ...

    def finish(self, end: int, size: int) -> None: ...

    def publish(self, outgoing: Outgoing) -> None: ...

    def forward(self, outgoing: Outgoing, *, moves: bool) -> None: ...

    def close_the_books(self) -> None: ...

    def abandon(self, error: StepAbandonedError) -> None: ...

    async def commit(self) -> float | None: ...

    async def close(self) -> None: ...


def unseen(partition: Partition, fetched: Fetched) -> Sequence[Record]:
    """The records that are not in the state yet. Raises `GapError` when some before them never
    came.
    """
    next_offset = partition.next_offset
    if next_offset is None or fetched.start == next_offset:
        return fetched.records
    if fetched.start > next_offset:
        raise GapError(
            f"{partition.tp.topic}-{partition.tp.partition}: records {next_offset} to"
            f" {fetched.start - 1} are missing"
        )
    return [record for record in fetched.records if record.offset >= next_offset]


class _Steps:
    """The books that both kinds keep."""

    def __init__(self, tp: TP) -> None:
        self.tp = tp
        self.stepping = False
        self.touched: dict[str, None] = {}
        self.last_record_at = time.time()
        self._outbox: list[Outgoing] = []
        self._committing = asyncio.Lock()
        self._failed: tuple[type[HeadroomError], str] | None = None
        """Why nothing can be committed from here any more. Not the error itself: with its traceback
        it would keep the partition, and a client of the brokers with its threads, until the
        collector comes by.
        """
        self._committing_bytes = 0
        self._uncommitted_since: float | None = None
        self._committing_since: float | None = None

    @property
    def uncommitted_since(self) -> float | None:
        """When the oldest step that is not committed ended, on the monotonic clock."""
        if self._committing_since is not None:
            return self._committing_since
        return self._uncommitted_since

    def publish(self, outgoing: Outgoing) -> None:
        # One by one, each would make a request to the brokers of its own.
        self._outbox.append(outgoing)

    def abandon(self, error: StepAbandonedError) -> None:
        """The step is not to be finished: nothing is committed or sent from here any more."""
        self._outbox.clear()
        self._failed = (StepAbandonedError, str(error))
        self.stepping = False

    @asynccontextmanager
    async def _one_commit(self) -> AsyncIterator[None]:
        """One at a time, between two steps, and none behind one that failed: its offset would pass
        over what that one held. Who asks for another hears why the first one failed.
        """
        async with self._committing:
            while self.stepping and self._failed is None:  # noqa: ASYNC110  next turn, as a rule
                await asyncio.sleep(0)
            if self._failed is not None:
                kind, why = self._failed
                raise kind(why)
            try:
                yield
            except Exception as error:
                self._failed = (CommitError, f"behind a commit that failed: {error}")
                raise


class LedgerPartition(_Steps):
    """A journal partition with its state."""

    def __init__(
        self,
        tp: TP,
        store: PartitionStore,
        guarantee: Guarantee,
        next_offset: int,
        executor: Executor,
        tell_group: TellGroup,
        books: Books | None = None,
    ) -> None:
        super().__init__(tp)
        self._store = store
        self._guarantee = guarantee
        self._executor = executor
        self._tell_group = tell_group
        self._told_offset = -1
        self._telling: asyncio.Task[None] | None = None
        self._books = books
        self._next_offset = next_offset
        self._committed_offset = next_offset
        self._latest: list[Outgoing] = []
        self._forwards: list[Outgoing] = []
        """What waits for a key's state that moves, this included."""
        self._moves_waiting = False
        self._moves_committing = False

    @property
    def store(self) -> PartitionStore:
        return self._store

    @property
    def next_offset(self) -> int | None:
        return self._next_offset

    @property
    def in_flight_bytes(self) -> int:
        return self._committing_bytes + self._guarantee.flight.size

    def begin(self, records: Sequence[Record]) -> Batch:
        """The step's batch: repeats of input records that are in the state already are left out."""
        self.stepping = True
        return Batch(self, records, self._is_repeat)

    def _is_repeat(self, record: Record) -> bool:
        origin = origin_of(record)
        return origin is not None and self._store.is_repeat(*origin)

    def finish(self, end: int, size: int) -> None:
        self._empty_outbox()
        self._next_offset = end
        self._store.advance(end)
        self._guarantee.flight.size += size
        if self._uncommitted_since is None:
            self._uncommitted_since = time.monotonic()
        self._store.trim()
        self.stepping = False

    def forward(self, outgoing: Outgoing, *, moves: bool) -> None:
        self._moves_waiting |= moves
        if self._moves_waiting or self._moves_committing:
            self._forwards.append(outgoing)
        else:
            self.publish(outgoing)

    def close_the_books(self) -> None:
        if self._books is not None and self.touched:
            self._latest.extend(self._books.figures(self._store, self.touched))
            self.touched.clear()

    @property
    def wants_commit(self) -> bool:
        return self._next_offset != self._committed_offset

    async def commit(self) -> float | None:
        """Commit all finished steps; seconds that it took, None when there was nothing.

        Raises `FencedError` and `CommitError` as the guarantee does.
        """
        async with self._one_commit():
            if self._next_offset == self._committed_offset:
                return None
            started = time.monotonic()
            self.close_the_books()
            if self._books is not None:
                self._books.closing(self._store)
            latest, self._latest = self._latest, []
            self._moves_committing = self._moves_waiting
            if self._moves_waiting:
                latest += self._forwards
                self._forwards, self._moves_waiting = [], False
            snapshot = self._store.snapshot()
            flight = self._guarantee.seal()
            self._committing_bytes = flight.size
            self._committing_since, self._uncommitted_since = self._uncommitted_since, None

            def make_durable() -> None:
                changelog_offset = self._guarantee.commit(
                    flight, snapshot.changes, snapshot.next_offset, latest
                )
                self._store.write(
                    snapshot.changes, changelog_offset=changelog_offset, now=time.time()
                )

            await asyncio.get_running_loop().run_in_executor(self._executor, make_durable)
            self._store.settle()
            self._committed_offset = snapshot.next_offset
            self._committing_bytes = 0
            self._committing_since = None
            self._let_forwards_go()
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell())
            return time.monotonic() - started

    def _let_forwards_go(self) -> None:
        """A commit took along what they waited for, unless more moves by now."""
        self._moves_committing = False
        if self._moves_waiting or self._failed is not None:
            return
        self._outbox += self._forwards
        self._forwards.clear()
        if not self.stepping:
            self._empty_outbox()

    def _empty_outbox(self) -> None:
        for outgoing in self._outbox:
            self._guarantee.send(outgoing)
        self._outbox.clear()

    async def close(self) -> None:
        """Let go of it, after a commit under way. What was not committed is forgotten."""
        async with self._committing:
            self._store.close()
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=_TELLING_SECONDS)

    async def _tell(self) -> None:
        """Tell the consumer group how far the state stands. That is for whoever looks at its lag:
        what counts is the offset in the state itself.
        """
        while self._told_offset != self._committed_offset:
            offset = self._committed_offset
            await self._tell_group(self.tp, offset)
            self._told_offset = offset


class PassPartition(_Steps):
    """An input partition of an agent without state; see `streams.fast_lane.commit` for why that is
    enough.
    """

    def __init__(self, tp: TP, guarantee: PassGuarantee, begin_at: int | None = None) -> None:
        super().__init__(tp)
        self._guarantee = guarantee
        self._flight = Flight()
        # Counts as not committed, so that it is: whoever comes next may find records there.
        self._next_offset = begin_at
        self._begin_at = begin_at
        self._committed_offset: int | None = None

    @property
    def store(self) -> PartitionStore:
        raise AttributeError("this agent has no state")

    @property
    def next_offset(self) -> int | None:
        return self._next_offset

    @property
    def has_begun(self) -> bool:
        """Whether whoever comes next goes on from here, and does not begin by itself."""
        return self._begin_at is None or self._committed_offset is not None

    @property
    def in_flight_bytes(self) -> int:
        return self._committing_bytes + self._flight.size

    def begin(self, records: Sequence[Record]) -> Batch:
        self.stepping = True
        return Batch(self, records)

    def finish(self, end: int, size: int) -> None:
        for outgoing in self._outbox:
            self._guarantee.send(outgoing, self._flight)
        self._outbox.clear()
        self._next_offset = end
        self._flight.size += size
        if self._uncommitted_since is None:
            self._uncommitted_since = time.monotonic()
        self.stepping = False

    def forward(self, outgoing: Outgoing, *, moves: bool) -> None:
        del outgoing, moves
        raise AttributeError("this agent has no state that could move")

    def close_the_books(self) -> None:
        """There are none."""

    @property
    def wants_commit(self) -> bool:
        return self._next_offset != self._committed_offset

    async def commit(self) -> float | None:
        """Commit all that came of the records, and the offset behind them; seconds that it took,
        None when there was nothing. Raises as the guarantee does.
        """
        async with self._one_commit():
            offset = self._next_offset
            if offset is None or offset == self._committed_offset:
                return None
            started = time.monotonic()
            flight, self._flight = self._flight, Flight()
            flight.seal()
            self._committing_bytes = flight.size
            if self._committing_since is None:
                self._committing_since = self._uncommitted_since
            self._uncommitted_since = None
            committed = await self._guarantee.commit(flight, offset)
            self._committing_bytes = 0
            if committed:
                self._committed_offset = offset
                self._committing_since = None
            # Else the next commit covers this one, and it has been waited for since then.
            return time.monotonic() - started

    async def close(self) -> None:
        """Nothing to let go of."""


class OutsidePartition:
    """What a partition is whose records go out of Kafka, to a store or to people, and leave no
    ledger here: how it takes in and commits is its own matter.
    """

    def __init__(self, tp: TP) -> None:
        self.tp = tp
        self.stepping = False
        self.touched: dict[str, None] = {}
        self.last_record_at = time.time()

    def begin(self: Partition, records: Sequence[Record]) -> Batch:
        self.stepping = True
        return Batch(self, records)

    @property
    def uncommitted_since(self) -> float | None:
        """Never: what waits for somebody outside is no reason to start the worker anew."""
        return None

    @property
    def store(self) -> PartitionStore:
        raise AttributeError("this agent has no state")

    def publish(self, outgoing: Outgoing) -> None:
        del outgoing
        raise AttributeError("this agent publishes nothing by its steps")

    def forward(self, outgoing: Outgoing, *, moves: bool) -> None:
        del outgoing, moves
        raise AttributeError("this agent has no state that could move")

    def abandon(self, error: StepAbandonedError) -> None:
        raise AssertionError("any record is taken in") from error

    def close_the_books(self) -> None:
        """There are none."""


def origin_of(record: Record) -> tuple[str, int] | None:
    """The input partition (`<topic>@<uuid>:<partition>`) and offset that a journal record comes
    from, if any.
    """
    for name, raw in reversed(record.headers):  # intake puts it last
        if name == ORIGIN and raw is not None:
            source, _, offset = raw.decode().rpartition(":")
            return source, int(offset)
    return None
