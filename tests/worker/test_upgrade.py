"""Another release comes in, worker by worker, and a sender moves to a newer schema: under load."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from worker.conftest import START, WorkerProcess
from worker.load import SteadyLoad
from worker.test_takeover import LONG_SESSION, NOBODY_WAITED_SECONDS, started, under_load

from schemas import catalogue, records
from schemas.events import OrderPlaced
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

NEXT_RELEASE = """
import sys

import msgspec

from agents.cli.main import run
from agents.core.records import Record
from agents.credit import state

encode_today = state.encode


def encode(key, value):
    raw = encode_today(key, value)
    if not isinstance(value, Record):
        return raw
    fields = msgspec.msgpack.decode(raw[1:])
    return raw[:1] + msgspec.msgpack.encode([*fields, "what the next release adds"])


state.encode = encode
sys.exit(run())
"""
"""A worker whose state has a field more in every record, at the end, as a release may add it."""


@pytest.fixture
def load(kafka: str) -> Iterator[SteadyLoad]:
    made = SteadyLoad(kafka)
    yield made
    made.end()


def replaced(load: SteadyLoad, workers: list[WorkerProcess], program: str) -> float:
    """Every worker in turn by one of another release; the longest that a customer waited."""
    longest = 0.0
    for worker in workers:
        stopped = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.wait(30) == 0, worker.log
        worker.start(program)
        worker.wait_until_ready()
        load.wait_for_answers()
        longest = max(longest, load.silence(stopped))
    return longest


def test_the_next_release_comes_in_worker_by_worker_and_goes_out_again(
    kafka: str, load: SteadyLoad, make_worker: Any
) -> None:
    """Both releases read what the other has written, on disk and in the changelog."""
    workers = started(load, kafka, make_worker, "abc", **LONG_SESSION)
    forward = replaced(load, workers, NEXT_RELEASE)
    back = replaced(load, workers, START)
    print(f"silence {forward:.2f} s on the way to the next release, {back:.2f} s on the way back")
    assert max(forward, back) < 1 + NOBODY_WAITED_SECONDS
    load.stop()
    load.check("effectively_once")
    assert all("Traceback" not in worker.log for worker in workers)


@pytest.fixture
def own_kafka(tmp_path: Path, cache_dir: Path) -> Iterator[str]:
    """Without what other tests have written, under ids that no registry knows."""
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as broker:
        yield broker.bootstrap_servers


def test_a_sender_moves_to_a_newer_schema_while_orders_come(
    own_kafka: str, apicurio: str, make_worker: Any
) -> None:
    """The worker asks the registry for the schema when its first record comes, and goes on."""
    load = SteadyLoad(own_kafka, registry=apicurio)
    try:
        worker = make_worker(own_kafka, schema_registry_url=apicurio)
        under_load(load, worker)
        newer = records.current("OrderPlaced")
        newer["fields"].append({"name": "channel", "type": ["null", "string"], "default": None})
        schema_id = SchemaRegistryClient({"url": apicurio}).register_schema(
            catalogue.subject("credit.orders.v1", "OrderPlaced"), Schema(json.dumps(newer), "AVRO")
        )
        encode_today = load.encode
        written: list[str] = []

        def encode(event: OrderPlaced) -> bytes:
            written.append(event.order_id)
            header = b"\0" + schema_id.to_bytes(4, "big")
            return header + encode_today(event)[5:] + b"\2\6web"

        load.encode = encode
        changed = time.monotonic()
        load.wait_for_answers()
        print(f"silence {load.silence(changed):.2f} s when the schema changed")
        load.stop()
        load.check("effectively_once")
        assert len(written) > len(load.customers)
        assert "unknown_schema" not in worker.get("/metrics")[1]
    finally:
        load.end()
