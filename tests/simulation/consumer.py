"""A consumer in memory, with the calls of confluent-kafka's that the product makes. It joins no
group: that is `simulation.group`'s matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from simulation.brokers import Brokers, refusal
from simulation.log import Entry, Place
from simulation.message import Message
from simulation.network import Network
from simulation.world import Pulse

_FETCH_RECORDS = (1, 40)
_ENOUGH_WAITING = 60


class _Reading:
    """A partition since it was assigned."""

    def __init__(self, place: Place, offset: int) -> None:
        self.place = place
        self.offset = offset
        self.told_end = -1
        self.stopped = False
        """There is nothing at its offset; it waits to be assigned anew."""


class _Lot(NamedTuple):
    """What a broker found of one partition."""

    reading: _Reading
    start: int
    entries: list[Entry]
    read_on: int
    end: int
    gone: bool


class Consumer:
    """`config` as librdkafka has it; of that count group, isolation level and whether ends are
    told.
    """

    def __init__(self, brokers: Brokers, network: Network, config: Mapping[str, Any]) -> None:
        self._brokers = brokers
        self._network = network
        self._world = network.world
        self._group = str(config.get("group.id", ""))
        self._committed_only = config.get("isolation.level", "read_committed") == "read_committed"
        self._tells_ends = bool(config.get("enable.partition.eof", False))
        self._readings: dict[Place, _Reading] = {}
        self._waiting: deque[tuple[_Reading, Message]] = deque()
        self._news = Pulse(self._world)
        self._fetching = False
        self._asked_meanwhile = False
        self._watching = False
        self._closed = False
        self._taken_for_missing: set[str] = set()
        """Topics that were asked for in vain: as librdkafka's, it asks no more until it is made to
        look for them.
        """

    # ── assignment ──────────────────────────────────────────────────────────────────────────────

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.unassign()
        self.incremental_assign(places)

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None:
        for one in places:
            place = (one.topic, one.partition)
            self._readings[place] = _Reading(place, one.offset)
        self._ask_again()

    def incremental_unassign(self, places: Sequence[TopicPartition]) -> None:
        for one in places:
            reading = self._readings.pop((one.topic, one.partition))
            self._waiting = deque(each for each in self._waiting if each[0] is not reading)

    def unassign(self) -> None:
        self._readings.clear()
        self._waiting.clear()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def poll(self, timeout: float = 1.0) -> Message | None:
        found = self.consume(1, timeout)
        return found[0] if found else None

    def consume(self, num_messages: int = 1, timeout: float = 1.0) -> list[Message]:
        """Up to so many messages; fewer when no more came within `timeout`."""
        self._world.still_alive(self._network.process)
        deadline = self._world.now + timeout
        found: list[Message] = []
        while True:
            while self._waiting and len(found) < num_messages:
                found.append(self._waiting.popleft()[1])
            left = deadline - self._world.now
            if len(found) == num_messages or left <= 0 or not self._news.wait(left):
                self._fetch()
                return found

    def close(self) -> None:
        self._closed = True
        self.unassign()

    def _fetch(self) -> None:
        if self._fetching or self._closed or not self._readings:
            return
        if len(self._waiting) >= _ENOUGH_WAITING or not self._network.process.alive:
            return
        self._fetching = True
        self._asked_meanwhile = False
        places = [reading for reading in self._readings.values() if not reading.stopped]
        most = self._world.chance.randint(*_FETCH_RECORDS)
        self._network.send("fetch", lambda: self._look(places, most), self._take)

    def _look(self, readings: Sequence[_Reading], most: int) -> list[_Lot]:
        """At the broker: what there is of each partition."""
        lots = []
        for reading in readings:
            log = self._brokers.log(reading.place)
            start = log.first if reading.offset == OFFSET_BEGINNING else reading.offset
            end = log.end_for(committed=self._committed_only)
            if not log.first <= start <= log.end:
                lots.append(_Lot(reading, start, [], start, end, gone=True))
                continue
            entries, read_on = log.read(start, most, committed=self._committed_only)
            if read_on > start or (self._tells_ends and reading.told_end != end):
                lots.append(_Lot(reading, start, entries, read_on, end, gone=False))
        if not lots and not self._watching:
            self._watching = True
            self._brokers.watch(self._hear_of_more)
        self._world.chance.shuffle(lots)
        return lots

    def _hear_of_more(self) -> None:
        """At the broker, which has held the answer back until there was something to say."""
        self._watching = False
        self._world.at(self._world.latency(), self._ask_again, self._network.process)

    def _ask_again(self) -> None:
        self._asked_meanwhile = True
        self._fetch()

    def _take(self, lots: object, _error: object) -> None:
        """Back here: what is wanted of it still."""
        assert isinstance(lots, list)
        self._fetching = False
        for lot in lots:
            reading: _Reading = lot.reading
            place = reading.place
            if self._readings.get(place) is not reading:
                continue
            if lot.gone:
                error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
                self._waiting.append((reading, Message(place, lot.start, None, error)))
                reading.stopped = True
                continue
            for entry in lot.entries:
                self._waiting.append((reading, Message(place, entry.offset, entry.record)))
            reading.offset = lot.read_on
            if self._tells_ends and lot.read_on >= lot.end and reading.told_end != lot.read_on:
                reading.told_end = lot.read_on
                error = KafkaError(KafkaError._PARTITION_EOF)
                self._waiting.append((reading, Message(place, lot.read_on, None, error)))
        if lots:
            self._news.give()
        if lots or self._asked_meanwhile:
            self._fetch()

    # ── questions ───────────────────────────────────────────────────────────────────────────────

    def committed(
        self, partitions: Sequence[TopicPartition], timeout: float = 60.0
    ) -> list[TopicPartition]:
        def look() -> list[TopicPartition]:
            found = []
            for one in partitions:
                place = (one.topic, one.partition)
                offset = self._brokers.offset_of(self._group, place, stable=self._committed_only)
                found.append(TopicPartition(*place, OFFSET_INVALID if offset is None else offset))
            return found

        return self._network.ask("committed", look, timeout)

    def commit(
        self, *, offsets: Sequence[TopicPartition], asynchronous: bool = False
    ) -> Sequence[TopicPartition]:
        """As nobody's member."""
        assert not asynchronous
        places = {(one.topic, one.partition): one.offset for one in offsets}
        self._network.ask("commit", lambda: self._brokers.commit_offsets(self._group, places), 60.0)
        return offsets

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = 60.0
    ) -> tuple[int, int]:
        place = (partition.topic, partition.partition)

        def look() -> tuple[int, int]:
            log = self._brokers.log(place)
            return log.first, log.end_for(committed=self._committed_only)

        if partition.topic in self._taken_for_missing:
            raise refusal(KafkaError._UNKNOWN_PARTITION)
        try:
            return self._network.ask("watermarks", look, timeout)
        except KafkaException:
            self._taken_for_missing.add(partition.topic)
            raise

    def list_topics(self, topic: str | None = None, timeout: float = 60.0) -> None:
        self._network.ask("metadata", lambda: self._brokers.partitions(topic or ""), timeout)
        self._taken_for_missing.discard(topic or "")

    def consumer_group_metadata(self) -> Any:
        """What the brokers are told of the group: its name, and nobody's membership."""
        return self._group
