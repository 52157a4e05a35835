"""A table of ClickHouse made anew from the topics, beside the old one and then in its place.

    fill    a fresh table of the same definition, to the end of the topics, again and again until
            little is left to read
    swap    both names, in one step
    look    how far sinks had got, or had said that they would get, when the tables were swapped:
            what of that is not in the fresh table yet is read too

A sink may run all the time. What it says after the swap that it is about to write goes into the
fresh table; what it had said before may have gone into the old one, but stands in the topics up to
where the last step looks. Usually nothing of it is missing: the topics were read to their end just
before. What both write is one row to whoever reads the views.

Until the swap nothing changes; a failure drops the fresh table.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP

from agents.sink.intention import read_intention
from agents.sink.plan import SOURCES, Batch, Planner
from agents.sink.rows import PUBLISHED
from agents.sink.tables import DATABASE, TABLES
from agents.sink.writer import as_arrow, insert
from schemas.catalogue import DEAD_LETTERS, JOURNAL, TOPICS, topic_of
from streams.codec import Codec
from streams.errors import ConfigurationError, HeadroomError, InvalidMessage
from streams.fast_lane.asker import Asker
from streams.kafka_client import client_config, topic_facts
from streams.log_reader import Advance, LogReader, Track
from streams.settings import Settings

logger = logging.getLogger(__name__)

_OTHER_NAMES = {
    "invoices": ("invoice_events_raw",),
    "payments": ("payment_events_raw",),
    "promises": ("promise_events_raw",),
    "dead_letters": ("dead_letters_raw", "dead_letter_settlements_raw"),
}
"""Views whose rows stand in tables of other names."""
_BATCH_RECORDS = 50_000
_BATCH_BYTES = 32 << 20
_FEW_RECORDS = 10_000
"""When no more than this came while the topics were read, it is time to swap."""
_ROUNDS = 20
_ASK_SECONDS = 10.0


class NotRebuiltError(HeadroomError):
    """The table could not be made anew; the message says whether anything was changed."""


class Rebuilt(NamedTuple):
    """What came of one table: rows that readers see, before and after."""

    table: str
    rows_before: int
    rows_after: int


def tables_of(name: str) -> tuple[str, ...]:
    """The raw tables behind a view of the contract.

    Raises `ConfigurationError` when there is none of that name.
    """
    tables = _OTHER_NAMES.get(name, (f"{name}_raw",))
    if not set(tables) <= TABLES.keys():
        known = {table.removesuffix("_raw") for table in TABLES} | _OTHER_NAMES.keys()
        raise ConfigurationError(f"no such table: {name} (there are {', '.join(sorted(known))})")
    return tables


def topics_of(table: str) -> set[str]:
    """Where the records of a raw table's rows stand."""
    if table == "dead_letters_raw":
        return set(SOURCES)  # any of them may hold a record that nobody can read
    if table == "dead_letter_settlements_raw":
        return {DEAD_LETTERS}
    published = {topic_of(kind.__name__) for kind, (name, _) in PUBLISHED.items() if name == table}
    return published or {JOURNAL}


class TableRebuild:
    """Makes the tables behind one view anew.

    Args:
        client: of ClickHouse.
        settings: broker and application.
        codec: decodes events.
        track: shows how far it is.

    Raises:
        TopicMissingError: no worker has run yet.
    """

    def __init__(self, client: Client, settings: Settings, codec: Codec, track: Track) -> None:
        self._client = client
        self._config = client_config(settings)
        self._group = f"{settings.app_id}-sink"
        self._facts = topic_facts(AdminClient(dict(self._config)), SOURCES)
        self._planner = Planner(codec.decode, msgspec.json.encode, (InvalidMessage,))
        self._track = track

    def run(self, name: str, *, from_what_is_there: bool = False) -> list[Rebuilt]:
        """Make anew what stands behind a view.

        Args:
            name: of the view, as in the contract.
            from_what_is_there: also if the topics do not hold all records any more, whose rows are
                then lost.

        Raises:
            ConfigurationError: there is no such table.
            NotRebuiltError: nothing was changed, or it says what.
        """
        tables = tables_of(name)
        with ExitStack() as stack:
            try:
                self._check_tables(tables)
                places = self._places(tables)
                if not from_what_is_there:
                    self._check_topics(places)
                fresh = stack.enter_context(self._fresh(tables))
                before = [self._count(table) for table in tables]
                filled = self._fill(fresh, places)
            except (ClickHouseError, KafkaException) as error:
                raise NotRebuiltError(f"{name}: {error}; nothing was changed") from error
            return [
                Rebuilt(table, rows, self._swap(table, fresh[table], filled))
                for table, rows in zip(tables, before, strict=True)
            ]

    # ── what has to be so ───────────────────────────────────────────────────────────────────────

    def _check_tables(self, tables: Collection[str]) -> None:
        found = self._client.query(
            "SELECT name, dependencies_table FROM system.tables WHERE database = {d:String}"
            " AND name IN {t:Array(String)}",
            {"d": DATABASE, "t": list(tables)},
        ).result_rows
        missing = set(tables) - {table for table, _ in found}
        if missing:
            raise NotRebuiltError(
                f"ClickHouse has no {', '.join(sorted(missing))} yet: a worker makes the tables"
            )
        hanging = sorted(view for _, views in found for view in views)
        if hanging:
            raise NotRebuiltError(
                f"{', '.join(hanging)} hangs on the table and would count its rows anew: drop the"
                " materialized view first; nothing was changed"
            )

    def _places(self, tables: Collection[str]) -> list[TP]:
        """The partitions in which the tables' records stand: of the topics where they belong, and
        of those that the rows name.
        """
        topics = set[str]().union(*map(topics_of, tables))
        for table in tables:
            told = self._client.query(f"SELECT DISTINCT topic FROM {DATABASE}.{table}").result_rows  # noqa: S608  ours
            topics |= {topic for (topic,) in told}
        found = [topic for topic in SOURCES if topic in topics]
        return [TP(topic, n) for topic in found for n in range(self._facts[topic].partitions)]

    def _check_topics(self, places: Collection[TP]) -> None:
        gone = [
            f"{topic} is compacted and holds the last record of each key only"
            for topic in dict.fromkeys(tp.topic for tp in places)
            if TOPICS[topic].cleanup == "compact"
        ]
        gone += [
            f"{tp.topic}[{tp.partition}] begins at {first}"
            for tp, (first, _) in self._spans(places).items()
            if first > 0
        ]
        if gone:
            raise NotRebuiltError(
                f"the topics do not hold all records any more: {'; '.join(gone)}. Rows of what is"
                " gone would be lost; --from-what-is-there does it all the same. Nothing was"
                " changed"
            )

    # ── filling ─────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _fresh(self, tables: Collection[str]) -> Iterator[dict[str, str]]:
        """Empty tables like those; what stands under their names in the end is dropped."""
        mark = uuid.uuid4().hex[:8]
        fresh = {table: f"{table}_rebuilt_{mark}" for table in tables}
        try:
            for table, made in fresh.items():
                self._client.command(f"CREATE TABLE {DATABASE}.{made} AS {DATABASE}.{table}")
            yield fresh
        finally:
            for made in fresh.values():
                try:
                    self._client.command(f"DROP TABLE IF EXISTS {DATABASE}.{made} SYNC")
                except ClickHouseError as error:
                    logger.warning("%s.%s could not be dropped: %s", DATABASE, made, error)

    def _fill(self, fresh: dict[str, str], places: Collection[TP]) -> dict[TP, int]:
        """Read the topics until next to nothing is left; up to where, by partition."""
        filled = dict.fromkeys(places, 0)
        for number in range(_ROUNDS):
            ends = {tp: end for tp, (_, end) in self._spans(places).items() if end > filled[tp]}
            stage = "reading what came meanwhile" if number else "reading the topics"
            records = self._read(stage, filled, ends, fresh)
            filled |= ends
            if number and records <= _FEW_RECORDS:
                break
        return filled

    def _swap(self, table: str, made: str, filled: dict[TP, int]) -> int:
        """Put the fresh table in the old one's place, and read what a sink may have put into that
        one after it was read for this; how many rows there are.
        """
        try:
            self._client.command(f"EXCHANGE TABLES {DATABASE}.{table} AND {DATABASE}.{made}")
        except ClickHouseError as error:
            raise NotRebuiltError(f"{table} is as it was: {error}") from error
        try:
            ends = {tp: end for tp, end in self._stand(filled).items() if end > filled[tp]}
            self._read("reading the last", filled, ends, {table: table})
            return self._count(table)
        except (ClickHouseError, KafkaException) as error:
            raise NotRebuiltError(
                f"{table} was made anew, but rows of the last moments may be missing ({error});"
                " do it again"
            ) from error

    def _stand(self, places: Collection[TP]) -> dict[TP, int]:
        """By partition, up to where sinks may have written: the offset that they committed, and the
        end of what they had said that they would write.
        """
        stand = {}
        with closing(self._asker()) as asker:
            for tp in places:
                told = asker.committed_place(TopicPartition(*tp), _ASK_SECONDS)
                intended = read_intention(told.metadata, self._facts[tp.topic].id)
                stand[tp] = intended.end if intended else told.offset
        return stand

    def _read(
        self, stage: str, starts: dict[TP, int], ends: dict[TP, int], into: dict[str, str]
    ) -> int:
        """Put rows of records into tables, those of each raw table into the one it is to stand in;
        how many records.
        """
        advance = self._track(stage, sum(end - starts[tp] for tp, end in ends.items()))
        return sum(
            self._read_partition(tp, starts[tp], end, into, advance) for tp, end in ends.items()
        )

    def _read_partition(
        self, tp: TP, start: int, end: int, into: dict[str, str], advance: Advance
    ) -> int:
        read, batch = 0, Batch(*tp)
        for record in LogReader(self._config, *tp, start or None).told(advance):
            if record.offset >= end:
                continue
            self._planner.extend(batch, [record])
            batch.size += len(record.value or b"")
            read += 1
            if batch.records >= _BATCH_RECORDS or batch.size >= _BATCH_BYTES:
                self._write(batch, into)
                batch = Batch(*tp)
        self._write(batch, into)
        return read

    def _write(self, batch: Batch, into: dict[str, str]) -> None:
        for table, rows in batch.rows.items():
            if table in into:
                insert(self._client, into[table], as_arrow(batch, table, rows), batch.token())

    # ── small ───────────────────────────────────────────────────────────────────────────────────

    def _spans(self, places: Collection[TP]) -> dict[TP, tuple[int, int]]:
        """Where partitions begin and end now."""
        with closing(self._asker()) as asker:
            return {tp: asker.bounds(TopicPartition(*tp), _ASK_SECONDS) for tp in places}

    def _asker(self) -> Asker:
        """Asks in the sink's name."""
        return Asker(self._config, self._group)

    def _count(self, table: str) -> int:
        counted = self._client.query(f"SELECT count() FROM {DATABASE}.{table} FINAL")  # noqa: S608  ours
        return int(counted.result_rows[0][0])
