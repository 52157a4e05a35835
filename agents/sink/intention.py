"""Which range of a partition a sink was about to write: a note beside the offset that it commits.

    intended   offset = where the range begins, metadata = the range
    done       offset = where the range ends, no metadata

Kafka takes both from the one who has the partition in this generation of the group and from nobody
else, so there is one such note at a time. Who takes the partition over cuts the same range again,
under the same token, and ClickHouse drops of it what it has.
"""

from __future__ import annotations

import logging

import msgspec

from agents.sink.plan import Batch

logger = logging.getLogger(__name__)

_END = "\0"
"""confluent-kafka 2.16 hands metadata on up to the first zero byte, be it its own or one that lies
somewhere behind it in memory.
"""


class Intention(msgspec.Struct, frozen=True):
    """A range that was about to be written, and what its token is made of."""

    topic_id: str
    """A topic that was deleted and made anew has another one, and other records at these offsets.
    """
    end: int
    """Where the range ends: the offset behind it."""
    first_offset: int
    last_offset: int
    origin: int
    """Timestamp of the first record, milliseconds since 1970."""

    def mark(self, batch: Batch) -> None:
        """Give the batch this range's token, also where compaction took records away since."""
        batch.first_offset = self.first_offset
        batch.last_offset = self.last_offset
        batch.origin = self.origin

    def as_metadata(self) -> str:
        return msgspec.json.encode(self).decode() + _END


def intention_of(batch: Batch, end: int, topic_id: str) -> Intention:
    """To write a batch that reaches to `end`."""
    return Intention(topic_id, end, batch.first_offset, batch.last_offset, batch.origin)


def read_intention(metadata: str | None, topic_id: str) -> Intention | None:
    """What a sink said that it was about to write, None if nothing, or of another topic."""
    if not metadata:
        return None
    try:
        found = msgspec.json.decode(metadata.partition(_END)[0], type=Intention)
    except msgspec.DecodeError as error:
        logger.warning("what stands beside an offset is no range of a sink: %s", error)
        return None
    if found.topic_id != topic_id:
        logger.warning("the topic was made anew since a sink meant to write %s", metadata)
        return None
    return found
