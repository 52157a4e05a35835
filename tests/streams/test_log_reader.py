"""A reader of a log whose brokers do not answer."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import log_reader
from streams.kafka_client import cause_of
from streams.log_reader import LogReader


class Silent:
    """librdkafka's client when it says that it has no answer by having none."""

    closed = 0

    def __init__(self, _config: object) -> None:
        """Nothing to set up."""

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> Any:
        assert timeout > 0

    def close(self) -> None:
        Silent.closed += 1


def test_no_answer_is_told_as_one_and_the_client_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Silent, "closed", 0)
    monkeypatch.setattr(log_reader, "Consumer", Silent)
    with pytest.raises(KafkaException) as told:
        LogReader({}, "topic", 0)
    assert cause_of(told.value).code() == KafkaError._TIMED_OUT
    assert Silent.closed == 1
