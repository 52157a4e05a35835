"""Questions to brokers of which one is gone, or that were frozen: who asks hears of them again, and
nobody waits for an answer that is wanted no longer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.fast_lane import asker as asker_module
from streams.fast_lane.asker import Asker
from streams.fast_lane.restore import OpeningAbandonedError, where_to_read_on
from streams.fast_lane.store import Memory, PartitionStore

PLACE = TopicPartition("changelog", 3)


class Bytes:
    def encode(self, _key: str, value: bytes) -> bytes:
        return value

    def decode(self, _key: str, raw: bytes) -> bytes:
        return raw


def in_vain() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT))


class Client:
    """librdkafka's as it was seen behind brokers that went away: it answers no question about a
    topic that it asked for in vain until it is made to look for it.
    """

    made: list[Client]

    def __init__(self, _config: object) -> None:
        self.knows_better = False
        self.asked = 0
        self.looked = 0
        self.made.append(self)

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout < 5
        self.asked += 1
        if not self.knows_better:
            raise in_vain()
        return 0, 7

    def list_topics(self, topic: str, timeout: float) -> None:
        assert (topic, timeout < 5) == ("changelog", True)
        self.looked += 1
        self.knows_better = True

    def close(self) -> None:
        """Nothing to let go of."""


class Lost(Client):
    """The first of them finds no broker any more, whatever it is asked."""

    def list_topics(self, topic: str, timeout: float) -> None:
        if self is self.made[0]:
            self.looked += 1
            raise in_vain()
        super().list_topics(topic, timeout)


class Undecided(Client):
    """Says that it has no answer by having none."""

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> Any:
        try:
            return super().get_watermark_offsets(place, timeout)
        except KafkaException:
            return None


@pytest.fixture
def store(tmp_path: Path) -> Any:
    one = PartitionStore(
        tmp_path, Bytes(), Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    )
    yield one
    one.close()


def asker_with(kind: type[Client], monkeypatch: pytest.MonkeyPatch) -> Asker:
    kind.made = []
    monkeypatch.setattr(asker_module, "Consumer", kind)
    return Asker({}, "group")


@pytest.mark.parametrize("kind", [Client, Undecided])
def test_the_topic_is_looked_for_before_a_question_is_asked_again(
    store: Any, monkeypatch: pytest.MonkeyPatch, kind: type[Client]
) -> None:
    _, end = where_to_read_on(store, asker_with(kind, monkeypatch), PLACE, "id")
    (client,) = kind.made
    assert (end, client.asked, client.looked) == (7, 2, 1)


def test_a_client_that_finds_no_broker_gives_way_to_a_new_one(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, end = where_to_read_on(store, asker_with(Lost, monkeypatch), PLACE, "id")
    first, second = Lost.made
    assert (end, first.asked, first.looked) == (7, 1, 1)
    assert second.knows_better


def test_what_is_answered_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asker = asker_with(Client, monkeypatch)
    Client.made[0].knows_better = True
    assert [asker.bounds(PLACE, 1.0) for _ in range(2)] == [(0, 7), (0, 7)]
    assert (Client.made[0].asked, Client.made[0].looked) == (2, 0)


def test_an_opening_that_is_abandoned_waits_for_no_answer(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = asker_with(Client, monkeypatch)
    (client,) = Client.made
    with pytest.raises(OpeningAbandonedError):
        where_to_read_on(store, asker, PLACE, "id", lambda: client.asked > 0)
    assert client.asked == 1
