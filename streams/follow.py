"""Reads topics on and on, for whoever wants to hear of what comes; it joins no group and commits
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from streams.fast_lane.fail_stop import stop_the_process
from streams.fast_lane.fetch import OF_NO_HELP_TO_WAIT
from streams.kafka_client import Complaint, cause_of, log_bounds, topic_facts
from streams.record import Record

_REQUEST_SECONDS = 10.0
_BACK_OFF_SECONDS = 0.5
_RECORDS = 500


def follow_on(follow: Callable[[], None], what: str, stopped: Callable[[], bool]) -> None:
    """Follow until it is stopped, anew whenever the brokers fail; for a thread of its own.

    Args:
        follow: reads until it is stopped.
        what: it reads, for the log.
        stopped: whether it is.
    """
    complain = Complaint()
    try:
        while not stopped():
            try:
                follow()
            except KafkaException as error:
                if cause_of(error).code() in OF_NO_HELP_TO_WAIT:
                    raise
                complain("%s cannot be read: %s", what, cause_of(error).str())
                time.sleep(_BACK_OFF_SECONDS)
    except Exception as error:  # noqa: BLE001  without it nobody would hear anything, in silence
        stop_the_process(f"{what} cannot be followed", error)


class Follower:
    """Records of some topics as they are committed. Those of one partition come in their order; of
    two partitions either may come first.

    Raises `TopicMissingError` when a topic does not exist.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Collection[str],
        *,
        since: int | None = None,
        begin: Mapping[int, int] | None = None,
    ) -> None:
        """Stands at its beginning once this returns: what is written from then on is read.

        Args:
            config: of the client.
            topics: to read.
            since: milliseconds since 1970: from the first record that old or younger; 0: from the
                first there is; None: what comes from now on.
            begin: offsets by partition, instead: of one topic; from the first record there is,
                where that is younger.
        """
        facts = topic_facts(AdminClient(dict(config)), topics)
        self._consumer = Consumer(
            {
                **config,
                "group.id": "headroom-follower",  # never joined: partitions are assigned
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._ends: dict[tuple[str, int], int] = {}
        try:
            wanted = [
                self._beginning(topic, one, since, begin)
                for topic in topics
                for one in range(facts[topic].partitions)
            ]
            if since and begin is None:
                wanted = self._consumer.offsets_for_times(wanted, timeout=_REQUEST_SECONDS)
            self._consumer.assign(wanted)
        except KafkaException:
            self._consumer.close()
            raise
        self._behind = {
            (one.topic, one.partition)
            for one in wanted
            if one.offset != OFFSET_END and one.offset < self._ends[one.topic, one.partition]
        }

    def _beginning(
        self, topic: str, partition: int, since: int | None, begin: Mapping[int, int] | None
    ) -> TopicPartition:
        place = TopicPartition(topic, partition)
        first, end = log_bounds(self._consumer, place, _REQUEST_SECONDS)
        self._ends[topic, partition] = end
        if begin is not None:
            return TopicPartition(topic, partition, max(begin.get(partition, 0), first))
        return TopicPartition(topic, partition, end if since is None else since or first)

    @property
    def ends(self) -> dict[int, int]:
        """Where each partition ended when this was made; of one topic."""
        return {partition: end for (_, partition), end in self._ends.items()}

    @property
    def has_read_what_was_there(self) -> bool:
        """All that stood in the topics when this was made has been read."""
        return not self._behind

    def read(self, patience: float) -> Iterator[Record]:
        """What has come; waits up to `patience` seconds for the first of it.

        Raises `KafkaException` when the brokers refuse.
        """
        first = self._consumer.poll(patience)
        if first is None:
            return
        # And what has come with it, without waiting for more: somebody may wait for the first.
        for message in [first, *self._consumer.consume(_RECORDS, 0)]:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                if error.retriable():
                    continue
                raise KafkaException(error)
            if topic is None or partition is None or offset is None:
                continue
            if offset + (error is None) >= self._ends[topic, partition]:
                self._behind.discard((topic, partition))
            if error is None:
                _, timestamp = message.timestamp()
                headers = message.headers() or []
                yield Record(
                    topic, partition, offset, timestamp, message.key(), message.value(), headers
                )

    def close(self) -> None:
        """Let go of the client."""
        self._consumer.close()
