"""Orders at a steady rate, and how long any customer waited for the next decision."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition
from worker.conftest import Broker, end_of
from worker.test_worker_process import AT, customer, headers_of, oracle, order

from schemas.catalogue import JOURNAL, topic_of
from schemas.events import OrderDecision, OrderPlaced

DECISIONS = topic_of("OrderDecision")
ORDERS = topic_of("OrderPlaced")
_PER_SECOND = 100
_LIMIT = 40_000_00


class SteadyLoad:
    """Places orders of its customers in turn until `stop`, and reads what is decided.

    With 20 customers and 100 orders a second each of them is answered five times a second.
    """

    def __init__(self, bootstrap: str, customers: int = 20, registry: str | None = None) -> None:
        self.run = f"l{time.time_ns():x}"
        self.customers = [f"{self.run}-{n}" for n in range(customers)]
        self._bootstrap = bootstrap
        self._broker = Broker(bootstrap, registry)
        self.encode: Callable[[OrderPlaced], bytes] = self._broker.codec.encode
        """How orders are written from now on."""
        self._read_journal = self._broker.reader(JOURNAL)
        self._placed = 0
        self._ended = threading.Event()
        self._read_all = threading.Event()
        self.decisions: list[Message] = []
        self._answered: dict[str, list[float]] = defaultdict(list)
        self._starts = self._ends_of_decisions()
        self._threads = [threading.Thread(target=run) for run in (self._place, self._read)]

    def start(self) -> None:
        """The customers first: nothing else orders them before their orders."""
        for customer_id in self.customers:
            self._broker.send(customer(customer_id, _LIMIT), customer_id)
        self._broker.flush()
        wanted = len(self.customers)
        assert len(self._mine(self._read_journal(lambda r: len(self._mine(r)) >= wanted))) == wanted
        for thread in self._threads:
            thread.start()

    def wait_for_answers(self, each: int = 3) -> None:
        """Until every customer was answered so many times from now on."""
        before = {one: len(self._answered[one]) for one in self.customers}
        self.wait_until(
            lambda: all(len(self._answered[one]) >= n + each for one, n in before.items())
        )

    def wait_until(self, holds: Any, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def silence(self, since: float, until: float | None = None) -> float:
        """The longest time between two answers to one customer, from `since` on."""
        until = time.monotonic() if until is None else until
        longest = 0.0
        for times in self._answered.values():
            inside = [since, *(at for at in times if since < at < until), until]
            longest = max(longest, *(b - a for a, b in pairwise(inside)))
        return longest

    def stop(self) -> None:
        """No more orders; all that were placed are answered."""
        self._ended.set()
        self._threads[0].join()
        self._broker.flush()
        try:
            self.wait_until(lambda: len({m.value() for m in self.decisions}) >= self._placed)
        finally:
            self._read_all.set()
            self._threads[1].join()

    def end(self) -> None:
        """Whatever still runs ends soon; for a test that failed on its way."""
        self._ended.set()
        self._read_all.set()

    @property
    def repeats(self) -> int:
        """Decisions that were read more than once."""
        return len(self.decisions) - len({message.value() for message in self.decisions})

    def check(self, guarantee: str) -> None:
        """Every decision is what the pure rules say to the journal; repeats are as allowed."""
        by_id: dict[str, set[bytes | None]] = defaultdict(set)
        for message in self.decisions:
            by_id[headers_of(message)["ce_id"].decode()].add(message.value())
        assert all(len(values) == 1 for values in by_id.values()), "one id, two contents"
        if guarantee == "exactly_once":
            assert len(self.decisions) == len(by_id)
        everything = self._placed + len(self.customers)
        journal = self._mine(
            self._read_journal(lambda r: len({m.value() for m in self._mine(r)}) == everything)
        )
        said = oracle(self._broker, journal)
        expected = {id_: event for id_, event in said.items() if isinstance(event, OrderDecision)}
        decode = self._broker.codec.decode
        assert {id_: decode(next(iter(values))) for id_, values in by_id.items()} == expected
        assert len(expected) >= self._placed

    def _mine(self, messages: list[Any]) -> list[Any]:
        return [m for m in messages if self.run.encode() in (m.key() or b"")]

    def _place(self) -> None:
        begun = time.monotonic()
        while not self._ended.is_set():
            due = int((time.monotonic() - begun) * _PER_SECOND)
            while self._placed < due:
                n = self._placed
                who = self.customers[n % len(self.customers)]
                placed = order(who, f"{self.run}-o{n}", 100_00 + n, AT + n)
                self._broker.send_raw(ORDERS, self.encode(placed))
                self._placed += 1
            time.sleep(0.005)

    def _read(self) -> None:
        consumer = self._consumer()
        consumer.assign(self._starts)
        while not self._read_all.is_set():
            for message in consumer.consume(500, 0.02):
                key = (message.key() or b"").decode()
                if message.error() is None and key.startswith(self.run):
                    self.decisions.append(message)
                    self._answered[key].append(time.monotonic())
        consumer.close()

    def _ends_of_decisions(self) -> list[TopicPartition]:
        consumer = self._consumer()
        places = [TopicPartition(DECISIONS, n) for n in range(self._broker.partitions)]
        starts = [TopicPartition(p.topic, p.partition, end_of(consumer, p)) for p in places]
        consumer.close()
        return starts

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "test",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
