"""Business at a steady rate: orders, invoices for them, payments; and how long anybody waited."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

from confluent_kafka import Consumer, TopicPartition
from worker.conftest import Broker

from schemas.catalogue import topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    Allocation,
    CustomerUpserted,
    Event,
    InvoiceIssued,
    OrderPlaced,
    PaymentReceived,
)

AT = 1_772_000_000_000_000
TODAY = AT // MICROSECONDS_PER_DAY
LIMIT = 4_000_00
DECISIONS = topic_of("OrderDecision")
_AT_ONCE = 2_000.0
_INVOICED_AFTER, _PAID_AFTER = 3, 7
"""How many orders of the same customer later. Some eight are open then: around the limit, so that
some are held, and released when money comes; utilisation passes each threshold up and down.
"""


class Traffic:
    """Places an order, invoices an earlier one and pays a still earlier one, customer by customer.

    Args:
        broker: where it all goes.
        steps: a second; each is up to three events.
        customers: how many take turns.
    """

    def __init__(self, broker: Broker, *, steps: float = 40.0, customers: int = 16) -> None:
        self.sent: list[Event] = []
        """All that was given to the brokers, in this order; topics may turn it around."""
        self.answered: dict[str, list[float]] = defaultdict(list)
        """When somebody who waits for answers read one, by customer."""
        self.steps = steps
        """A second, from now on."""
        self._broker = broker
        self._customers = [f"C-{n}" for n in range(customers)]
        self._turn = 0
        self._orders: set[str] = set()
        self._decided: set[str] = set()
        self._ended = threading.Event()
        self._read_all = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._trade, self._listen)]

    @property
    def orders(self) -> int:
        return len(self._orders)

    def start(self) -> None:
        for customer in self._customers:
            self._send(
                CustomerUpserted(
                    event_id=f"cu-{customer}",
                    occurred_at=AT,
                    customer_id=customer,
                    currency="EUR",
                    credit_limit=LIMIT,
                )
            )
        self._broker.flush()
        for thread in self._threads:
            thread.start()

    def wait_for_answers(self, each: int = 2, seconds: float = 120.0) -> None:
        """Until every customer was answered so many times from now on."""
        before = {one: len(self.answered[one]) for one in self._customers}
        wait_until(
            lambda: all(len(self.answered[one]) >= n + each for one, n in before.items()),
            seconds,
            "every customer is answered",
        )

    def wait_until_quiet(self, seconds: float = 600.0) -> None:
        """Until every order so far is answered."""
        wait_until(lambda: self._decided >= self._orders, seconds, "every order is answered")

    def stop(self, seconds: float = 180.0) -> None:
        """No more business; every order is answered."""
        self._ended.set()
        self._threads[0].join()
        self._broker.flush()
        try:
            self.wait_until_quiet(seconds)
        finally:
            self.end()

    def end(self) -> None:
        """Whatever still runs ends; for a scenario that failed on its way."""
        self._ended.set()
        self._read_all.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def silence(self, since: float, until: float | None = None) -> float:
        """The longest time between two answers to one customer, from `since` on, in seconds."""
        until = time.monotonic() if until is None else until
        longest = 0.0
        for times in self.answered.values():
            inside = [since, *(at for at in times if since < at < until), until]
            longest = max(longest, *(b - a for a, b in pairwise(inside)))
        return longest

    def _trade(self) -> None:
        due, before = 0.0, time.monotonic()
        while not self._ended.is_set():
            now = time.monotonic()
            due, before = min(due + (now - before) * self.steps, _AT_ONCE), now
            while due >= 1.0:
                due -= 1.0
                self._step()
            time.sleep(0.005)

    def _step(self) -> None:
        customer = self._customers[self._turn % len(self._customers)]
        number = self._turn // len(self._customers)
        self._turn += 1
        amount = _amount(number)
        self._orders.add(f"O-{customer}-{number}")
        self._send(
            OrderPlaced(
                event_id=f"op-{customer}-{number}",
                occurred_at=AT + self._turn,
                customer_id=customer,
                order_id=f"O-{customer}-{number}",
                amount=amount,
                currency="EUR",
            )
        )
        invoiced = number - _INVOICED_AFTER
        if invoiced >= 0:
            self._send(
                InvoiceIssued(
                    event_id=f"ii-{customer}-{invoiced}",
                    occurred_at=AT + self._turn,
                    customer_id=customer,
                    invoice_id=f"I-{customer}-{invoiced}",
                    amount=_amount(invoiced),
                    currency="EUR",
                    issued_on=TODAY,
                    due_on=TODAY + 30,
                    order_id=f"O-{customer}-{invoiced}",
                    final_for_order=True,
                )
            )
        paid = number - _PAID_AFTER
        if paid >= 0:
            self._send(
                PaymentReceived(
                    event_id=f"pr-{customer}-{paid}",
                    occurred_at=AT + self._turn,
                    customer_id=customer,
                    payment_id=f"P-{customer}-{paid}",
                    amount=_amount(paid),
                    currency="EUR",
                    value_on=TODAY,
                    allocations=[
                        Allocation(invoice_id=f"I-{customer}-{paid}", amount=_amount(paid))
                    ],
                )
            )

    def _send(self, event: Event) -> None:
        self.sent.append(event)
        self._broker.send(event)

    def _listen(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._broker.bootstrap,
                "group.id": "test",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        places = range(self._broker.partitions)
        consumer.assign([TopicPartition(DECISIONS, place, 0) for place in places])
        while not self._read_all.is_set():
            for message in consumer.consume(500, 0.02):
                if message.error() is not None:
                    continue
                self.answered[(message.key() or b"").decode()].append(time.monotonic())
                decision = self._broker.codec.decode(message.value())
                self._decided.add(decision.order_id)  # type: ignore[attr-defined]  # is one
        consumer.close()


def _amount(number: int) -> int:
    """Of a customer's order of that number, in cents."""
    return 200_00 + (number * 137_07) % 600_00


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
