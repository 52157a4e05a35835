"""Refused records: the original bytes, and headers that say why and where they came from. What was
done about one is written behind it, in the same partition.
"""

from __future__ import annotations

import logging
from typing import Literal

from schemas.catalogue import DEAD_LETTERS
from schemas.events import Event
from streams import cloud_events
from streams.fast_lane.outlet import Headers, Outgoing
from streams.fast_lane.partition import Batch, origin_of
from streams.lately import Lately
from streams.record import Record

logger = logging.getLogger(__name__)

FaultClass = Literal["message", "rule"]
"""`message`: the bytes are no event. `rule`: they are one, and it breaks a rule of the business."""

SETTLED = "headroom_settled"
"""On a record that settles a dead letter: that one's offset, in the same partition."""
DISCARDED = "discarded"
"""Reason of an event that somebody took away from those that wait with a parked account."""


class DeadLetterCap:
    """Counts each topic's dead letters, so that a mistake does not empty a topic into them: when
    there are so many, most likely it is not the records that are wrong, but a release, here or at
    the sender's.

    Args:
        per_minute: of one topic, at most.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lately: dict[str, Lately] = {}

    def count(self, batch: Batch, record: Record) -> None:
        """One more; behind the last that the topic may have, its partition is held."""
        topic = record.topic
        if self._lately.setdefault(topic, Lately(self._per_minute)).one_more():
            why = f"{self._per_minute} records of {topic} went to the dead letters in a minute"
            batch.hold(record, why)


def log_refusal(
    record: Record, reason: str, event: Event | None = None, trace_id: str = ""
) -> None:
    """A line about a record that goes to the dead letters: which one, and why in one word. What
    exactly is wrong stands in the dead letter, since it may say what the record says.

    Args:
        record: that is refused.
        reason: one of a closed list.
        event: what it is; if nobody knows, its headers may name it.
        trace_id: of the sampled trace that it belongs to.
    """
    about: dict[str, object] = {"account": getattr(event, "customer_id", None)}
    about["order_id"] = getattr(event, "order_id", None)
    if event is not None:
        about["event_id"] = event.event_id
    elif (said := cloud_events.read(record.headers)) is not None:
        about["event_id"] = said.id
    about |= {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    logger.warning(
        "%s-%s@%s is refused: %s",
        *(record.topic, record.partition, record.offset, reason),
        extra=about | {"reason": reason, "trace_id": trace_id},
    )


def dead_letter(record: Record, *, reason: str, fault_class: FaultClass, detail: str) -> Outgoing:
    """A record as it goes to the dead letters: key, value, timestamp and headers as they were, ours
    behind them.

    The position is that on the input topic, also for a record of the journal, which tells where it
    comes from.
    """
    topic, partition, offset = record.topic, record.partition, record.offset
    origin = origin_of(record)
    if origin is not None:
        source, offset = origin
        topic_and_id, _, number = source.rpartition(":")
        topic, partition = topic_and_id.partition("@")[0], int(number)
    ours: Headers = [
        ("headroom_reason", reason.encode()),
        ("headroom_class", fault_class.encode()),
        ("headroom_detail", detail.encode()),
        ("headroom_original_topic", topic.encode()),
        ("headroom_original_partition", b"%d" % partition),
        ("headroom_original_offset", b"%d" % offset),
        ("headroom_original_timestamp", b"%d" % record.timestamp),
    ]
    return Outgoing(
        DEAD_LETTERS,
        record.key,
        record.value,
        [*record.headers, *ours],
        timestamp=max(record.timestamp, 0),
    )


Settled = Literal["retried", "discarded"]


def settlement(
    key: bytes | None, partition: int, offset: int, *, how: Settled, by: str, reason: str
) -> Outgoing:
    """That the dead letter at this place needs nobody any more, who says so, and why."""
    return Outgoing(
        DEAD_LETTERS,
        key,
        None,
        [
            (SETTLED, b"%d" % offset),
            ("headroom_settled_how", how.encode()),
            ("headroom_settled_by", by.encode()),
            ("headroom_settled_reason", reason.encode()),
        ],
        partition,
    )
