"""Faust's Kafka transport, changed so that a partition's records come as one message.

Per event Faust does a lot (a task switch or four, an event object, acknowledgement books); per
batch the same work is nothing. For the topics named in `batch_topics` all records fetched for one
partition are delivered as one Faust message, whose value is a `Fetched` and whose offset is that of
the last record. Faust's own topics (the leader's) go their normal way.

A gate decides from which partitions records may be taken: one that is not restored yet, or has too
much in flight, stays closed, and its records stay with the broker.

This file overrides internals of faust-streaming 0.15.3 and aiokafka 0.14.0, which are pinned for
that reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, NamedTuple

import aiokafka
import faust
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

FETCH_WAIT_MILLISECONDS = 100
"""How long the broker may hold an empty fetch. Faust's 1500 makes a partition that missed one wait
so long.
"""
_CLOSED_GATE_WAIT_SECONDS = 0.01
"""How soon an opened gate is noticed when nothing else happens."""

_faust_logger = logging.getLogger("faust")
RECORD_BYTES = 1024
"""What a record takes in memory beside its value: the object, its key, its headers."""


class Fetched(NamedTuple):
    """Records of one partition, in order: all that the log holds in [`start`, `end`).

    The offsets of the records alone do not tell whether something was lost on the way, since a log
    may have holes (compaction, transaction markers). `start` is where the one before ended, or
    where a seek went.
    """

    start: int
    end: int
    records: list[aiokafka.ConsumerRecord]
    size: int
    """Bytes that the records take in memory, about."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka fetches and keeps its membership."""

    consumer: BatchConsumer
    logger = _faust_logger

    def __post_init__(self) -> None:
        super().__post_init__()
        self._starts: dict[Any, int] = {}
        self._seen: dict[Any, int] = {}

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust ties these to its own kind of transactions or hard-codes them; aiokafka reads them
        # at start.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_WAIT_MILLISECONDS  # noqa: SLF001
        return consumer

    async def _fetch_records(  # type: ignore[override]  # a `Fetched` instead of a list
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP] | None,
        timeout: float | None = None,  # noqa: ASYNC109  Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, Fetched]:
        """What has been fetched for the partitions whose gate is open; waits up to `timeout`
        seconds for some.
        """
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher  # noqa: SLF001
        deadline = time.monotonic() + (timeout or 0.0)
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            while True:
                if consumer._closed or fetcher._closed:  # noqa: SLF001
                    raise ConsumerStoppedError
                wanted = active_partitions or set()
                open_partitions = self.consumer.open_among(wanted)
                if open_partitions:
                    taken = await self._take(fetcher, open_partitions, max_records)
                    if taken:
                        return taken
                patience = deadline - time.monotonic()
                if patience <= 0 or not self.consumer.flow_active:
                    return {}
                if len(open_partitions) < len(wanted):
                    patience = min(patience, _CLOSED_GATE_WAIT_SECONDS)
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
                done, _ = await asyncio.wait([waiter], timeout=patience)
                if done:
                    waiter.result()  # raises when we are not allowed to read
                else:
                    waiter.cancel()

    async def _take(
        self, fetcher: Any, partitions: set[TP], max_records: int | None
    ) -> dict[TP, Fetched]:
        """Take the fetched records, noting where the log was left before and after."""
        assignment = fetcher._subscriptions.subscription.assignment  # noqa: SLF001
        if assignment is None:
            return {}
        for tp in partitions:
            position = _position(assignment, tp)
            if position is not None and self._seen.get(tp) != position:
                self._starts[tp] = position  # it sought
        drained = await fetcher.fetched_records(partitions, timeout=0, max_records=max_records)
        taken = {}
        for tp in partitions:
            position = _position(assignment, tp)
            if position is None:
                continue
            self._seen[tp] = position
            if records := drained.get(tp):
                size = sum(RECORD_BYTES + len(record.value or b"") for record in records)
                start = self._starts.pop(tp, records[0].offset)
                taken[tp] = Fetched(start, position, records, size)
                self._starts[tp] = position
        return taken


def consumer_of(app: Any) -> aiokafka.AIOKafkaConsumer:
    """The client with which an App is a member of its group. It belongs to the App's thread."""
    return app.consumer._thread._ensure_consumer()  # noqa: SLF001


def _position(assignment: Any, tp: TP) -> int | None:
    """The offset from which aiokafka goes on, None while it does not know."""
    if tp not in assignment.tps:
        return None
    state = assignment.state_value(tp)
    return state.position if state.has_valid_position else None


class BatchConsumer(driver.Consumer):
    """Delivers a partition's records as one message."""

    transport: BatchTransport
    logger = _faust_logger

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def open_among(self, partitions: set[TP]) -> set[TP]:
        """Those from which records may be taken now; called in the consumer's thread."""
        batch_topics = self.transport.batch_topics
        may_pass = self.transport.gate()
        return {tp for tp in partitions if tp.topic not in batch_topics or tp in may_pass}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109
        """The next messages; a whole partition's in one where the topic is in batch mode."""
        answer, _ = await self._wait_next_records(timeout)
        fetched: Any = answer  # a `Fetched` per partition
        generation = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, batch in fetched.items():
            if tp.topic in self.transport.batch_topics:
                message = self._to_message(tp, batch.records[-1])
                message.value = batch
                messages = [message]
                self.transport.queued_bytes += batch.size
            else:
                messages = [self._to_message(tp, record) for record in batch.records]
            for message in messages:
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                yield tp, message


class BatchTransport(driver.Transport):
    """The transport of one Faust App.

    Set before it starts: `batch_topics`, and `gate`, which tells the partitions of these topics
    whose records may be taken now. It is asked by the consumer's thread.
    """

    Consumer = BatchConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_topics: frozenset[str] = frozenset()
        self.gate: Callable[[], Collection[TP]] = frozenset
        self.queued_bytes = 0
        """Bytes on their way to the agent; who takes them off counts them off."""


class BatchSchema(faust.Schema[Any, Any]):
    """Hands a message on as the consumer made it: decoding is the agent's work."""

    def loads_key(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002
        return message.key

    def loads_value(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002
        return message.value
