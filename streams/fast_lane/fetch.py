"""Reads the records of an agent's partitions: bytes by librdkafka, membership by Faust.

aiokafka parses every record in Python and asks for all partitions anew with every fetch, which took
a fifth of a worker's time and most of an answer's. Here a thread waits in librdkafka and hands over
what has come, a partition's records as one `Fetched`.

Only what the lane opened is read, from where the lane says. Nothing is read while the lane has
enough (`may_read`): it stays with librdkafka (bounded) and with the broker. An agent of topics that
belong together gets the oldest records first (`streams.fast_lane.oldest_first`).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from faust.types import TP

from streams.fast_lane.asker import Asker
from streams.fast_lane.fail_stop import stop_the_process
from streams.fast_lane.fetched import Fetched, fetched
from streams.fast_lane.oldest_first import OldestFirst
from streams.kafka_client import Complaint, cause_of
from streams.record import Record

logger = logging.getLogger(__name__)

_LOT_RECORDS = 1000
_LISTEN_SECONDS = 0.05
_HANDED_OVER_BYTES = 1 << 20
"""Of an agent that gets the oldest first, no more: what was handed over keeps its place."""
_WAITING_BYTES = 2 << 20
"""So much of a partition may wait for its turn. One that is ahead is left alone then, until half of
it is taken.
"""
_SOME_AT_A_TIME = {"queued.min.messages": 1000}
"""What librdkafka has of a partition that is left alone is thrown away: it need not have much."""
_MUCH_RECORDS = 100
_PATIENCE_SECONDS = 0.25
"""So long records are waited for of a partition that has so many, and of which none is here."""
_CLOSED_SECONDS = 0.005
_ASK_SECONDS = 1.5
_ASK_AGAIN_SECONDS = 0.2
OF_NO_HELP_TO_WAIT = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._FATAL,  # noqa: SLF001  its public name
    }
)


class _Place(msgspec.Struct):
    partition: int
    ls_offset: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[str, _Place] = {}


class _Statistics(msgspec.Struct):
    """What is needed of librdkafka's statistics; `ls_offset` is the last stable offset."""

    topics: dict[str, _Topic] = {}


_statistics = msgspec.json.Decoder(_Statistics)


class _Reading:
    """A partition from its opening to its closing; tells apart what came before and after."""

    __slots__ = ("gone", "heard_at", "next_offset", "opening", "tp")

    def __init__(self, tp: TP, next_offset: int | None, opening: int) -> None:
        self.tp = tp
        self.next_offset = next_offset
        """None until the brokers have said where to begin."""
        self.opening = opening
        self.heard_at = 0.0
        """When something of it came, or was asked for first."""
        self.gone: int | None = None
        """The record that was wanted and that there is no more."""


class Fetch:
    """The reader of one Faust App.

    Its methods belong to the event loop; a thread of its own has the consumer.
    """

    def __init__(
        self, config: Mapping[str, Any], group: str, *, oldest_first: bool = False
    ) -> None:
        """Nothing is read before `start`.

        Args:
            config: of the client.
            group: whose committed offset is the beginning where the lane knows none. The consumer
                does not join it.
            oldest_first: give the records of all partitions in the order of time, as far as they
                are here.
        """
        self._client_config, self._group = config, group
        self._config = {
            **config,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            # Where there is no committed offset `start` is asked for by name; an offset that is
            # gone must not be passed over in silence.
            "auto.offset.reset": "error",
            # Says how far a log goes that ends with something that is no record.
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16 * 1024,
            "statistics.interval.ms": 1000,
            "stats_cb": self._note_ends,
            **(_SOME_AT_A_TIME if oldest_first else {}),
        }
        self.may_read: Callable[[], bool] = lambda: True
        """Asked by the thread before it takes records."""
        self.queued_bytes = 0
        """Bytes on their way to the agent; who takes them off counts them off."""
        self._ends: Mapping[TP, int] = {}
        self._open: dict[TP, _Reading] = {}
        self._openings = 0
        self._waiting: deque[tuple[_Reading, Fetched]] = deque()
        self._arrived = asyncio.Event()
        self._orders: queue.SimpleQueue[tuple[str, _Reading]] = queue.SimpleQueue()
        self._lost: list[_Reading] = []
        """The thread's: those of which nobody has said yet where they begin."""
        self._ask_at = 0.0
        self._in_line = OldestFirst[_Reading]() if oldest_first else None
        self._left_alone: set[_Reading] = set()
        """The thread's: those of which enough waits."""
        self._consumer: Consumer | None = None
        self._asker: Asker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._complain = Complaint()

    # ── the event loop's side ───────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the thread. Called on the event loop that is to get the records."""
        self._loop = asyncio.get_running_loop()
        self._consumer = Consumer(self._config)
        self._asker = Asker(self._client_config, self._group)
        self._thread = threading.Thread(target=self._read, name="fetch", daemon=True)
        self._thread.start()

    def open(self, tp: TP, next_offset: int | None) -> None:
        """Read a partition from an offset, or from the group's committed one (else the first)."""
        self.close(tp)
        self._openings += 1
        self._open[tp] = reading = _Reading(tp, next_offset, self._openings)
        self._orders.put(("open", reading))

    def is_current(self, tp: TP, fetched: Fetched) -> bool:
        """Whether the records were read since the partition was opened last: what Faust still holds
        from before belongs to a state that was thrown away.
        """
        reading = self._open.get(tp)
        return reading is not None and reading.opening == fetched.opening

    def is_reading(self) -> bool:
        """Of every partition that is open it is known where to read."""
        return all(reading.next_offset is not None for reading in self._open.values())

    def close(self, tp: TP) -> None:
        """Read it no longer; what is on its way from it is dropped."""
        reading = self._open.pop(tp, None)
        if reading is None:
            return
        self._orders.put(("close", reading))
        kept = [one for one in self._waiting if one[0] is not reading]
        self.queued_bytes -= sum(lot.size for one, lot in self._waiting if one is reading)
        self._waiting = deque(kept)

    def close_all(self) -> None:
        for tp in list(self._open):
            self.close(tp)

    async def arrival(self, patience: float) -> bool:
        """Wait for records, `patience` seconds at most; whether there are some to `take`."""
        if not self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._arrived.wait()
            except TimeoutError:
                return False
        return bool(self._waiting)

    def take(self) -> tuple[TP, Fetched]:
        """The next partition's records, which are not read again. Raises `IndexError` when there
        are none.
        """
        reading, lot = self._waiting.popleft()
        return reading.tp, lot

    def end_of(self, tp: TP) -> int | None:
        """Where the log ended a second ago or so, None when it is not known yet."""
        return self._ends.get(tp)

    async def stop(self) -> None:
        """Let go of everything."""
        self._open.clear()
        self._waiting.clear()
        self._stopping = True
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _queue(self, arrived: list[tuple[_Reading, Fetched]]) -> None:
        for reading, lot in arrived:
            if self._open.get(reading.tp) is reading:
                self._waiting.append((reading, lot))
                self.queued_bytes += lot.size
        if self._waiting:
            self._arrived.set()

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        consumer, asker = self._consumer, self._asker
        assert consumer is not None  # noqa: S101  `start` made both
        assert asker is not None  # noqa: S101
        readings: dict[TP, _Reading] = {}
        try:
            while not self._stopping:
                self._obey(consumer, readings)
                self._place_the_lost(asker, consumer, readings)
                if readings and self._in_line is not None:
                    self._hand_over_the_oldest(self._in_line, consumer, readings)
                elif readings and self.may_read():
                    self._hand_over(self._listen(_LISTEN_SECONDS, consumer, readings))
                else:
                    time.sleep(_CLOSED_SECONDS)
        except Exception as error:  # noqa: BLE001  without it the worker would wait in silence
            if not self._stopping:  # else it gave up asking for what nobody wants any more
                stop_the_process("reading from the brokers failed", error)
        finally:
            asker.close()
            consumer.close()

    def _obey(self, consumer: Consumer, readings: dict[TP, _Reading]) -> None:
        while True:
            try:
                order, reading = self._orders.get_nowait()
            except queue.Empty:
                return
            if order == "open" and reading.next_offset is None:
                self._lost.append(reading)
            elif order == "open":
                self._begin(reading, reading.next_offset, consumer, readings)
            else:
                self._let_go(reading, consumer, readings)

    def _begin(
        self, reading: _Reading, at: int | None, consumer: Consumer, readings: dict[TP, _Reading]
    ) -> None:
        assert at is not None  # noqa: S101  asked before
        reading.next_offset, reading.heard_at = at, time.monotonic()
        readings[reading.tp] = reading
        consumer.incremental_assign([TopicPartition(*reading.tp, at)])

    def _place_the_lost(
        self, asker: Asker, consumer: Consumer, readings: dict[TP, _Reading]
    ) -> None:
        """Ask where they begin, one after the other; the rest is read meanwhile."""
        while self._lost and not self._stopping and time.monotonic() >= self._ask_at:
            reading = self._lost.pop(0)
            asked_at = time.monotonic()
            try:
                at = self._beginning(reading, asker)
            except KafkaException as error:
                if cause_of(error).code() in OF_NO_HELP_TO_WAIT:
                    raise
                self._complain(
                    "where to read %s-%s is not known: %s", *reading.tp, cause_of(error).str()
                )
                # Another's leader may answer; and those that are read have half of the time.
                self._lost.append(reading)
                now = time.monotonic()
                self._ask_at = now + max(now - asked_at, _ASK_AGAIN_SECONDS)
                return
            if reading.gone is not None:
                logger.error(
                    "%s-%s: record %s is gone, going on with %s", *reading.tp, reading.gone, at
                )
            self._begin(reading, at, consumer, readings)

    def _beginning(self, reading: _Reading, asker: Asker) -> int:
        """What the group has committed, or else the first record there is; and that where the one
        that was wanted is gone.
        """
        place = TopicPartition(*reading.tp)
        if reading.gone is None:
            committed = asker.committed(place, _ASK_SECONDS)
            if committed >= 0:
                return committed
        return asker.bounds(place, _ASK_SECONDS)[0]

    def _let_go(self, reading: _Reading, consumer: Consumer, readings: dict[TP, _Reading]) -> None:
        if self._in_line is not None:
            self._in_line.drop(reading)
        if reading in self._lost:
            self._lost.remove(reading)
            return
        del readings[reading.tp]
        if reading in self._left_alone:
            self._left_alone.remove(reading)
        else:
            consumer.incremental_unassign([TopicPartition(*reading.tp)])

    def _hand_over_the_oldest(
        self, line: OldestFirst[_Reading], consumer: Consumer, readings: dict[TP, _Reading]
    ) -> None:
        """Put in line what has come, and hand over what is first there."""
        patience = _LISTEN_SECONDS
        if line:
            patience = 0.0 if self._is_somebodys_turn(line, readings) else _CLOSED_SECONDS
        for reading, lot in self._listen(patience, consumer, readings):
            reading.heard_at = time.monotonic()
            line.put(reading, lot, int(time.time() * 1000))
            if line.bytes_of(reading) > _WAITING_BYTES and reading not in self._left_alone:
                self._left_alone.add(reading)
                consumer.incremental_unassign([TopicPartition(*reading.tp)])
        if not self._is_somebodys_turn(line, readings):
            return
        reading, lot = line.take()
        self._hand_over([(reading, lot)])
        if reading in self._left_alone and line.bytes_of(reading) <= _WAITING_BYTES // 2:
            self._left_alone.remove(reading)
            self._begin(reading, reading.next_offset, consumer, readings)

    def _is_somebodys_turn(self, line: OldestFirst[_Reading], readings: dict[TP, _Reading]) -> bool:
        """Little is handed over at a time, since it keeps its place whatever comes; and nothing
        while nothing is here of a partition that has much to catch up on, but soon will be.
        """
        if not line or self.queued_bytes >= _HANDED_OVER_BYTES or not self.may_read():
            return False
        soon = time.monotonic() - _PATIENCE_SECONDS
        return not any(
            reading.heard_at > soon
            and not line.bytes_of(reading)
            and self._ends.get(tp, 0) - (reading.next_offset or 0) > _MUCH_RECORDS
            for tp, reading in readings.items()
        )

    def _listen(
        self, patience: float, consumer: Consumer, readings: dict[TP, _Reading]
    ) -> list[tuple[_Reading, Fetched]]:
        """What has come, by partition."""
        message = consumer.poll(patience)
        if message is None:
            return []
        # `consume` alone would wait until a lot is full or its time is up.
        messages = [message, *consumer.consume(_LOT_RECORDS, 0)]
        return self._sorted_out(messages, consumer, readings)

    def _sorted_out(
        self, messages: list[Message], consumer: Consumer, readings: dict[TP, _Reading]
    ) -> list[tuple[_Reading, Fetched]]:
        lots: dict[TP, list[Record]] = {}
        ends: dict[TP, int] = {}
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._troubled(error, topic, partition, consumer, readings)
                continue
            if topic is None or partition is None or offset is None:
                continue
            tp = TP(topic, partition)
            if error is not None:
                ends[tp] = offset
                continue
            ends[tp] = offset + 1
            lots.setdefault(tp, []).append(
                Record(
                    topic,
                    partition,
                    offset,
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    message.headers() or [],
                )
            )
        arrived = []
        for tp, end in ends.items():
            reading = readings.get(tp)
            if reading is None or reading.next_offset is None or end <= reading.next_offset:
                continue
            lot = fetched(reading.next_offset, end, lots.get(tp, []), reading.opening)
            arrived.append((reading, lot))
            reading.next_offset = end
        return arrived

    def _hand_over(self, arrived: list[tuple[_Reading, Fetched]]) -> None:
        if arrived and self._loop is not None and not self._stopping:
            self._loop.call_soon_threadsafe(self._queue, arrived)

    def _troubled(
        self,
        error: KafkaError,
        topic: str | None,
        partition: int | None,
        consumer: Consumer,
        readings: dict[TP, _Reading],
    ) -> None:
        """Go on from the first record that there is when the wanted one is gone; the lane says
        whether it can do without.
        """
        if error.code() in OF_NO_HELP_TO_WAIT:
            stop_the_process(f"{topic} cannot be read: {error.str()}")
        reading = None if topic is None or partition is None else readings.get(TP(topic, partition))
        if error.code() != KafkaError._AUTO_OFFSET_RESET or reading is None:  # noqa: SLF001
            self._complain("reading %s: %s", topic, error.str())
            return
        if reading not in self._left_alone:
            consumer.incremental_unassign([TopicPartition(*reading.tp)])
        self._left_alone.discard(reading)
        del readings[reading.tp]
        reading.gone, reading.next_offset = reading.next_offset, None
        self._lost.append(reading)

    def _note_ends(self, statistics: str) -> None:
        told = _statistics.decode(statistics)
        self._ends = {
            TP(topic, place.partition): place.ls_offset
            for topic, places in told.topics.items()
            for place in places.partitions.values()
            if place.ls_offset >= 0
        }
