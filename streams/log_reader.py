"""Reads a partition from its beginning to where it ends now: for replays and questions, not for
agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka_client import log_bounds, topic_facts
from streams.record import Record

_REQUEST_SECONDS = 30.0
_RECORDS = 2_000
_WAIT_SECONDS = 1.0
_GATHER_SECONDS = 0.01
_BUFFER_KIB = 8 * 1024

Advance = Callable[[int], None]
"""Hears how many offsets more are done."""
Track = Callable[[str, int], Advance]
"""Begins a stage of so many offsets, and says whom to tell how many more are done."""


def open_readers(config: Mapping[str, Any], topic: str) -> list[LogReader]:
    """One reader per partition of a topic.

    Raises `TopicMissingError` when there is no such topic.
    """
    count = topic_facts(AdminClient(dict(config)), [topic])[topic].partitions
    return [LogReader(config, topic, partition) for partition in range(count)]


class LogReader:
    """One partition's records, oldest first, and how many offsets they span.

    Args:
        config: of a Kafka client.
        topic: and
        partition: which.
        start: from which offset; without one from the first that there is.
    """

    def __init__(
        self, config: Mapping[str, Any], topic: str, partition: int, start: int | None = None
    ) -> None:
        self.topic = topic
        self.partition = partition
        self._consumer = Consumer(
            {
                **config,
                "group.id": "headroom-reader",  # never joined: partitions are assigned
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "queued.max.messages.kbytes": _BUFFER_KIB,
                # At the end of the log the brokers answer only after so long, and the client tells
                # the end with that answer.
                "fetch.wait.max.ms": 10,
            }
        )
        try:
            place = TopicPartition(topic, partition)
            self.first, self.end = log_bounds(self._consumer, place, _REQUEST_SECONDS)
        except KafkaException:
            self._consumer.close()
            raise
        self._start = OFFSET_BEGINNING if start is None else start
        self.first = max(self.first, start or 0)

    def __iter__(self) -> Iterator[Record]:
        """The records that were there when the reader was made; it is closed behind the last.

        Raises `KafkaException` when the brokers refuse.
        """
        try:
            if self.end > self.first:
                start = TopicPartition(self.topic, self.partition, self._start)
                self._consumer.assign([start])
                yield from self._to_the_end()
        finally:
            self._consumer.close()

    def told(self, advance: Advance) -> Iterator[Record]:
        """The same, and how far it is after each of them."""
        position = self.first
        for record in self:
            advance(record.offset + 1 - position)
            position = record.offset + 1
            yield record
        advance(max(self.end - position, 0))

    def _to_the_end(self) -> Iterator[Record]:
        topic, partition = self.topic, self.partition
        while True:
            first = self._consumer.poll(_WAIT_SECONDS)
            if first is None:
                continue
            # Asked for a lot at once and with patience, the client would sit out its time at the
            # end.
            for message in [first, *self._consumer.consume(_RECORDS, _GATHER_SECONDS)]:
                error = message.error()
                offset = message.offset() or 0
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
                        if error.retriable():
                            continue
                        raise KafkaException(error)
                    if offset >= self.end:
                        return
                    continue
                if offset >= self.end:
                    return
                _, timestamp = message.timestamp()
                headers = message.headers() or []
                yield Record(
                    topic, partition, offset, timestamp, message.key(), message.value(), headers
                )
