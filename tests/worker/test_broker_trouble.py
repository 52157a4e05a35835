"""A broker that freezes for a while: the worker waits, and goes on by itself."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.cluster import java_of
from worker.conftest import Broker
from worker.test_worker_process import customer, headers_of, oracle, order

from schemas.catalogue import JOURNAL, topic_of
from schemas.events import OrderDecision
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

DECISIONS = topic_of("OrderDecision")
_OUTAGE_SECONDS = 14.0
"""Longer than a transaction and a session may take."""


@pytest.fixture
def own_kafka(tmp_path: Path, cache_dir: Path) -> Iterator[EmbeddedKafka]:
    """A broker that belongs to the test, to be mistreated."""
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        yield kafka


def freeze(kafka: EmbeddedKafka) -> None:
    """Connections stay, nothing answers; then all goes on."""
    process = java_of(kafka)
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    time.sleep(_OUTAGE_SECONDS)
    os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize("guarantee", ["effectively_once", "exactly_once"])
def test_nothing_is_lost_and_the_worker_goes_on_by_itself(
    own_kafka: EmbeddedKafka, make_worker: Any, guarantee: str
) -> None:
    """Orders before and after, and some under way at the moment: each gets the decision that the
    pure rules give it, from the process that was there before.
    """
    broker = Broker(own_kafka.bootstrap_servers)
    read_journal, read_decisions = broker.reader(JOURNAL), broker.reader(DECISIONS)
    worker = make_worker(own_kafka.bootstrap_servers, guarantee=guarantee)
    worker.start()
    worker.wait_until_ready()
    customers = [f"C-{n}" for n in range(8)]
    for customer_id in customers:
        broker.send(customer(customer_id, 40_000_00), customer_id)
    broker.flush()
    assert len(read_journal(lambda read: len(read) >= len(customers))) == len(customers)

    def place(first: int, count: int) -> None:
        for n in range(first, first + count):
            broker.send(order(customers[n % len(customers)], f"O-{n}", 7_000_00, n))

    place(0, 400)  # still under way when the trouble begins
    freeze(own_kafka)
    place(400, 100)
    broker.flush()

    decisions = read_decisions(lambda read: len({m.value() for m in read}) >= 500)
    assert worker.exit_code is None, worker.log
    by_id: dict[str, set[bytes | None]] = defaultdict(set)
    for message in decisions:
        by_id[headers_of(message)["ce_id"].decode()].add(message.value())
    assert all(len(values) == 1 for values in by_id.values()), "one id, two contents"
    if guarantee == "exactly_once":
        assert len(decisions) == len(by_id)
    everything = 500 + len(customers)
    journal = read_journal(lambda read: len({m.value() for m in read}) == everything)
    expected = {
        id_: event
        for id_, event in oracle(broker, journal).items()
        if isinstance(event, OrderDecision)
    }
    assert {id_: broker.codec.decode(next(iter(v))) for id_, v in by_id.items()} == expected
    assert worker.exit_code is None, worker.log
    assert "Traceback" not in worker.log
    worker.signal(signal.SIGTERM)
    assert worker.wait(30) == 0, worker.log
