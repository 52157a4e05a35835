"""One reconciliation, from beginning to end. It reads, and writes to nothing but a directory of its
own.

Journal, state and figures stand still while they are compared: a changelog says up to which journal
offset its state goes, and up to there the journal is recomputed. So a worker may go on meanwhile.

1. all changelogs are read, then the figures' topics: what was published behind the state is checked
   against what the journal gives from there on;
2. one partition after the other is recomputed and compared;
3. what ClickHouse has is compared with the topics, as far as it has come.

Memory: the caches of three stores, 100,000 live objects, and the figures of what arrives between
the reading of the changelogs and that of the figures. All else is in the directory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import AdminClient

from agents.core.policy import PolicyBook
from agents.credit import state
from agents.reconcile.expected import ExpectedFigures
from agents.reconcile.findings import Difference, Note, Tally
from agents.reconcile.live import read_live
from agents.reconcile.published import FIGURES, compare_published, read_published
from agents.reconcile.recomputation import Recomputation
from agents.reconcile.shelf import Shelf
from agents.reconcile.states import accounts_in, compare_states
from agents.reconcile.warehouse import TABLES, Warehouse
from schemas.catalogue import JOURNAL, credit_changelog
from streams.codec import Codec
from streams.fast_lane.store import Memory, PartitionStore
from streams.kafka_client import topic_facts
from streams.log_reader import LogReader, Track
from streams.record import Record

PutRight = Callable[[int, int, PartitionStore, PartitionStore], object]
"""Hears of each partition the offset at which its states stand, the live and the recomputed one."""

_MARKERS_SECONDS = 1.0
"""A commit becomes readable in one topic a little before the other."""
_CACHE_BYTES = 64 << 20


class Live(NamedTuple):
    """A partition's live state, and the journal offset at which it stands."""

    store: PartitionStore
    position: int | None


class Reconciliation:
    """Compares the journal with the live state and with the published figures.

    Args:
        config: of a Kafka client.
        codec: decodes and encodes events.
        policies: those in force.
        app_id: of the workers.
        directory: empty, and removed by who made it.
        track: shows how far it is.
        clickhouse: None: it is not compared.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        codec: Codec,
        policies: PolicyBook,
        app_id: str,
        directory: Path,
        track: Track,
        clickhouse: Client | None = None,
    ) -> None:
        self.tally = Tally()
        self._warehouse = (
            None if clickhouse is None else Warehouse(clickhouse, codec.decode, self.tally)
        )
        self._config = config
        self._codec = codec
        self._policies = policies
        self._changelog = credit_changelog(app_id)
        self._directory = directory
        self._track = track
        self._memory = Memory(block_cache_bytes=_CACHE_BYTES, write_buffer_bytes=_CACHE_BYTES)
        self._differing: set[str] = set()
        self._later: dict[str, list[bytes]] = {}
        facts = topic_facts(AdminClient(dict(config)), list({self._changelog, *FIGURES, *TABLES}))
        self._partitions = {name: fact.partitions for name, fact in facts.items()}

    def findings(self) -> Iterator[Difference | Note]:
        """Everything that is to be said, as it is found."""
        for finding in self._compare():
            self.tally.count(finding)
            yield finding

    def rebuild(self, put_right: PutRight | None) -> Iterator[Difference | Note]:
        """Re-derive the state alone, also that of a partition that has lost it, and compare it with
        the live one; `put_right` is given both when all has been told.
        """
        expected = Shelf(self._directory / "expected")
        live = self._read_live()
        journal = self._readers(JOURNAL)
        advance = self._track("recomputing", sum(one.end - one.first for one in journal))
        for reader in journal:
            partition = self._partition(
                reader, live[reader.partition], expected, advance, put_right, rebuilds=True
            )
            for finding in partition:
                self.tally.count(finding)
                yield finding
        expected.close()

    def _compare(self) -> Iterator[Difference | Note]:
        published, expected = (Shelf(self._directory / n) for n in ("published", "expected"))
        live = self._read_live()
        time.sleep(_MARKERS_SECONDS)
        readers = [reader for topic in FIGURES for reader in self._readers(topic)]
        advance = self._track("reading figures", sum(one.end - one.first for one in readers))
        for reader in readers:
            read_published(reader, published, advance)
        journal = self._readers(JOURNAL)
        advance = self._track("recomputing", sum(one.end - one.first for one in journal))
        complete = True
        for reader in journal:
            for finding in self._partition(reader, live[reader.partition], expected, advance):
                complete = complete and not (isinstance(finding, Note) and finding.incomplete)
                yield finding
        yield from compare_published(
            published,
            expected,
            self._later,
            self._codec.decode,
            self._differing,
            complete=complete,
        )
        published.close()
        yield from self._compare_clickhouse(expected)
        expected.close()

    def _compare_clickhouse(self, expected: Shelf) -> Iterator[Difference | Note]:
        """What the sink has written, as far as it has come."""
        warehouse = self._warehouse
        if warehouse is None or not warehouse.is_there():
            yield Note("ClickHouse has no tables of ours; it was not compared")
            return
        for topic in TABLES:
            reached = warehouse.reached(topic)
            readers = self._readers(topic)
            total = sum(one.end - one.first for one in readers)
            advance = self._track(f"rows of {topic}", total)
            shelf = Shelf(self._directory / f"rows-{topic}")
            yield from warehouse.compare_rows(topic, readers, reached, shelf, advance)
            shelf.close()
        yield from warehouse.compare_figures(expected)

    def _read_live(self) -> list[Live]:
        readers = self._readers(self._changelog)
        advance = self._track("reading state", sum(one.end - one.first for one in readers))
        live = []
        for reader in readers:
            store = self._store(f"live-{reader.partition}")
            live.append(Live(store, read_live(reader, store, advance)))
        return live

    def _partition(
        self,
        reader: LogReader,
        live: Live,
        expected: Shelf,
        advance: Callable[[int], None],
        put_right: PutRight | None = None,
        *,
        rebuilds: bool = False,
    ) -> Iterator[Difference | Note]:
        name = f"{JOURNAL}[{reader.partition}]"
        if rebuilds and live.position is None and reader.first == 0:
            yield Note(f"{name} has no live state; it is made up to {reader.end}")
            live = Live(live.store, reader.end)
        why_not = self._why_not(reader, live, name)
        if why_not is not None:
            advance(reader.end - reader.first)
            live.store.close()
            yield why_not
            return
        at = live.position or 0
        store = self._store(f"recomputed-{reader.partition}")
        figures = ExpectedFigures(expected, reader.partition, self._codec.encode, self._policies)
        recomputation = Recomputation(store, self._codec, self._policies, figures)
        records = reader.told(advance)
        waiting = _up_to(records, at, recomputation)
        recomputation.stand_at(at)
        self.tally.accounts += accounts_in(store if rebuilds else live.store)
        for difference in compare_states(live.store, store, f"{name} up to {at}"):
            self._differing.add(difference.account_id)
            yield difference
        if put_right is not None:
            put_right(reader.partition, at, live.store, store)
        if rebuilds:
            waiting = None
        elif reader.end > at:
            yield Note(f"{name}: the live state stands at {at}, the journal ends at {reader.end}")
        while waiting is not None:
            figures.note_later(store)
            recomputation.apply(waiting)  # what goes out is not compared
            figures.note_later(store)
            waiting = next(records, None)
        for key, contents in figures.later.items():
            self._later.setdefault(key, []).extend(contents)
        live.store.close()
        store.close()

    def _why_not(self, reader: LogReader, live: Live, name: str) -> Note | Difference | None:
        """Why the partition cannot be recomputed, if it cannot."""
        if reader.first > 0:
            return Note(
                f"{name} begins at {reader.first}: what was before is gone, so its accounts cannot "
                "be recomputed and were not compared",
                incomplete=True,
            )
        if live.position is None:
            if reader.end == 0:
                return Note(f"{name} is empty")
            return Note(
                f"{name} has no live state, though the journal holds {reader.end}: no worker has "
                "committed it yet, or the changelog was lost; its accounts were not compared",
                incomplete=True,
            )
        if live.position > reader.end:
            return Difference(
                "live_state", "", name, "position", str(live.position), str(reader.end),
                "the state is of another journal, or the journal lost its end", self._changelog,
            )  # fmt: skip
        return None

    def _readers(self, topic: str) -> list[LogReader]:
        count = self._partitions[topic]
        return [LogReader(self._config, topic, partition) for partition in range(count)]

    def _store(self, name: str) -> PartitionStore:
        return PartitionStore(self._directory / name, state, self._memory)


def _up_to(records: Iterator[Record], end: int, recomputation: Recomputation) -> Record | None:
    """Apply all records before an offset; the first that is not, if there is one."""
    for record in records:
        if record.offset >= end:
            return record
        recomputation.apply(record)  # what goes out is not compared
    return None
