"""The dunning run of a business day on one worker, and how long orders wait meanwhile.

Customers with open invoices whose due days spread evenly over two months around the day; so on that
day as many accounts are due for a look, and as many letters are written, as on any day of a firm of
that size. Orders come at a steady rate before the day begins and while it runs, and both waits are
taken in the same way in one run.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import msgspec
from confluent_kafka import Producer

import agents.dunning
from agents.simulate import business_day
from agents.worker_process import worker_process
from benchmarks.bench import Bench, BenchFailedError, bench_on_a_broker
from benchmarks.workload import DAY, customer_id
from schemas.catalogue import JOURNAL, topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import CustomerUpserted, Event, InvoiceIssued, OrderDecision, OrderPlaced
from streams.cloud_events import headers_of
from streams.kafka_client import producer_config
from streams.settings import Settings

_DECISIONS = topic_of("OrderDecision")
_STEPS = topic_of("DunningStep")
_PROCEDURES = Path(agents.dunning.__file__).parent / "procedures"
_SPREAD_DAYS = 60
_WARM_UP_SECONDS = 5.0
_QUIET_SECONDS = 4.0
"""So long no letter is written: the run is over."""
_PATIENCE_SECONDS = 600.0


class DunningDay(msgspec.Struct, frozen=True):
    """What was measured. Waits are milliseconds from before the produce call to the decision in a
    consumer's hands: `before` the day began, and `meanwhile`.
    """

    customers: int
    invoices: int
    letters: int
    seconds: float
    """From the day in the journal to the last letter in its topic, by the brokers' clock."""
    per_second: int
    before_p50: float
    before_p99: float
    meanwhile_p50: float
    meanwhile_p99: float
    meanwhile_samples: int


def run(
    settings: Settings,
    *,
    customers: int,
    invoices: int,
    per_second: int,
    seconds: int,
    tell: Callable[[str], None],
) -> DunningDay:
    """Measure one day.

    Args:
        settings: of the broker; without one an embedded one is started in a directory of its own.
        customers: how many there are.
        invoices: how many of theirs are open.
        per_second: orders a second.
        seconds: for how long the wait is taken before the day begins.
        tell: says what is going on.

    Raises:
        BenchFailedError: something did not come to its end.
    """
    settings = settings.model_copy(update={"procedures_dir": _PROCEDURES})
    with bench_on_a_broker(settings, tell) as bench:
        bench.make_topics()
        tell(f"{invoices:,} open invoices of {customers:,} customers")
        _begin(bench, DAY - 1)
        bench.produce(JOURNAL, _receivables(customers, invoices))
        with worker_process(
            bench.settings, bench.claim, name="bench", only=["credit"], wait=False
        ) as worker:
            bench.wait_for_group(f"{bench.settings.app_id}-credit", worker)
            tell(f"orders, {per_second} a second, on a quiet day")
            orders = _Orders(bench, customers, per_second)
            orders.start()
            time.sleep(_WARM_UP_SECONDS)
            quiet_from = time.perf_counter()
            time.sleep(seconds)
            steps = bench.reader(_STEPS)
            tell("the day begins")
            begun_from = time.perf_counter()
            _begin(bench, DAY)
            sent = _until_the_last(steps)
            ended_at = time.perf_counter() - _QUIET_SECONDS
            orders.stop()
            worker.check()
            begun = _last_day_began(bench)
    before = orders.waits(quiet_from, begun_from)
    meanwhile = orders.waits(begun_from, ended_at)
    return DunningDay(
        customers=customers,
        invoices=invoices,
        letters=len(sent),
        seconds=(max(sent) - begun) / 1000,
        per_second=per_second,
        before_p50=_percentile(before, 50),
        before_p99=_percentile(before, 99),
        meanwhile_p50=_percentile(meanwhile, 50),
        meanwhile_p99=_percentile(meanwhile, 99),
        meanwhile_samples=len(meanwhile),
    )


def _receivables(customers: int, invoices: int) -> Iterator[Event]:
    draw = random.Random(1)
    at = (DAY - 1) * MICROSECONDS_PER_DAY
    for number in range(customers):
        yield CustomerUpserted(
            event_id=f"c-{number}",
            occurred_at=at,
            customer_id=customer_id(number),
            currency="EUR",
            credit_limit=10**12,
            country="NL",
            name=f"Customer {number}",
            email=f"ap-{number}@customers.example",
        )
    for number in range(invoices):
        due_on = DAY + draw.randrange(-_SPREAD_DAYS // 2, _SPREAD_DAYS // 2)
        yield InvoiceIssued(
            event_id=f"i-{number}",
            occurred_at=at,
            customer_id=customer_id(number % customers),
            invoice_id=f"I-{number}",
            amount=draw.randrange(50_00, 3_000_00),
            currency="EUR",
            issued_on=due_on - 30,
            due_on=due_on,
        )


def _begin(bench: Bench, day: int) -> None:
    producer = Producer(producer_config(bench.settings))
    event = business_day(day)
    for partition in range(bench.settings.partitions):
        producer.produce(
            JOURNAL,
            bench.codec.encode(event),
            partition=partition,
            headers=list(headers_of("bench")(event)),
        )
    producer.flush()


def _until_the_last(steps: Any) -> list[int]:
    """When each letter was written, milliseconds since 1970."""
    sent: list[int] = []
    heard, deadline = time.monotonic(), time.monotonic() + _PATIENCE_SECONDS
    while not sent or time.monotonic() - heard < _QUIET_SECONDS:
        if time.monotonic() > deadline:
            raise BenchFailedError("the run of the day came to no end")
        for message in steps.consume(1000, 0.1):
            if message.error() is None:
                sent.append(message.timestamp()[1])
                heard = time.monotonic()
    steps.close()
    return sent


def _last_day_began(bench: Bench) -> int:
    """When the last day was written to the journal, milliseconds since 1970."""
    journal = bench.reader(JOURNAL, from_the_end=False)
    found, silent = 0, 0
    while silent < 20:
        messages = journal.consume(5000, 0.1)
        silent = 0 if messages else silent + 1
        for message in messages:
            headers = dict(message.headers() or [])
            if headers.get("ce_type") == b"headroom.BusinessDayStarted":
                found = max(found, message.timestamp()[1])
    journal.close()
    return found


class _Orders:
    """Small orders at a steady rate, and how long each waits."""

    def __init__(self, bench: Bench, customers: int, per_second: int) -> None:
        self._bench = bench
        self._customers = customers
        self._per_second = per_second
        self._sent: dict[str, float] = {}
        self._answered: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._read_all = threading.Event()
        self._consumer = bench.reader(_DECISIONS)
        self._threads = [threading.Thread(target=one) for one in (self._place, self._read)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more orders; those that were placed are answered."""
        self._ended.set()
        self._threads[0].join()
        deadline = time.monotonic() + 30
        while self._sent and time.monotonic() < deadline:
            time.sleep(0.05)
        self._read_all.set()
        self._threads[1].join()
        self._consumer.close()
        if self._sent:
            raise BenchFailedError(f"{len(self._sent)} orders got no answer")

    def waits(self, since: float, until: float) -> list[float]:
        """Of the orders placed between, in milliseconds."""
        return [wait * 1000 for placed, wait in self._answered if since <= placed < until]

    def _place(self) -> None:
        producer = Producer(producer_config(self._bench.settings))
        draw = random.Random(3)
        start, number = time.perf_counter(), 0
        while not self._ended.is_set():
            pause = start + number / self._per_second - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            event = OrderPlaced(
                event_id=f"o-{number}",
                occurred_at=DAY * MICROSECONDS_PER_DAY + number,
                customer_id=customer_id(draw.randrange(self._customers)),
                order_id=f"O-{number}",
                amount=1,
                currency="EUR",
            )
            number += 1
            value = self._bench.codec.encode(event)
            headers: Any = headers_of("bench")(event)
            self._sent[event.order_id] = time.perf_counter()
            producer.produce(JOURNAL, value, event.customer_id.encode(), headers=headers)
            producer.poll(0)
        producer.flush()

    def _read(self) -> None:
        while not self._read_all.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            now = time.perf_counter()
            event = self._bench.codec.decode(message.value())
            if isinstance(event, OrderDecision) and event.decision_number == 1:
                placed = self._sent.pop(event.order_id, None)
                if placed is not None:
                    self._answered.append((placed, now - placed))


def _percentile(waits: list[float], percent: int) -> float:
    return quantiles(waits, n=100, method="inclusive")[percent - 1]
