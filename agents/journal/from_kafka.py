"""Reads the journal from Kafka, as the credit agent reads it: each input event once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from agents.credit.effects import Sent
from agents.journal.entries import DIRECT, Entry
from schemas.catalogue import JOURNAL
from streams.cloud_events import SEAT
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.fast_lane.partition import origin_of
from streams.log_reader import LogReader, open_readers
from streams.record import Record

_decode_sent = msgspec.json.Decoder(Sent).decode


def journal_readers(config: Mapping[str, Any]) -> list[LogReader]:
    """One reader per partition of the journal.

    Raises `TopicMissingError` when there is no journal.
    """
    return open_readers(config, JOURNAL)


def entries(
    reader: LogReader,
    codec: Codec,
    wanted: Callable[[Record], bool],
    advance: Callable[[int], None],
) -> Iterator[Entry]:
    """The events of one partition, oldest first.

    Left out are repeats that intake wrote again after a crash, and what cannot be decoded, which
    the agent refuses.

    Args:
        reader: of the partition.
        codec: decodes its records.
        wanted: which records to decode.
        advance: told after each record by how many offsets the reader went on.
    """
    origins: dict[str, int] = {}
    for record in reader.told(advance):
        if not wanted(record):
            continue
        origin = origin_of(record)
        if origin is not None:
            source, place = origin
            if place <= origins.get(source, -1):
                continue
            origins[source] = place
        try:
            event = codec.decode(record.value)
        except InvalidMessage:
            continue
        headers = record.headers
        sent = DIRECT
        if headers and headers[-1][0] == SEAT:
            sent = _decode_sent(headers[-1][1] or b"")
        key = "" if record.key is None else record.key.decode()
        yield Entry(record.partition, record.offset, record.timestamp, key, event, sent)
