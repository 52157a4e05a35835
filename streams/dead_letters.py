"""Refused records: the original bytes, and headers that say why and where they came from."""

from __future__ import annotations

from typing import Literal

from schemas.catalogue import DEAD_LETTERS
from streams.fast_lane.fetch import Record
from streams.fast_lane.outlet import Headers, Outgoing
from streams.fast_lane.partition import origin_of

FaultClass = Literal["message", "rule"]
"""`message`: the bytes are no event. `rule`: they are one, and it breaks a rule of the business."""


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
