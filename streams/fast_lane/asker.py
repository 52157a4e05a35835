"""Questions to the brokers: where a log begins and ends, and what a group has committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.kafka_client import log_bounds

_Answer = TypeVar("_Answer")


class Asker:
    """A client that reads nothing, for any number of threads.

    One that asked in vain cannot be relied on to hear when the brokers are back. Seen with brokers
    that went away or froze: it asks the leader that it knows of, dead or not; it takes the topic
    for one that does not exist; it finds no broker any more, for minutes. So a topic that was asked
    for in vain is looked for before the next question, which helps with the first two, and a client
    that cannot do that either gives way to a new one. Before that it is kept: a new one needs half
    a second until it has found the group's coordinator.

    Args:
        config: of the client.
        group: whose offsets are asked for. It is not joined.
    """

    def __init__(self, config: Mapping[str, Any], group: str) -> None:
        self._config = {
            **config,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
        self._client = Consumer(self._config)
        self._doubtful: set[str] = set()
        self._changing = threading.Lock()

    def committed(self, place: TopicPartition, timeout: float) -> int:
        """The offset that the group has committed, negative when there is none.

        Raises `KafkaException` when there is no answer within so many seconds.
        """
        return self.committed_place(place, timeout).offset

    def committed_place(self, place: TopicPartition, timeout: float) -> TopicPartition:
        """The same, with the metadata that the group keeps beside it."""

        def look(client: Consumer) -> TopicPartition:
            found = client.committed([place], timeout=timeout)[0]
            if found.error is not None:
                raise KafkaException(found.error)
            return found

        return self._ask(place, look, timeout)

    def bounds(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        """The first offset of a log, and the one behind its last committed record.

        Raises `KafkaException` when there is no answer within so many seconds.
        """
        return self._ask(place, lambda client: log_bounds(client, place, timeout), timeout)

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()

    def _ask(
        self, place: TopicPartition, question: Callable[[Consumer], _Answer], timeout: float
    ) -> _Answer:
        client = self._client
        if place.topic in self._doubtful:
            try:
                client.list_topics(place.topic, timeout=timeout)
            except KafkaException:
                self._replace(client)
                raise
            self._doubtful.discard(place.topic)
        try:
            return question(client)
        except KafkaException:
            self._doubtful.add(place.topic)
            raise

    def _replace(self, client: Consumer) -> None:
        """Whoever is still asking the old one may end that; nobody closes it under their hands."""
        with self._changing:
            if self._client is client:
                self._client = Consumer(self._config)
                self._doubtful.clear()
