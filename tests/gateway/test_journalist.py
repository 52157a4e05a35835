"""Where the gateway writes what people and order systems say."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Producer

from agents.gateway.desk import Journalist
from schemas import events as ev
from schemas.catalogue import JOURNAL
from schemas.events import Event
from streams.codec import Codec
from streams.partitioning import partition_of
from streams.registry import LockedSchemaIds

_STAMP: dict[str, Any] = {"event_id": "e-1", "occurred_at": 0, "customer_id": "C-1"}
_ANY = -1


class _Paper:
    """Keeps what is produced, as a producer would send it."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes, bytes, int]] = []

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, **_more: Any) -> None:
        self.written.append((topic, value, key, partition))


@pytest.mark.parametrize(
    ("event", "topic", "partition"),
    [
        (
            ev.OrderPlaced(**_STAMP, order_id="O-1", amount=1, currency="EUR"),
            JOURNAL,
            partition_of(b"A-1", 12),
        ),
        (ev.CustomerBlocked(**_STAMP, reason="r", by="ann"), JOURNAL, partition_of(b"A-1", 12)),
        (ev.CustomerNoteAdded(**_STAMP, text="t", by="ann"), "credit.controls.v1", _ANY),
        (ev.AlertAcknowledged(**_STAMP, alert_id="a", by="ann"), "credit.controls.v1", _ANY),
        (ev.AlertSnoozed(**_STAMP, until=1, by="ann"), "credit.controls.v1", _ANY),
    ],
)
def test_what_changes_no_decision_goes_where_consoles_read_it(
    event: Event, topic: str, partition: int
) -> None:
    paper, codec = _Paper(), Codec(LockedSchemaIds())
    Journalist(cast("Producer", paper), codec, 12).write(event, "A-1", lambda _fault: None)
    ((there, value, key, where),) = paper.written
    assert (there, where) == (topic, partition)
    assert key == (b"A-1" if topic == JOURNAL else b"C-1")
    assert codec.decode(value) == event
