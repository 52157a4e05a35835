"""Questions to brokers of which one is gone: the client is made to look for the new leader, and
nobody waits for an answer that is wanted no longer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.fast_lane.restore import OpeningAbandonedError, where_to_read_on
from streams.fast_lane.store import Memory, PartitionStore


class Bytes:
    def encode(self, _key: str, value: bytes) -> bytes:
        return value

    def decode(self, _key: str, raw: bytes) -> bytes:
        return raw


class FormerLeader:
    """A client that asks a leader which is gone until it hears of another one."""

    def __init__(self) -> None:
        self.knows_better = False
        self.asked = 0

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout < 5
        self.asked += 1
        if not self.knows_better:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return 0, 7

    def list_topics(self, topic: str, timeout: float) -> None:
        assert (topic, timeout < 5) == ("changelog", True)
        self.knows_better = True


@pytest.fixture
def store(tmp_path: Path) -> Any:
    one = PartitionStore(
        tmp_path, Bytes(), Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    )
    yield one
    one.close()


def test_the_leader_is_looked_up_before_a_question_is_asked_again(store: Any) -> None:
    asker: Any = FormerLeader()
    _, end = where_to_read_on(store, asker, TopicPartition("changelog", 3), "id")
    assert (end, asker.asked) == (7, 2)


def test_an_opening_that_is_abandoned_waits_for_no_answer(store: Any) -> None:
    asker: Any = FormerLeader()
    with pytest.raises(OpeningAbandonedError):
        where_to_read_on(
            store, asker, TopicPartition("changelog", 3), "id", lambda: asker.asked > 0
        )
    assert asker.asked == 1
