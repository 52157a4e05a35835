"""From records of a topic to rows of tables. Pure: no clock, no Kafka, no ClickHouse.

Laws:

* what a record becomes depends on nothing but the record, its topic, partition and offset, so
  reading a range again makes the same rows;
* every record makes at least one row: one that cannot be read becomes a dead letter, never a crash,
  never nothing;
* no row can be refused by its table: days and instants beyond what ClickHouse can hold are brought
  to its limits (the payload in the journal keeps what was said).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agents.sink.rows import (
    FURTHER,
    LAST_INSTANT,
    PUBLISHED,
    Record,
    Row,
    account_of,
    number_of,
    text_of,
    within_range,
)
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.events import Event
from schemas.money import UnknownCurrencyError
from streams.cloud_events import ORIGIN, SEAT
from streams.dead_letters import SETTLED

SOURCES = (
    JOURNAL,
    topic_of("OrderDecision"),
    topic_of("CreditLimitAlert"),
    topic_of("ExposureChanged"),
    topic_of("RiskSignal"),
    topic_of("DunningStep"),
    topic_of("LetterWritten"),
    DEAD_LETTERS,
)
"""The topics that go to ClickHouse."""

UNREADABLE = "unreadable"
"""Reason of a dead letter that the sink itself wrote: it could not read the record."""

_MICROSECONDS_PER_MILLISECOND = 1000


class Batch:
    """Rows of one range of one partition, by table. What is written, and acknowledged, together."""

    __slots__ = (
        "first_offset",
        "first_timestamps",
        "last_offset",
        "origin",
        "packed",
        "partition",
        "records",
        "rows",
        "size",
        "topic",
    )

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.rows: dict[str, list[Row]] = {}
        """Of each table those that are not packed; every table of the batch is named."""
        self.packed: dict[str, list[Any]] = {}
        """Of each table what came before them, as Arrow tables, which take a quarter of the memory.
        """
        self.records = 0
        self.size = 0
        """Bytes that the batch's records count for; whoever takes them in says so."""
        self.first_offset = -1
        self.last_offset = -1
        self.origin = 0
        """Timestamp of the first record, milliseconds since 1970."""
        self.first_timestamps: dict[str, int] = {}
        """Of each table's first row, milliseconds since 1970."""

    def put(self, table: str, row: Row) -> None:
        rows = self.rows.get(table)
        if rows is None:
            rows = self.rows[table] = []
            self.first_timestamps[table] = row[1]
        rows.append(row)

    def token(self) -> str:
        """What ClickHouse tells a repeated insert of this range by.

        The first record's timestamp is in it, so that a topic which was deleted and made anew, and
        counts its offsets from 0 again, is not taken for what was there before.
        """
        return f"{self.topic}:{self.partition}:{self.first_offset}-{self.last_offset}@{self.origin}"

    def is_due(self, *, age: float, rows: int, seconds: float) -> bool:
        """Whether it is time to write: at so many records, or so many seconds after the first."""
        return self.records >= rows or age >= seconds


class Planner:
    """Turns records into rows.

    Args:
        decode: the wire's bytes as an event; raises one of `faults` for what cannot be read.
        to_json: an event as the JSON text that stands in the journal's `payload`.
        faults: the exceptions by which `decode` refuses.
    """

    def __init__(
        self,
        decode: Callable[[bytes], Event],
        to_json: Callable[[Event], bytes],
        faults: tuple[type[Exception], ...],
    ) -> None:
        self._decode = decode
        self._to_json = to_json
        self._faults: tuple[type[Exception], ...] = (*faults, UnknownCurrencyError)

    def extend(self, batch: Batch, records: Sequence[Record]) -> None:
        """Add records to a batch, in the order of the log."""
        if not records:
            return
        plan = self._plan_dead_letter if batch.topic == DEAD_LETTERS else self._plan_event
        for record in records:
            plan(batch, record)
        if batch.first_offset < 0:
            batch.first_offset = records[0].offset
            batch.origin = records[0].timestamp
        batch.last_offset = records[-1].offset
        batch.records += len(records)

    def _plan_event(self, batch: Batch, record: Record) -> None:
        value = record.value
        if value is None:
            batch.put(
                "dead_letters_raw", _unreadable(batch, record, "NoValue", "there is no value")
            )
            return
        try:
            event = self._decode(value)
            kind = type(event)
            if kind in PUBLISHED:
                table, row = PUBLISHED[kind]
                batch.put(table, row(record, event))
                return
            further = FURTHER.get(kind)
            more = None if further is None else further[1](record, event)
            batch.put("journal_raw", self._journal_row(record, event))
            if further is not None and more is not None and not _is_forwarded(record):
                batch.put(further[0], more)
        except self._faults as error:
            fault = type(error).__name__
            batch.put("dead_letters_raw", _unreadable(batch, record, fault, str(error)))

    def _plan_dead_letter(self, batch: Batch, record: Record) -> None:
        headers = dict(record.headers)
        if SETTLED in headers:
            batch.put(
                "dead_letter_settlements_raw",
                (
                    record.offset,
                    record.timestamp,
                    number_of(headers[SETTLED]),
                    text_of(headers.get("headroom_settled_how")),
                    text_of(headers.get("headroom_settled_by")),
                    text_of(headers.get("headroom_settled_reason")),
                ),
            )
            return
        timestamp = number_of(headers.get("headroom_original_timestamp"))
        batch.put(
            "dead_letters_raw",
            (
                record.offset,
                record.timestamp,
                text_of(headers.get("headroom_reason")),
                text_of(headers.get("headroom_class")),
                headers.get("headroom_detail") or b"",
                text_of(headers.get("headroom_original_topic")),
                number_of(headers.get("headroom_original_partition")),
                number_of(headers.get("headroom_original_offset")),
                None
                if timestamp < 0
                else min(timestamp, LAST_INSTANT // _MICROSECONDS_PER_MILLISECOND),
                record.key or b"",
                record.value or b"",
            ),
        )

    def _journal_row(self, record: Record, event: Event) -> Row:
        origin = b""
        for name, header in reversed(record.headers):  # intake puts it last
            if name == ORIGIN:
                origin = header or b""
                break
        return (
            record.offset,
            record.timestamp,
            account_of(record),
            type(event).__name__,
            event.event_id,
            within_range(event.occurred_at),
            getattr(event, "customer_id", ""),
            origin,
            self._to_json(event),
        )


def _is_forwarded(record: Record) -> bool:
    """Whether the same event stands in the journal once more, under the customer's own id: it goes
    on from there to where the account is kept, and one document counts once.
    """
    return any(name == SEAT for name, _ in record.headers)


def _unreadable(batch: Batch, record: Record, fault: str, detail: str) -> Row:
    return (
        record.offset,
        record.timestamp,
        UNREADABLE,
        fault,
        detail.encode(errors="replace"),
        batch.topic,
        batch.partition,
        record.offset,
        record.timestamp,
        record.key or b"",
        record.value or b"",
    )
