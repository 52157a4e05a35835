"""What was produced for sinks, and the processes in which they run."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer, TopicPartition
from sink.lives import Life
from sink.sink_events import decision, invoice, payment
from worker.conftest import end_of

from agents.sink.plan import SOURCES
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import Event, InvoiceIssued, OrderDecision, PaymentReceived
from streams.codec import Codec
from streams.kafka_client import client_config, producer_config
from streams.registry import open_schema_ids
from streams.settings import PREFIX, Settings

CODEC = Codec(open_schema_ids(None))
_ROOT = Path(__file__).parents[2]


class Ledger:
    """Everything that was produced, and what the tables must therefore hold."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(producer_config(settings))
        self.customer = f"K-{uuid.uuid4().hex[:8]}"
        self.events: list[Event] = []

    def produce(self, count: int) -> None:
        """So many events: half of them of the journal, each of which is two rows."""
        first = len(self.events)
        for n in range(first, first + count):
            event_id, who = f"{self.customer}-{n}", {"customer_id": self.customer}
            event: Event
            match n % 4:
                case 0:
                    event = invoice(event_id, invoice_id=f"I-{n}", amount=n + 1, **who)
                case 1:
                    event = payment(event_id, payment_id=f"P-{n}", amount=n + 1, **who)
                case _:
                    event = decision(event_id, order_id=f"O-{n}", amount=n + 1, **who)
            topic = topic_of("OrderDecision") if isinstance(event, OrderDecision) else JOURNAL
            self._producer.produce(topic, CODEC.encode(event), f"{event_id}".encode())
            self.events.append(event)
        assert self._producer.flush(30) == 0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Produce some all the time, so that no two sinks find the same when they look."""
        stop = threading.Event()

        def produce() -> None:
            while not stop.wait(0.05):
                self.produce(100)

        self.produce(2_000)
        thread = threading.Thread(target=produce)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def differences(self, client: Client) -> list[str]:
        """What is not as it must be: nothing, if no row is missing and none is there twice."""
        found = []
        of_kind: dict[type[Event], list[Event]] = {
            kind: [e for e in self.events if isinstance(e, kind)]
            for kind in (InvoiceIssued, PaymentReceived, OrderDecision)
        }
        tables: dict[str, list[Event]] = {
            "journal": self.events_of_the_journal(),
            "invoice_events": of_kind[InvoiceIssued],
            "payment_events": of_kind[PaymentReceived],
            "order_decisions": of_kind[OrderDecision],
        }
        for table, events in tables.items():
            where = f"WHERE customer_id = '{self.customer}'"
            for form in ("FINAL", ""):
                rows, ids, places = client.query(
                    f"SELECT count(), uniqExact(event_id), uniqExact(topic, partition, offset)"
                    f" FROM headroom.{table}_raw {form} {where}"
                ).result_rows[0]
                if not rows == ids == places == len(events):
                    found.append(f"{table} {form}: {rows=} {ids=} {places=} for {len(events)}")
            if table != "journal":
                minor = client.query(
                    f"SELECT sum(amount_minor) FROM headroom.{table}_raw {where}"
                ).result_rows[0][0]
                wanted = sum(e.amount for e in events)  # type: ignore[attr-defined]
                if minor != wanted:
                    found.append(f"{table}: {minor} minor units instead of {wanted}")
        by_type = client.query(
            "SELECT type, count() FROM headroom.journal"
            f" WHERE customer_id = '{self.customer}' GROUP BY type"
        ).result_rows
        kinds = Counter(type(event).__name__ for event in self.events_of_the_journal())
        if set(by_type) != set(kinds.items()):
            found.append(f"journal by type: {by_type}")
        return found

    def events_of_the_journal(self) -> list[Event]:
        return [event for event in self.events if not isinstance(event, OrderDecision)]


def begin_at_the_end(settings: Settings) -> None:
    group = Consumer(client_config(settings) | {"group.id": f"{settings.app_id}-sink"})
    places = [TopicPartition(one, n) for one in SOURCES for n in range(settings.partitions)]
    ends = [TopicPartition(one.topic, one.partition, end_of(group, one)) for one in places]
    group.commit(offsets=ends, asynchronous=False)
    group.close()


Live = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def living(settings: Settings) -> Iterator[Live]:
    """Starts lives that come one after the other; those that are not over in the end are killed."""
    begun: list[subprocess.Popen[str]] = []
    told = {"kafka_bootstrap", "embedded_dir", "app_id", "sink_batch_seconds", "state_dir"}
    told |= {"session_timeout_seconds", "partitions", "replication_factor", "min_insync_replicas"}

    def start(*lives: Life, **more: object) -> subprocess.Popen[str]:
        environment = {
            PREFIX + name.upper(): str(value)
            for name, value in (settings.model_dump(include=told) | more).items()
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "sink.lives", *(msgspec.json.encode(one) for one in lives)],
            env=environment | {"PYTHONPATH": f"{_ROOT}:{_ROOT / 'tests'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def ended_well(lives: subprocess.Popen[str], seconds: float = 240) -> str:
    """What they printed."""
    printed, complaints = lives.communicate(timeout=seconds)
    assert lives.returncode == 0, printed + complaints
    return printed
