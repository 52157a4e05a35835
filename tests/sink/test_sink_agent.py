"""The sink in a worker: from the real broker into the real engine."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from sink.ledger import begin_at_the_end
from sink.sink_events import decision, exposure, invoice, payment

from agents.policy_file import load_policy
from agents.sink.agent import sink
from agents.sink.plan import SOURCES
from schemas.catalogue import DEAD_LETTERS, JOURNAL
from schemas.events import Event
from streams.app import Wiring
from streams.codec import Codec
from streams.kafka_client import client_config, topic_facts
from streams.metrics import Metrics
from streams.registry import open_schema_ids
from streams.settings import Settings
from streams.topics import apply, catalogue_topics

pytestmark = [pytest.mark.connected, pytest.mark.slow]

CODEC = Codec(open_schema_ids(None))


class Log:
    """Writes to the broker's topics, as intake and the credit agent do."""

    def __init__(self, settings: Settings) -> None:
        config = client_config(settings)
        self._fast = Producer(config)
        self._fenced = Producer(config | {"transactional.id": f"test-{uuid.uuid4()}"})
        self._fenced.init_transactions(30)

    def tell(self, topic: str, events: list[Event]) -> None:
        for event in events:
            key = getattr(event, "customer_id", "").encode()
            self._fast.produce(topic, CODEC.encode(event), key)
        assert self._fast.flush(30) == 0

    def tell_in_a_transaction(self, topic: str, events: list[Event]) -> None:
        self._fenced.begin_transaction()
        for event in events:
            self._fenced.produce(topic, CODEC.encode(event), b"k")
        self._fenced.commit_transaction(30)

    def tell_rubbish(self, topic: str, value: bytes) -> None:
        headers: list[tuple[str, str | bytes]] = [
            ("headroom_reason", b"undecodable"),
            ("headroom_original_topic", value),
        ]
        self._fast.produce(topic, value, b"k", headers=headers)
        assert self._fast.flush(30) == 0


async def _run(settings: Settings, behind: Callable[[], list[str]]) -> Metrics:
    """Run the sink until nothing is `behind`, then stop it as a worker does."""
    admin = AdminClient(client_config(settings))
    metrics = Metrics()
    wiring = Wiring(settings, metrics, topic_facts(admin, SOURCES))
    member = sink(wiring, CODEC, load_policy(None))
    await member.app.start()
    try:
        await asyncio.to_thread(_wait, behind)
    finally:
        async with asyncio.timeout(30):
            await member.stop()
            await member.app.stop()
        member.close()
    return metrics


def _wait(behind: Callable[[], list[str]]) -> None:
    """Ends by itself: a thread that waited on would keep the loop from closing."""
    deadline = time.monotonic() + 60
    while left := behind():
        assert time.monotonic() < deadline, f"the sink is not done: {left}"
        time.sleep(0.1)


def _behind(settings: Settings) -> list[str]:
    """Partitions in which the sink's group has not committed all there is."""
    group = Consumer(client_config(settings) | {"group.id": f"{settings.app_id}-sink"})
    try:
        places = [
            TopicPartition(topic, number)
            for topic in (JOURNAL, "credit.order-decisions.v1", "credit.exposures.v1", DEAD_LETTERS)
            for number in range(settings.partitions)
        ]
        return [
            f"{one.topic}-{one.partition} at {one.offset} of {end}"
            for one in group.committed(places, 10)
            if max(one.offset, 0) < (end := group.get_watermark_offsets(one, 10)[1])
        ]
    finally:
        group.close()


@pytest.fixture
def settings(kafka: str, engine_dir: Path, make_settings: Callable[..., Settings]) -> Settings:
    made = make_settings(
        kafka_bootstrap=kafka,
        embedded_dir=engine_dir,
        app_id=f"test-{uuid.uuid4().hex[:8]}",
        sink_batch_rows=50,
        sink_batch_seconds=0.2,
        replication_factor=1,
        min_insync_replicas=1,
    )
    apply(AdminClient(client_config(made)), catalogue_topics(made))
    # What other tests left on the session's broker would take minutes in batches of fifty.
    begin_at_the_end(made)
    return made


def _count(client: Client, table: str, customer: str) -> int:
    where = f"customer_id = '{customer}'"
    return int(
        client.query(f"SELECT count() FROM headroom.{table} WHERE {where}").result_rows[0][0]
    )


def test_everything_told_is_in_clickhouse_once_and_offsets_follow(
    tables: Client, settings: Settings
) -> None:
    customer = f"C-{uuid.uuid4().hex[:8]}"
    log = Log(settings)
    known: dict[str, Any] = {"customer_id": customer}
    rubbish = f"\0{customer}".encode()
    log.tell(
        JOURNAL, [invoice(f"{customer}-i{n}", invoice_id=f"I-{n}", **known) for n in range(200)]
    )
    log.tell(
        JOURNAL, [payment(f"{customer}-p{n}", payment_id=f"P-{n}", **known) for n in range(120)]
    )
    decisions: list[Event] = [
        decision(f"{customer}-d{n}", order_id=f"O-{n}", **known) for n in range(100)
    ]
    log.tell("credit.order-decisions.v1", decisions)
    log.tell("credit.order-decisions.v1", decisions[90:])
    changes: list[Event] = [exposure(f"{customer}-x{n}", **known) for n in range(30)]
    log.tell_in_a_transaction("credit.exposures.v1", changes)
    log.tell_rubbish(JOURNAL, rubbish)
    log.tell_rubbish(DEAD_LETTERS, customer.encode())

    metrics = asyncio.run(_run(settings, lambda: _behind(settings)))

    expected = {"journal": 320, "invoices": 200, "payments": 120, "order_decisions": 100}
    found = {table: _count(tables, table, customer) for table in (*expected, "exposures")}
    assert found == expected | {"exposures": 30}
    letters = tables.query(
        "SELECT reason FROM headroom.dead_letters WHERE value IN ({a:String}, {b:String})"
        " ORDER BY reason",
        parameters={"a": customer, "b": rubbish.decode()},
    ).result_rows
    assert letters == [("undecodable",), ("unreadable",)]
    assert b'headroom_sink_lag_seconds{table="journal"} 0.0' in metrics.exposition()[0]

    # A second life starts at the committed offsets and changes nothing.
    log.tell(JOURNAL, [invoice(f"{customer}-i200", invoice_id="I-200", **known)])
    asyncio.run(_run(settings, lambda: _behind(settings)))
    assert _count(tables, "invoices", customer) == 201
    assert _count(tables, "journal", customer) == 321
