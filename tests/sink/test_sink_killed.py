"""Sinks that are killed and frozen, with a real broker and a real engine: what is in the tables is
what was produced, each record once, also where nothing hides repeats.
"""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka.admin import AdminClient
from sink.ledger import Ledger, Live, begin_at_the_end, ended_well
from sink.lives import (
    AFTER_INSERT,
    AFTER_INTENTION,
    BEFORE_INTENTION,
    BETWEEN_TABLES,
    IN_INSERT,
    POINTS,
    Life,
)
from worker.proxy import Proxy

from streams.embedded.parts import clickhouse_directory
from streams.embedded.ports import free_ports
from streams.kafka_client import client_config
from streams.settings import Settings
from streams.topics import apply, catalogue_topics

pytestmark = [pytest.mark.connected, pytest.mark.slow]


@pytest.fixture
def settings(kafka: str, engine_dir: Path, make_settings: Callable[..., Settings]) -> Settings:
    """Of sinks whose group begins where the topics end now."""
    made = make_settings(
        kafka_bootstrap=kafka,
        embedded_dir=engine_dir,
        app_id=f"lives-{uuid.uuid4().hex[:8]}",
        sink_batch_seconds=0.3,
        session_timeout_seconds=6,
        replication_factor=1,
        min_insync_replicas=1,
    )
    apply(AdminClient(client_config(made)), catalogue_topics(made))
    begin_at_the_end(made)
    return made


def test_killed_at_every_point_the_sink_leaves_each_row_once(
    tables: Client, settings: Settings, live: Live
) -> None:
    ledger = Ledger(settings)
    with ledger.going_on():
        lives = [Life(rows=50 + 13 * n, ends=point) for n, point in enumerate(POINTS)]
        ended_well(live(*lives))
    ended_well(live(Life(rows=1000)))
    assert ledger.differences(tables) == []
    tables.command(
        "INSERT INTO headroom.journal_raw (* EXCEPT inserted_at) SELECT * EXCEPT inserted_at"
        f" FROM headroom.journal_raw WHERE event_id = '{ledger.customer}-0'"
    )
    tables.command(
        f"DELETE FROM headroom.order_decisions_raw WHERE event_id = '{ledger.customer}-2'"
    )
    assert {one.partition(":")[0] for one in ledger.differences(tables)} == {
        "journal ", "order_decisions ", "order_decisions FINAL", "order_decisions",
    }  # fmt: skip


@pytest.mark.parametrize(
    "seconds", [3, pytest.param(600, marks=pytest.mark.long)], ids=["seconds", "ten minutes"]
)
def test_while_clickhouse_is_away_nothing_is_dropped_and_memory_stays_bounded(
    tables: Client, settings: Settings, live: Live, seconds: int
) -> None:
    (port,) = free_ports(1, [])
    proxy = Proxy(port, int((clickhouse_directory(settings) / "port").read_text()))
    ledger = Ledger(settings)
    ledger.produce(6_000)
    bound = 1 << 20
    lives = live(
        Life(rows=50, slow=0.05, longest=seconds + 200),
        clickhouse_dsn=f"http://127.0.0.1:{port}",
        in_flight_bytes=bound,
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ledger.produce(20)
        time.sleep(0.1)
    assert lives.poll() is None
    proxy.start()
    try:
        largest = int(ended_well(lives))
    finally:
        proxy.stop()
    assert ledger.differences(tables) == []
    # What comes in one step is let in as long as there is room for a part of it.
    assert bound / 2 < largest < 2 * bound


@pytest.mark.long
def test_of_two_sinks_the_one_that_was_frozen_in_between_changes_nothing_when_it_wakes(
    tables: Client, settings: Settings, live: Live
) -> None:
    ledger = Ledger(settings)
    ledger.produce(2_000)
    for point in (BEFORE_INTENTION, AFTER_INTENTION, BETWEEN_TABLES, AFTER_INSERT):
        ledger.produce(1_000)
        frozen = Life(rows=50, ends=point, freezes=True)
        lives = live(frozen, Life(rows=80, ends=IN_INSERT, name="b"), Life(rows=1000, name="b"))
        ended_well(lives)
        assert ledger.differences(tables) == [], point
