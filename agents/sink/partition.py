"""A partition as the sink has it: its rows wait in a batch, and are committed by being written.

    take()    records -> rows of the open batch
    commit()  a batch that is due -> ClickHouse -> the offset behind it

While ClickHouse is away the same batch is tried again and again and what comes in meanwhile piles
up, until the lane takes in no more (`in_flight_bytes`) and the rest stays with the broker. Nothing
is dropped, and no offset is committed before the rows in front of it are written.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError
from faust.types import TP

from agents.sink.plan import Batch, Planner
from streams.clickhouse import ClickHouseUnreachableError
from streams.fast_lane.fetch import Record
from streams.fast_lane.partition import OutsidePartition
from streams.logs import shown

if TYPE_CHECKING:  # OpenTelemetry is imported only where somebody takes traces
    from streams.tracing import Span, Tracing

logger = logging.getLogger(__name__)

_PATIENCE_FIRST_SECONDS = 0.25
_PATIENCE_LAST_SECONDS = 15.0
_CODE = re.compile(r"\b[Cc]ode:? (\d{1,4})\b")
"""ClickHouse's number of an error (`system.errors` has their names): `Code: 241. DB::Exception`."""
_WEIGHT = 4
"""Rows take about 1.2 kB of memory where the lane counts 0.35 kB for their record."""


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

    async def insert(self, batch: Batch) -> bool:
        """Whether ClickHouse has the batch now. If not, it is to be offered again.

        Raises what waiting does not mend.
        """
        async with self._turn:
            if time.monotonic() < self._not_before:
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
    """One partition of a topic that goes to ClickHouse; the lane's kind is `Partition`."""

    def __init__(
        self,
        tp: TP,
        planner: Planner,
        inserts: Inserts,
        commit_offset: Callable[[TP, int], Awaitable[bool]],
        *,
        batch_rows: int,
        batch_seconds: float,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(tp)
        self.hurry = False
        """Write what there is, however little: the worker stops."""
        self._planner = planner
        self._inserts = inserts
        self._commit_offset = commit_offset
        self._batch_rows = batch_rows
        self._batch_seconds = batch_seconds
        self._open = Batch(*tp)
        self._opened_at = time.monotonic()
        self._writing: Batch | None = None
        """Cut off, and not yet known to be written. It keeps its range, and with that its token."""
        self._writing_end = 0
        self._tracing = tracing
        self._open_spans: list[Span] = []
        """Of the records of sampled traces in the open batch; of those in the other one:"""
        self._writing_spans: list[Span] = []
        self._next_offset: int | None = None
        self._committed_offset: int | None = None
        self._committing = asyncio.Lock()

    # ── taking in ───────────────────────────────────────────────────────────────────────────────

    def take(self, records: Sequence[Record]) -> None:
        """Turn the step's records into rows."""
        if not self._open.records:
            self._opened_at = time.monotonic()
        self._planner.extend(self._open, records)
        if self._tracing is not None:
            for record in records:
                span = self._tracing.take_up("sink insert", record)
                if span is not None and span.trace_id:
                    self._open_spans.append(span)

    def finish(self, end: int, size: int) -> None:
        self._next_offset = end
        self._open.size += size * _WEIGHT
        self.stepping = False

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    async def commit(self) -> float | None:
        """Write the batch if it is due, then commit the offset behind it; seconds, None if not.

        Tries once: while ClickHouse is away, the next call tries again.
        """
        async with self._committing:
            if self._writing is None and not self._cut():
                return None
            started = time.monotonic()
            if self._writing is not None:
                if self._writing.records and not await self._inserts.insert(self._writing):
                    return None
                self._writing = None
                for span in self._writing_spans:
                    span.end()
                self._writing_spans = []
            if self._writing_end != self._committed_offset and await self._commit_offset(
                self.tp, self._writing_end
            ):
                self._committed_offset = self._writing_end
            return time.monotonic() - started

    def _cut(self) -> bool:
        """Take the open batch for writing if it is due; whether it was."""
        age = time.monotonic() - self._opened_at
        if self.stepping or self._next_offset in (None, self._committed_offset):
            return False
        if not self.hurry and not self._open.is_due(
            age=age, rows=self._batch_rows, seconds=self._batch_seconds
        ):
            return False
        self._writing, self._writing_end = self._open, self._next_offset or 0
        self._open = Batch(*self.tp)
        self._writing_spans, self._open_spans = self._open_spans, []
        self._opened_at = time.monotonic()
        return True

    async def close(self) -> None:
        """Let go of it. What was not committed comes again, to whoever has the partition then."""
        async with self._committing:
            self._writing = None
            self._open = Batch(*self.tp)
            self._writing_spans, self._open_spans = [], []

    def oldest_waiting(self) -> dict[str, int]:
        """By table, the timestamp of the oldest record not written yet, milliseconds since 1970."""
        oldest = dict(self._open.first_timestamps)
        if self._writing is not None:
            oldest |= self._writing.first_timestamps
        return oldest

    # ── what the lane asks ──────────────────────────────────────────────────────────────────────

    @property
    def next_offset(self) -> int | None:
        return self._next_offset

    @property
    def in_flight_bytes(self) -> int:
        return self._open.size + (0 if self._writing is None else self._writing.size)

    @property
    def wants_commit(self) -> bool:
        return self._writing is not None or self._next_offset != self._committed_offset
