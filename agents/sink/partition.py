"""A partition as the sink has it: its rows wait in a batch, and are committed by being written.

    take()    records -> rows of the open batch
    commit()  a batch that is due -> what is intended -> ClickHouse -> the offset behind it

A sink may be killed anywhere in this. Before the intention is said nothing of the range was
written; from then on whoever has the partition cuts exactly this range, until the offset behind it
is committed (`agents.sink.intention`).

While ClickHouse is away the same batch is tried again and again and what comes in meanwhile piles
up, until the lane takes in no more (`in_flight_bytes`) and the rest stays with the broker. Nothing
is dropped, and no offset is committed before the rows in front of it are written.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError
from faust.types import TP

from agents.sink.intention import Intention, intention_of
from agents.sink.plan import Batch, Planner
from agents.sink.writer import pack
from streams.clickhouse import ClickHouseUnreachableError
from streams.fast_lane.partition import OutsidePartition
from streams.logs import shown
from streams.record import Record

if TYPE_CHECKING:  # OpenTelemetry is imported only where somebody takes traces
    from streams.tracing import Span, Tracing

logger = logging.getLogger(__name__)

_PATIENCE_FIRST_SECONDS = 0.25
_PATIENCE_LAST_SECONDS = 15.0
_CODE = re.compile(r"\b[Cc]ode:? (\d{1,4})\b")
"""ClickHouse's number of an error (`system.errors` has their names): `Code: 241. DB::Exception`."""
_CROWDED_SHARE = 2
"""Half of what may be in flight is left for what comes in while the first half is written."""
_PACKED_ROWS = 2_000
_WEIGHT = 4
"""Until they are packed, rows take about 1.2 kB of memory where the lane counts 0.35 kB for their
record.
"""


class Inserts:
    """The inserts of a worker's partitions: one at a time, rarer while ClickHouse is away."""

    def __init__(self, write: Callable[[Batch], None], executor: Executor) -> None:
        self._write = write
        self._executor = executor
        self._turn = asyncio.Lock()
        self._patience = 0.0
        self._not_before = 0.0
        self._away_since: float | None = None

    @property
    def away(self) -> bool:
        """Whether ClickHouse takes no rows."""
        return self._away_since is not None

    def may_try(self) -> bool:
        """Whether an insert would be made now, and not put off."""
        return time.monotonic() >= self._not_before

    async def insert(self, batch: Batch) -> bool:
        """Whether ClickHouse has the batch now. If not, it is to be offered again.

        Raises what waiting does not mend.
        """
        async with self._turn:
            if not self.may_try():
                return False
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._write, batch)
            except (ClickHouseError, ClickHouseUnreachableError, OSError) as error:
                self._refused(batch, error)
                return False
            self._accepted()
            return True

    def _refused(self, batch: Batch, error: Exception) -> None:
        now = time.monotonic()
        self._patience = min(self._patience * 2 or _PATIENCE_FIRST_SECONDS, _PATIENCE_LAST_SECONDS)
        self._not_before = now + self._patience
        if self._away_since is None:
            self._away_since = now
        logger.warning(
            "ClickHouse does not take rows, trying again in %.2g s (%s): %s",
            self._patience,
            batch.token(),
            _code_of(error),
        )

    def _accepted(self) -> None:
        if self._away_since is not None:
            seconds = time.monotonic() - self._away_since
            logger.warning("ClickHouse takes rows again, after %.1f s", seconds)
        self._away_since = None
        self._patience = self._not_before = 0.0


def _code_of(error: Exception) -> str:
    """What the log says of an error: ClickHouse quotes the rows that it stumbles over."""
    if not isinstance(error, ClickHouseError):
        return shown(error)
    code = _CODE.search(str(error))
    return shown(error) if code is None else f"{type(error).__name__}, code {code[1]}"


class SinkPartition(OutsidePartition):
    """One partition of a topic that goes to ClickHouse; the lane's kind is `Partition`.

    Args:
        tp: which.
        planner: makes rows.
        inserts: of this worker.
        commit: an offset and what is kept beside it, for the group; False when it refuses.
        topic_id: tells the topic from one of the same name that was deleted.
        intended: the range that a sink was about to write and may have written. It is cut again as
            it was, before anything else.
        batch_rows: records that make a batch.
        batch_seconds: age at which a smaller one is written.
        crowded: whether too much waits in this worker for that; asked by one that could go, with
            the bytes that wait in it.
    """

    def __init__(
        self,
        tp: TP,
        planner: Planner,
        inserts: Inserts,
        commit: Callable[[TP, int, str], Awaitable[bool]],
        *,
        topic_id: str,
        intended: Intention | None,
        batch_rows: int,
        batch_seconds: float,
        crowded: Callable[[int], bool] = lambda _bytes: False,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(tp)
        self.hurry = False
        """Write what there is, however little: the worker stops."""
        self._planner = planner
        self._inserts = inserts
        self._commit = commit
        self._topic_id = topic_id
        self._batch_rows = batch_rows
        self._batch_seconds = batch_seconds
        self._crowded = crowded
        self._open = Batch(*tp)
        self._opened_at = time.monotonic()
        self._repeating = intended
        """The open batch is this range, which is not complete yet."""
        self._writing: _Cut | None = None
        self._done: int | None = None
        """Behind the last range that ClickHouse has."""
        self._tracing = tracing
        self._spans: list[Span] = []
        """Of the records of sampled traces in the open batch."""
        self._next_offset: int | None = None
        self._committed_offset: int | None = None
        """The last one that was committed with nothing intended behind it."""
        self._committing = asyncio.Lock()

    # ── taking in ───────────────────────────────────────────────────────────────────────────────

    def take(self, records: Sequence[Record]) -> None:
        """Turn the step's records into rows."""
        if self._repeating is not None and self._is_of_another_log(records[0]):
            self._repeating = None
        if self._repeating is not None:
            end = self._repeating.end
            within = [record for record in records if record.offset < end]
            self._extend(within)
            if len(within) == len(records):
                return
            self._repeat()
            records = records[len(within) :]
        if not self._open.records:
            self._opened_at = time.monotonic()
        self._extend(records)

    def _extend(self, records: Sequence[Record]) -> None:
        self._planner.extend(self._open, records)
        if self._tracing is not None:
            for record in records:
                span = self._tracing.take_up("sink insert", record)
                if span is not None and span.trace_id:
                    self._spans.append(span)

    def finish(self, end: int, size: int) -> None:
        self._next_offset = end
        self._open.size += size * _WEIGHT
        if sum(map(len, self._open.rows.values())) >= _PACKED_ROWS:
            self._open.size = pack(self._open)
        self.stepping = False
        if self._repeating is not None and end >= self._repeating.end:
            self._repeat()

    def _is_of_another_log(self, record: Record) -> bool:
        """The topic was made anew while a sink wrote on: its range has nothing to do with this."""
        intended = self._repeating
        return (
            intended is not None
            and record.offset == intended.first_offset
            and record.timestamp != intended.origin
        )

    def _repeat(self) -> None:
        """The range that was intended is here again, all of it."""
        assert self._repeating is not None  # noqa: S101  asked by who calls
        self._repeating.mark(self._open)
        self._writing = _Cut(self._open, self._repeating, self._spans, said=True)
        self._repeating = None
        self._open, self._spans = Batch(*self.tp), []
        self._opened_at = time.monotonic()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def commit(self) -> float | None:
        """Write what is due and commit the offset behind it; seconds, None if nothing was done.

        While ClickHouse is away, or the group refuses, the next call tries again.
        """
        async with self._committing:
            started = time.monotonic()
            while self._writing is not None or self._cut():
                if not await self._write():
                    return None
            if self._done in (None, self._committed_offset):
                return None
            if await self._commit(self.tp, self._done or 0, ""):
                self._committed_offset = self._done
            return time.monotonic() - started

    def _cut(self) -> bool:
        """Take the open batch for writing if it is due; whether it was."""
        age = time.monotonic() - self._opened_at
        if (
            self.stepping
            or self._repeating is not None
            or self._next_offset is None
            or self._next_offset == self._done
        ):
            return False
        if not (
            self.hurry
            or self._open.is_due(age=age, rows=self._batch_rows, seconds=self._batch_seconds)
            or self._crowded(self._open.size)
        ):
            return False
        intention = intention_of(self._open, self._next_offset, self._topic_id)
        self._writing = _Cut(self._open, intention, self._spans, said=False)
        self._open, self._spans = Batch(*self.tp), []
        self._opened_at = time.monotonic()
        return True

    async def _write(self) -> bool:
        """Say what is about to be written, then write it; whether ClickHouse has it.

        What was done before is said with the same commit.
        """
        cut = self._writing
        assert cut is not None  # noqa: S101  asked by who calls
        if cut.batch.records:
            if not cut.said:
                start = cut.batch.first_offset if self._done is None else self._done
                cut.said = self._inserts.may_try() and await self._commit(
                    self.tp, start, cut.intention.as_metadata()
                )
            if not cut.said or not await self._inserts.insert(cut.batch):
                return False
        for span in cut.spans:
            span.end()
        self._writing = None
        self._done = cut.intention.end
        return True

    async def close(self) -> None:
        """Let go of it. What was not committed comes again, to whoever has the partition then."""
        async with self._committing:
            self._writing = None
            self._open, self._spans = Batch(*self.tp), []

    def oldest_waiting(self) -> dict[str, int]:
        """By table, the timestamp of the oldest record not written yet, milliseconds since 1970."""
        oldest = dict(self._open.first_timestamps)
        if self._writing is not None:
            oldest |= self._writing.batch.first_timestamps
        return oldest

    # ── what the lane asks ──────────────────────────────────────────────────────────────────────

    @property
    def next_offset(self) -> int | None:
        return self._next_offset

    @property
    def in_flight_bytes(self) -> int:
        """What can be waited for. A range that has to be taken in whole before it can be written
        is none of it: waiting for room would wait for itself.
        """
        return self.open_bytes + (0 if self._writing is None else self._writing.batch.size)

    @property
    def open_bytes(self) -> int:
        """What waits for a batch to be full."""
        return 0 if self._repeating is not None else self._open.size

    @property
    def wants_commit(self) -> bool:
        return self._writing is not None or self._next_offset != self._committed_offset


def crowd(
    partitions: Callable[[], Collection[SinkPartition]], in_flight_bytes: int
) -> Callable[[int], bool]:
    """What tells a worker's partitions not to wait until their batches are full: with many of them
    the worker would hold all that it may before any of them is. The largest go first.
    """

    def crowded(own_bytes: int) -> bool:
        together = partitions()
        waiting = sum(one.in_flight_bytes for one in together)
        if waiting * _CROWDED_SHARE < in_flight_bytes:
            return False
        return own_bytes * 2 >= max(one.open_bytes for one in together)

    return crowded


class _Cut:
    """A batch that is cut off and not yet known to be written: its range stays as it is."""

    __slots__ = ("batch", "intention", "said", "spans")

    def __init__(
        self, batch: Batch, intention: Intention, spans: list[Span], *, said: bool
    ) -> None:
        self.batch = batch
        self.intention = intention
        self.spans = spans
        """They end when the rows are there."""
        self.said = said
        """The group has the intention."""
