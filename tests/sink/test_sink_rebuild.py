"""`headroom sink rebuild`: a damaged table becomes what a sink from scratch makes of the topics."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiokafka
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP
from sink.ledger import CODEC, Ledger, Live, ended_well
from sink.lives import Life
from sink.sink_events import (
    alert,
    business_day,
    decision,
    exposure,
    handover_changed,
    invoice,
    letter,
    outcome,
    payment,
    signal,
    step,
)

from agents.sink import rebuild
from agents.sink.intention import intention_of
from agents.sink.plan import SOURCES, Batch, Planner
from agents.sink.rebuild import NotRebuiltError, Rebuilt, TableRebuild, tables_of, topics_of
from agents.sink.tables import TABLES
from agents.sink.writer import Writer
from schemas import events as ev
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.events import OUTGOING, Event
from streams.dead_letters import settlement
from streams.embedded.kafka import EmbeddedKafka
from streams.errors import ConfigurationError, InvalidMessage
from streams.kafka_client import client_config, producer_config
from streams.log_reader import LogReader
from streams.settings import PREFIX, Settings
from streams.topics import apply, catalogue_topics

_PARTITIONS = 2
_DECISIONS = topic_of("OrderDecision")


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[str]:
    """A broker whose topics nobody else has written to, and from which records may be deleted."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), cache=cache_dir) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def settings(own_kafka: str, engine_dir: Path, make_settings: Callable[..., Settings]) -> Settings:
    made = make_settings(
        kafka_bootstrap=own_kafka,
        embedded_dir=engine_dir,
        app_id=f"rebuilds-{uuid.uuid4().hex[:8]}",
        partitions=_PARTITIONS,
        sink_batch_rows=100,
        sink_batch_seconds=0.2,
        replication_factor=1,
        min_insync_replicas=1,
    )
    apply(AdminClient(client_config(made)), catalogue_topics(made))
    return made


def produce(settings: Settings, count: int, mark: str) -> None:
    """Of everything that becomes a row some, each with ids of its own."""
    producer = Producer(producer_config(settings))
    for n in range(count):
        named = f"{mark}-{n}"
        events: list[Event] = [
            invoice(f"i-{named}", invoice_id=named),
            payment(f"p-{named}", payment_id=named),
            business_day(19_000 + n),
            ev.CustomerUpserted(
                event_id=f"c-{named}", occurred_at=0, customer_id=named, currency="EUR",
                credit_limit=None,
            ),
            ev.PromiseToPayMade(
                event_id=f"m-{named}", occurred_at=0, customer_id="C-1", promise_id=named,
                invoice_ids=[named], amount=5, promised_on=19_100,
            ),
            decision(f"d-{named}"), alert(f"a-{named}"), exposure(f"x-{named}"),
            signal(f"s-{named}"), step(f"t-{named}"), outcome(f"o-{named}"),
            handover_changed(f"h-{named}"), letter(f"l-{named}"),
        ]  # fmt: skip
        for event in events:
            topic = topic_of(type(event).__name__) if isinstance(event, OUTGOING) else JOURNAL
            producer.produce(topic, CODEC.encode(event), named)
        for topic in (JOURNAL, _DECISIONS):
            producer.produce(topic, f"rubbish {named}".encode(), named)
        refused = [("headroom_original_topic", b"credit.orders.v1"), ("headroom_reason", b"r")]
        where = [*refused, ("headroom_original_offset", named.encode())]
        producer.produce(DEAD_LETTERS, named.encode(), named, partition=n % 2, headers=where)  # type: ignore[arg-type]
        settled = settlement(b"k", n % 2, n // 2, how="retried", by="ann", reason=named)
        headers: Any = settled.headers
        producer.produce(DEAD_LETTERS, settled.value, settled.key, n % 2, headers=headers)
    assert producer.flush(30) == 0


async def say(settings: Settings, places: dict[TP, tuple[int, str]]) -> None:
    """Commit offsets with texts for the sink's group, as the sink does: by aiokafka."""
    group = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.app_id}-sink",
        enable_auto_commit=False,
    )
    await group.start()
    group.assign([aiokafka.TopicPartition(*tp) for tp in places])
    await group.commit({aiokafka.TopicPartition(*tp): place for tp, place in places.items()})
    await group.stop()


def readers(settings: Settings) -> list[LogReader]:
    config = client_config(settings)
    return [LogReader(config, topic, n) for topic in SOURCES for n in range(_PARTITIONS)]


def batch_of(reader: LogReader, *, start: int = 0) -> Batch:
    batch = Batch(reader.topic, reader.partition)
    planner = Planner(CODEC.decode, msgspec.json.encode, (InvalidMessage,))
    planner.extend(batch, [record for record in reader if record.offset >= start])
    return batch


def from_scratch(client: Client, settings: Settings) -> None:
    """What a sink makes of the topics."""
    for reader in readers(settings):
        Writer(lambda: client).write(batch_of(reader))


def columns_of(table: str) -> str:
    return ", ".join(f"`{one}`" for one in ("topic", "partition", *(n for n, _ in TABLES[table])))


def contents(client: Client, *asked: str) -> dict[str, tuple[int, int]]:
    """Of each table, how many rows readers see, and a sum over all that is in them."""
    found = {}
    for table in asked or TABLES:
        count, total = client.query(
            f"SELECT count(), sum(cityHash64(toString(tuple({columns_of(table)}))))"
            f" FROM headroom.{table} FINAL"
        ).result_rows[0]
        found[table] = (int(count), int(total))
    return found


def definitions(client: Client) -> dict[str, str]:
    rows = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = 'headroom'"
    ).result_rows
    return {str(name): str(text) for name, text in rows}


def damage(client: Client, table: str) -> None:
    """Rows that are missing, rows that are there twice, and rows of nowhere."""
    columns = columns_of(table)
    client.command(f"DELETE FROM headroom.{table} WHERE intHash32(offset) % 3 = 0")
    source = f"FROM headroom.{table} WHERE intHash32(offset) % 3 = 1"
    client.command(f"INSERT INTO headroom.{table} ({columns}) SELECT {columns} {source}")
    moved = columns.replace("`offset`", "`offset` + 100000").replace("`event_id`", "'by hand'")
    moved = moved.replace("`reason`", "'by hand'").replace("`letter_offset`", "`letter_offset` + 9")
    client.command(f"INSERT INTO headroom.{table} ({columns}) SELECT {moved} {source}")


def rebuilds(client: Client, settings: Settings) -> TableRebuild:
    return TableRebuild(client, settings, CODEC, lambda _name, _total: lambda _done: None)


VIEWS = (
    "journal", "business_days", "customer_records", "invoices", "payments", "promises",
    "order_decisions", "limit_alerts", "exposures", "risk_signals", "dunning_steps",
    "dunning_outcomes", "handover_changes", "letters", "dead_letters",
)  # fmt: skip


def test_every_table_has_a_name_by_which_it_is_made_anew() -> None:
    assert {table for name in VIEWS for table in tables_of(name)} == TABLES.keys()
    assert {name for name in TABLES if not topics_of(name) <= set(SOURCES)} == set()
    assert topics_of("letters_raw") == {"credit.letters.v1"}
    with pytest.raises(ConfigurationError, match=r"no such table: invoice .*invoices"):
        tables_of("invoice")
    with pytest.raises(ConfigurationError, match="no such table: policies"):
        tables_of("policies")


@pytest.mark.connected
@pytest.mark.slow
def test_whatever_was_done_to_a_table_it_becomes_what_a_sink_makes_from_scratch(
    tables: Client, settings: Settings
) -> None:
    produce(settings, 12, "a")
    from_scratch(tables, settings)
    wanted, before = contents(tables), definitions(tables)
    assert all(count >= 12 for count, _ in wanted.values())
    for table in TABLES:
        damage(tables, table)
    damaged = contents(tables)
    assert all(damaged[table] != wanted[table] for table in TABLES)
    for done, name in enumerate(VIEWS, start=1):
        made = rebuilds(tables, settings).run(name, from_what_is_there=True)
        for table in tables_of(name):
            assert contents(tables, table)[table] == wanted[table], table
            assert Rebuilt(table, damaged[table][0], wanted[table][0]) in made
        if done == len(VIEWS) // 2:
            later = [table for one in VIEWS[done:] for table in tables_of(one)]
            assert contents(tables, *later) == {table: damaged[table] for table in later}
    assert definitions(tables) == before


@pytest.mark.connected
@pytest.mark.slow
def test_what_a_sink_was_about_to_write_when_the_tables_were_swapped_is_not_lost(
    tables: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have gone into the old table, behind what had been read for the fresh one."""
    produce(settings, 6, "b")
    fill, times = TableRebuild._fill, iter(range(9))

    def fill_then_write(
        self: TableRebuild, fresh: dict[str, str], filled: list[TP]
    ) -> dict[TP, int]:
        done = fill(self, fresh, filled)
        produce(settings, 6, f"b{next(times)}")
        places = {}
        for reader in readers(settings):
            tp = TP(reader.topic, reader.partition)
            if tp in done and reader.end > done[tp]:
                batch = batch_of(reader, start=done[tp])
                topic_id = self._facts[reader.topic].id
                text = intention_of(batch, reader.end, topic_id).as_metadata()
                places[tp] = (done[tp], text)
        asyncio.run(say(settings, places))
        assert places
        return done

    monkeypatch.setattr(TableRebuild, "_fill", fill_then_write)
    for name in ("order_decisions", "dead_letters"):
        rebuilds(tables, settings).run(name, from_what_is_there=True)
    made = contents(tables)
    for table in TABLES:
        tables.command(f"TRUNCATE TABLE headroom.{table}")
    from_scratch(tables, settings)
    wanted = contents(tables)
    # What the second run read and the first had not is behind what it was asked for.
    assert made["dead_letters_raw"] == wanted["dead_letters_raw"]
    assert made["order_decisions_raw"][0] == wanted["order_decisions_raw"][0] - 6


@pytest.mark.connected
@pytest.mark.slow
def test_what_fails_changes_nothing_and_leaves_nothing_behind(
    tables: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(settings, 6, "c")
    from_scratch(tables, settings)
    damage(tables, "invoice_events_raw")
    before, defined = contents(tables), definitions(tables)

    def refuse(*_arguments: object) -> None:
        raise DatabaseError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(rebuild, "insert", refuse)
        with pytest.raises(NotRebuiltError, match="no space left on device; nothing was changed"):
            rebuilds(tables, settings).run("invoices")
    with pytest.raises(NotRebuiltError, match=r"credit\.exposures\.v1 is compacted"):
        rebuilds(tables, settings).run("exposures")
    assert (contents(tables), definitions(tables)) == (before, defined)
    tables.command("CREATE TABLE headroom.seen (n UInt64) ENGINE = MergeTree ORDER BY n")
    tables.command(
        "CREATE MATERIALIZED VIEW headroom.sees TO headroom.seen AS"
        " SELECT offset AS n FROM headroom.invoice_events_raw"
    )
    try:
        with pytest.raises(NotRebuiltError, match="sees hangs on the table"):
            rebuilds(tables, settings).run("invoices")
    finally:
        tables.command("DROP TABLE headroom.sees")
        tables.command("DROP TABLE headroom.seen")


@pytest.mark.connected
@pytest.mark.slow
def test_while_a_sink_runs_no_row_is_lost_and_none_is_seen_twice(
    tables: Client, settings: Settings, live: Live
) -> None:
    ledger = Ledger(settings)
    with ledger.going_on():
        sink = live(Life(rows=100))
        deadline = time.monotonic() + 60
        while not contents(tables, "journal_raw")["journal_raw"][0] and time.monotonic() < deadline:
            time.sleep(0.1)
        damage(tables, "order_decisions_raw")
        for name in ("order_decisions", "invoices"):
            rebuilds(tables, settings).run(name)
    ended_well(sink)
    ended_well(live(Life(rows=100)))
    assert [one for one in ledger.differences(tables) if "FINAL" in one] == []


@pytest.mark.connected
@pytest.mark.slow
def test_topics_that_do_not_hold_all_any_more_are_refused_and_said_so(
    tables: Client, settings: Settings
) -> None:
    produce(settings, 6, "e")
    from_scratch(tables, settings)
    before = contents(tables)
    admin = AdminClient(client_config(settings))
    gone = TopicPartition(topic_of("RiskSignal"), 0, 2)
    for future in admin.delete_records([gone]).values():
        future.result(30)

    told = {"kafka_bootstrap", "embedded_dir", "app_id", "partitions"}
    environment = {
        PREFIX + name.upper(): str(value)
        for name, value in settings.model_dump(include=told).items()
    }

    def headroom(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agents.cli.main", "sink", "rebuild", *arguments],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    refused = headroom("risk_signals")
    assert refused.returncode == 1
    assert "credit.risk-signals.v1[0] begins at 2" in refused.stderr
    assert "--from-what-is-there" in refused.stderr
    assert contents(tables) == before
    done = headroom("risk_signals", "--from-what-is-there")
    assert done.returncode == 0, done.stderr
    count = before["risk_signals_raw"][0]
    assert done.stdout == f"risk_signals: {count - 2} rows ({count} before)\n"
    assert contents(tables)["risk_signals_raw"][0] == count - 2
