"""Records as the sink gets them, without Kafka and without Avro: the value is the event as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agents.sink.plan import Batch, Planner
from schemas.catalogue import topic_of
from schemas.events import BY_NAME, OUTGOING, Event

JOURNAL = "credit.journal.v1"
STAMP = 1_700_000_000_000


class UnreadableError(Exception):
    """What the decoder of these tests raises."""


@dataclass(frozen=True)
class KafkaRecord:
    offset: int
    value: bytes | None
    key: bytes | None = b""
    timestamp: int = STAMP
    headers: Sequence[tuple[str, bytes]] = ()


def record(event: Event, offset: int, headers: Sequence[tuple[str, bytes]] = ()) -> KafkaRecord:
    """The event as a record, keyed by its customer."""
    key = getattr(event, "customer_id", "").encode()
    value = msgspec.json.encode([type(event).__name__, msgspec.to_builtins(event)])
    return KafkaRecord(offset, value, key, STAMP + offset, headers)


def decode(raw: bytes) -> Event:
    try:
        name, fields = msgspec.json.decode(raw)
        return msgspec.convert(fields, BY_NAME[name])
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"not an event: {error}") from error


def planner() -> Planner:
    return Planner(decode, msgspec.json.encode, (UnreadableError,))


def batch_of(topic: str, partition: int, records: Sequence[KafkaRecord]) -> Batch:
    batch = Batch(topic, partition)
    planner().extend(batch, records)
    return batch


def batches_of(events: Sequence[Event], first_offset: int = 0) -> list[Batch]:
    """Journal and outgoing events, each on its topic, in one partition, in this order."""
    by_topic: dict[str, list[KafkaRecord]] = {}
    for place, event in enumerate(events):
        outgoing = isinstance(event, OUTGOING)
        topic = topic_of(type(event).__name__) if outgoing else JOURNAL
        by_topic.setdefault(topic, []).append(record(event, first_offset + place))
    return [batch_of(topic, 0, records) for topic, records in by_topic.items()]
