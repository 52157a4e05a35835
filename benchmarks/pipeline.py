"""Throughput and latency of the pipeline on this machine, beside what they are compared with.

All of it in one run on one broker, one after the other, since absolute figures say little about
another machine:

* journal to decisions with the full reducer, one worker, against a plain per-event Faust agent with
  the same reducer (`benchmarks.plain_faust`), and against reading and decoding alone, which tells
  how fast the machine is;
* order to decision as a consumer reads it, at a steady rate: from the journal, and from
  `credit.orders.v1` through intake too, beside a raw echo of librdkafka: produce, consume.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import quantiles
from typing import Any

import msgspec
from confluent_kafka import Message, Producer

from agents.worker_process import worker_process
from benchmarks.bench import PATIENCE_SECONDS, Bench, BenchFailedError, bench_on_a_broker
from benchmarks.workload import BUSINESS, business, customers, orders
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import OrderDecision
from streams.cloud_events import headers_of
from streams.embedded.supervised import SupervisedProcess
from streams.kafka_client import client_config, producer_config
from streams.log_reader import open_readers
from streams.settings import Settings

CUSTOMERS = 2_000
WARM_UP_SECONDS = 5.0
DECISIONS = topic_of("OrderDecision")
_ORDERS = topic_of("OrderPlaced")
_ECHO = "bench.echo"
_PLAIN = "bench.plain-decisions"


class Throughput(msgspec.Struct, frozen=True):
    """Events of business per second, from the first decision to the last."""

    name: str
    events: int
    events_per_second: float


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from before the produce call to the answer in a consumer's hands."""

    name: str
    per_second: int
    samples: int
    p50: float
    p99: float


class Report(msgspec.Struct, frozen=True):
    """One run."""

    throughput: list[Throughput]
    latency: list[Latency]
    ratio_to_plain: float


def run(
    settings: Settings,
    *,
    events: int,
    plain_events: int,
    per_second: int,
    seconds: int,
    tell: Callable[[str], None],
) -> Report:
    """Measure everything.

    Args:
        settings: of the broker; without one an embedded one is started in a directory of its own.
        events: events of business for the throughput of Headroom.
        plain_events: the same for the plain agent, which is slower.
        per_second: orders a second for the latencies.
        seconds: length of each latency measurement.
        tell: says what is going on.

    Raises:
        BenchFailedError: something did not answer in time.
    """
    with bench_on_a_broker(settings, tell) as bench:
        bench.make_topics(_ECHO, _PLAIN)
        headroom, plain, reading = _throughput(bench, events, plain_events)
        latency = _latencies(bench, per_second, seconds)
    ratio = headroom.events_per_second / plain.events_per_second
    return Report([headroom, plain, reading], latency, ratio)


# ── throughput ──────────────────────────────────────────────────────────────────────────────────


def _throughput(
    bench: Bench, events: int, plain_events: int
) -> tuple[Throughput, Throughput, Throughput]:
    bench.tell(f"journal with {events} events of {CUSTOMERS} customers")
    bench.produce(JOURNAL, customers(CUSTOMERS))
    bench.produce(JOURNAL, business(plain_events, CUSTOMERS))
    bench.tell(f"plain Faust agent, {plain_events} events")
    plain = _time_plain(bench, plain_events)
    bench.produce(JOURNAL, business(events, CUSTOMERS, seed=2))
    bench.tell(f"Headroom's credit agent, {events} events")
    with _worker(bench, "credit", wait=False) as worker:
        bench.wait_for_group(f"{bench.settings.app_id}-credit", worker)
    headroom = _rate(bench, "Headroom", DECISIONS, plain_events + events)
    bench.tell("reading and decoding the same journal")
    return headroom, plain, _time_reading(bench, plain_events + events)


def _time_reading(bench: Bench, events: int) -> Throughput:
    """The journal's events of business per second when they are only read and decoded."""
    consumer = bench.reader(JOURNAL, from_the_end=False)
    read = 0
    began = time.perf_counter()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while read < events and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            if message.error() is None:
                read += isinstance(bench.codec.decode(message.value()), BUSINESS)
    seconds = time.perf_counter() - began
    consumer.close()
    if read < events:
        raise BenchFailedError(f"the journal: {read} of {events} events could be read")
    return Throughput("read and decoded only", events, events / seconds)


def _time_plain(bench: Bench, events: int) -> Throughput:
    environment = {
        "BENCH_BROKER": str(bench.settings.kafka_bootstrap),
        "BENCH_DIRECTORY": str(bench.directory / "plain"),
        "BENCH_PARTITIONS": str(bench.settings.partitions),
        "BENCH_OUTPUT": _PLAIN,
    }
    process = SupervisedProcess(
        "The plain Faust agent",
        [sys.executable, "-m", "benchmarks.plain_faust", "worker", "-l", "warn", "--without-web"],
        log=bench.directory / "plain.log",
        claim=bench.claim,
        environment=os.environ | environment,
    )
    try:
        bench.wait_for_group("plain-faust", process)
    finally:
        process.stop()
    return _rate(bench, "plain Faust agent", _PLAIN, events)


def _rate(bench: Bench, name: str, out: str, events: int) -> Throughput:
    """Events of business per second, from the first decision to the last, as they were sent."""
    # To the end of each log, not to a number: markers of transactions have offsets too.
    readers = open_readers(client_config(bench.settings), out)
    sent = [record.timestamp for reader in readers for record in reader]
    if not sent:
        raise BenchFailedError(f"{name}: no decision could be read")
    return Throughput(name, events, events / ((max(sent) - min(sent)) / 1000))


# ── latency ─────────────────────────────────────────────────────────────────────────────────────


def _latencies(bench: Bench, per_second: int, seconds: int) -> list[Latency]:
    count = per_second * seconds
    bench.produce(topic_of("CustomerUpserted"), customers(CUSTOMERS))
    with _worker(bench, "intake", "credit") as worker:
        bench.wait_for_group(f"{bench.settings.app_id}-credit", worker)
        measured = [
            latency_of(bench, f"{_ECHO}: raw echo of librdkafka", _ECHO, _ECHO, count,
                       per_second, 3),
            latency_of(bench, "order in the journal to decision", JOURNAL, DECISIONS, count,
                       per_second, 4),
            latency_of(bench, "order in credit.orders.v1 to decision", _ORDERS, DECISIONS, count,
                       per_second, 5),
        ]  # fmt: skip
        worker.check()
    return measured


def latency_of(
    bench: Bench, name: str, into: str, out: str, count: int, per_second: int, seed: int
) -> Latency:
    """Send orders at a steady rate; take the time of each until its answer is read.

    The first seconds only warm up: clients find their brokers, and the broker compiles itself.
    """
    bench.tell(f"{name}, {per_second} a second")
    sent: dict[str, float] = {}
    taken: list[float] = []
    consumer = bench.reader(out)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                now = time.perf_counter()
                began = sent.pop(_order_of(bench, message), None)
                if began is not None and began >= counts_from:
                    taken.append(now - began)

    warm_up = int(WARM_UP_SECONDS * per_second)
    start = time.perf_counter()
    counts_from = start + WARM_UP_SECONDS
    reader = threading.Thread(target=read, name="bench-reader", daemon=True)
    reader.start()
    producer = Producer(producer_config(bench.settings))
    headers: Any = headers_of("bench")(next(iter(orders(1, 1))))
    for number, order in enumerate(orders(count + warm_up, CUSTOMERS, seed)):
        pause = start + number / per_second - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        event = msgspec.structs.replace(order, order_id=f"{order.order_id}-{seed}")
        value = bench.codec.encode(event)
        sent[event.order_id] = time.perf_counter()
        producer.produce(into, value, event.customer_id.encode(), headers=headers)
        producer.poll(0)
    producer.flush()
    deadline = time.monotonic() + 20
    while sent and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    reader.join()
    consumer.close()
    if sent:
        raise BenchFailedError(f"{name}: {len(sent)} of {count} orders got no answer")
    parts = quantiles(taken, n=100, method="inclusive")
    return Latency(name, per_second, len(taken), parts[49] * 1000, parts[98] * 1000)


def _order_of(bench: Bench, message: Message) -> str:
    event = bench.codec.decode(message.value())
    if isinstance(event, OrderDecision) and event.decision_number != 1:
        return ""
    return str(getattr(event, "order_id", ""))


def _worker(
    bench: Bench, *agents: str, wait: bool = True
) -> AbstractContextManager[SupervisedProcess]:
    return worker_process(bench.settings, bench.claim, name="bench", only=agents, wait=wait)
