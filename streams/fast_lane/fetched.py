"""Records of one partition on their way to the agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streams.record import Record

RECORD_BYTES = 1024
"""What a record takes in memory beside its value: the object, its key, its headers."""


class Fetched(NamedTuple):
    """Records of one partition, in order: all that the log holds in [`start`, `end`).

    The offsets of the records alone do not tell whether something was lost on the way, since a log
    may have holes (compaction, transaction markers). `start` is where the one before ended, or
    where reading began.
    """

    start: int
    end: int
    records: Sequence[Record]
    size: int
    """Bytes that the records take in memory, about."""
    opening: int = 0
    """Which opening of the partition they were read by."""


def fetched(start: int, end: int, records: Sequence[Record], opening: int) -> Fetched:
    """What the log holds in [`start`, `end`)."""
    size = sum(RECORD_BYTES + len(record.value or b"") for record in records)
    return Fetched(start, end, records, size, opening)


def split(whole: Fetched, records: int) -> tuple[Fetched, Fetched]:
    """The first so many records, at least one, and the rest, at least one."""
    rest = whole.records[records:]
    between = rest[0].offset
    first = fetched(whole.start, between, whole.records[:records], whole.opening)
    return first, Fetched(between, whole.end, rest, whole.size - first.size, whole.opening)
