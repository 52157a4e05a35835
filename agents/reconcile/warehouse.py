"""ClickHouse against the topics that it is filled from, and against the figures in force.

Every record up to the one that a table has reached has to be a row, and every row a record. Rows
hide repeats by key and id, so ids are compared, not offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clickhouse_connect.driver.client import Client

from agents.reconcile.expected import expected_of, name_of
from agents.reconcile.findings import Difference, Tally
from agents.reconcile.shelf import Shelf
from agents.reconcile.words import NOTHING
from agents.sink.rows import text_of
from agents.sink.tables import DATABASE
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import Event, ExposureChanged
from schemas.money import format_amount
from streams.cloud_events import ID
from streams.errors import InvalidMessage
from streams.log_reader import LogReader
from streams.record import Record

_FIGURES = topic_of("ExposureChanged")
TABLES = {
    JOURNAL: (("journal_raw",), "credit_account_id"),
    topic_of("OrderDecision"): (("order_decisions_raw",), "customer_id"),
    topic_of("CreditLimitAlert"): (("limit_alerts_raw",), "customer_id"),
    topic_of("RiskSignal"): (("risk_signals_raw",), "customer_id"),
    topic_of("DunningStep"): (
        ("dunning_steps_raw", "dunning_outcomes_raw", "handover_changes_raw"),
        "customer_id",
    ),
    topic_of("LetterWritten"): (("letters_raw",), "customer_id"),
    _FIGURES: (("exposures_raw",), "customer_id"),
}
"""Of each topic its tables, and the column that holds the record's key."""
_COMPACTED = frozenset({_FIGURES})
_AMOUNTS = (
    "exposure",
    "open_receivables",
    "delivered_not_invoiced",
    "open_orders",
    "unapplied_credit",
    "credit_limit",
    "headroom",
    "overdue",
)
_COUNTS = ("oldest_overdue_days", "held_orders")
_SEEN = b""

Decode = Callable[[bytes], Event]
Reached = dict[int, int]
"""Of each partition the last offset that a table has."""


class Warehouse:
    """The tables of one ClickHouse.

    Args:
        client: reads them.
        decode: a record as an event.
        tally: counts the rows that were compared.
    """

    def __init__(self, client: Client, decode: Decode, tally: Tally) -> None:
        self._client = client
        self._decode = decode
        self._tally = tally

    def is_there(self) -> bool:
        """Whether a sink has ever made its tables here."""
        found = self._client.command(
            "SELECT count() FROM system.tables WHERE database = {d:String} AND name = {t:String}",
            {"d": DATABASE, "t": "journal_raw"},
        )
        return bool(found)

    def reached(self, topic: str) -> Reached:
        """How far the topic's tables go."""
        reached: Reached = {}
        for table in TABLES[topic][0]:
            found = self._client.query(
                f"SELECT partition, max(offset) FROM {DATABASE}.{table} "  # noqa: S608  ours
                "WHERE topic = {topic:String} GROUP BY partition",
                {"topic": topic},
            )
            for partition, offset in found.result_rows:
                reached[int(partition)] = max(int(offset), reached.get(int(partition), -1))
        return reached

    def compare_rows(
        self, topic: str, readers: list[LogReader], reached: Reached, shelf: Shelf,
        advance: Callable[[int], None],
    ) -> Iterator[Difference]:  # fmt: skip
        """Every record without a row, and every row without a record, up to where the tables
        `reached` before the readers were opened: a sink goes on meanwhile. The shelf is empty.
        """
        table = TABLES[topic][0][0]
        for reader in readers:
            _shelve(reader, reached.get(reader.partition, -1), shelf, self._decode, advance)
        firsts = {reader.partition: reader.first for reader in readers}
        for key, event_id, partition, offset in self._rows(topic):
            if offset > reached.get(partition, -1):
                continue
            self._tally.rows += 1
            name = _name(key.encode(), event_id.encode())
            if shelf.get(name) is not None:
                shelf.put(name, _SEEN)
            elif topic not in _COMPACTED and offset >= firsts.get(partition, 0):
                yield Difference(
                    "clickhouse", key, f"{table} {event_id}", "", "a row", NOTHING,
                    "the row was put there by hand, or the topic lost the record",
                    f"{topic}[{partition}]/{offset}",
                )  # fmt: skip
        for name, place in shelf.entries():
            if place != _SEEN:
                key, _, event_id = name.partition(b"\0")
                yield Difference(
                    "clickhouse", key.decode("utf-8", "replace"),
                    f"{table} {event_id.decode('utf-8', 'replace')}", "", NOTHING, "a row",
                    "the row was deleted, or a batch of the sink was lost", place.decode(),
                )  # fmt: skip

    def compare_figures(self, expected: Shelf) -> Iterator[Difference]:
        """Every account whose newest row is of the event that touched the account last, and says
        something else than the journal.
        """
        names = (*_AMOUNTS, *_COUNTS)
        columns = (*(f"{name}_minor" for name in _AMOUNTS), *_COUNTS)
        newest = ", ".join(f"argMax({name}, offset)" for name in columns)
        rows = self._stream(
            f"SELECT customer_id, argMax(event_id, offset), max(offset), {newest} "  # noqa: S608
            f"FROM {DATABASE}.exposures_raw GROUP BY customer_id",
            {},
        )
        for customer_id, event_id, offset, *found in rows:
            possible = [
                event
                for one in expected_of(expected, name_of(customer_id))
                for event in map(self._decode, one.contents)
                if isinstance(event, ExposureChanged) and event.event_id == event_id
            ]
            wanted = [[getattr(event, name) for name in names] for event in possible]
            if not wanted or found in wanted:
                continue
            currency = possible[-1].currency
            for field, left, right in zip(names, found, wanted[-1], strict=True):
                if left != right:
                    yield Difference(
                        "clickhouse", customer_id, "figures", field.replace("_", " "),
                        _text(field, left, currency), _text(field, right, currency),
                        "the row was changed, or written by another release",
                        f"{DATABASE}.exposures_raw, offset {offset}",
                    )  # fmt: skip

    def _rows(self, topic: str) -> Iterator[Any]:
        tables, key = TABLES[topic]
        for table in tables:
            yield from self._stream(
                f"SELECT {key}, event_id, partition, offset "  # noqa: S608  names of ours
                f"FROM {DATABASE}.{table} FINAL WHERE topic = {{topic:String}}",
                {"topic": topic},
            )

    def _stream(self, query: str, parameters: dict[str, str]) -> Iterator[Any]:
        with self._client.query_rows_stream(query, parameters) as rows:
            yield from rows


def _shelve(
    reader: LogReader, reached: int, shelf: Shelf, decode: Decode, advance: Callable[[int], None]
) -> None:
    """Keep what has to be a row."""
    for record in reader.told(advance):
        event_id = _id_of(record, decode) if record.offset <= reached else None
        if event_id is not None:
            place = f"{record.topic}[{record.partition}]/{record.offset}"
            shelf.put(_name(text_of(record.key).encode(), event_id), place.encode())


def _id_of(record: Record, decode: Decode) -> bytes | None:
    """None for what is none of our events."""
    if record.value is None:
        return None
    for name, value in record.headers:
        if name == ID:
            return value
    try:
        return decode(record.value).event_id.encode()
    except InvalidMessage:
        return None


def _name(key: bytes, event_id: bytes) -> bytes:
    return key + b"\0" + event_id


def _text(field: str, value: int | None, currency: str) -> str:
    if value is None:
        return "none"
    return f"{format_amount(value, currency)} {currency}" if field in _AMOUNTS else str(value)
