"""Waits until a consumer group has committed everything that stands in its topics now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import HeadroomError
from streams.kafka_client import cause_of, log_bounds

_PATIENCE_SECONDS = 120.0
_REQUEST_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_COORDINATOR_SOUGHT = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class FellBehindError(HeadroomError):
    """A group did not get to the end of its topics in time."""


def wait_for_group(
    config: Mapping[str, Any],
    group: str,
    topics: Sequence[str],
    partitions: int,
    give_up: Callable[[], None],
) -> None:
    """Return when the group has committed all that the topics hold at the time of the call.

    Raises:
        FellBehindError: it has not after two minutes. Whatever `give_up` raises passes through.
    """
    consumer = Consumer({**config, "group.id": group, "enable.auto.commit": False})
    try:
        places = [TopicPartition(topic, n) for topic in topics for n in range(partitions)]
        ends = {
            (one.topic, one.partition): log_bounds(consumer, one, _REQUEST_SECONDS)[1]
            for one in places
        }
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            behind = [
                f"{one.topic}[{one.partition}] {one.offset} of {ends[one.topic, one.partition]}"
                for one in _committed(consumer, places)
                if max(one.offset, 0) < ends[one.topic, one.partition]
            ]
            if not behind:
                return
            give_up()
            if time.monotonic() > deadline:
                raise FellBehindError(f"{group} stopped at {', '.join(behind)}")
            time.sleep(_LOOK_SECONDS)
    finally:
        consumer.close()


def _committed(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """What the group has committed; nothing while its coordinator is still being found."""
    try:
        return consumer.committed(places, timeout=_REQUEST_SECONDS)
    except KafkaException as error:
        if cause_of(error).code() not in _COORDINATOR_SOUGHT:
            raise
        return [TopicPartition(one.topic, one.partition) for one in places]
