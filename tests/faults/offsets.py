"""How far the workers' consumer groups stand, as anybody who asks the brokers is told."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from worker.conftest import Broker

from schemas.catalogue import INPUT_TOPICS, JOURNAL

_REQUEST_SECONDS = 30.0


def waiting(broker: Broker, app_id: str) -> list[str]:
    """The partitions with records that are not committed as done, and from where on."""
    found = []
    for agent, topics in (("intake", INPUT_TOPICS), ("credit", [JOURNAL])):
        consumer = _consumer(broker, f"{app_id}-{agent}")
        try:
            places = [TopicPartition(t, n) for t in topics for n in range(broker.partitions)]
            for told in consumer.committed(places, timeout=_REQUEST_SECONDS):
                first, end = _ends(consumer, told)
                done = max(told.offset, first)  # a group that was told nothing says less than zero
                place = TopicPartition(told.topic, told.partition, done)
                if done < end and _is_record_from(consumer, place):
                    found.append(f"{place.topic}-{place.partition} at {done}")
        finally:
            consumer.close()
    return found


def _consumer(broker: Broker, group: str) -> Consumer:
    config: dict[str, Any] = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
        "log_level": 0,
    }
    return Consumer(config)


def _ends(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    found: tuple[int, int] | None = consumer.get_watermark_offsets(place, timeout=_REQUEST_SECONDS)
    assert found is not None
    return found


def _is_record_from(consumer: Consumer, place: TopicPartition) -> bool:
    """Whether there is a record from there on: ends of transactions take offsets too."""
    consumer.assign([place])
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return True
            if error.code() == KafkaError._PARTITION_EOF:  # that is its public name
                return False
            if not error.retriable():
                raise KafkaException(error)
    finally:
        consumer.unassign()
