"""What an event costs on an account with few and with very many open documents, and what it costs
to look at many held orders again.

Rules and store only, no Kafka: the store is the one of the pipeline, its content written to disk
before anything is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.core.ledger import Ledger, MemoryLedger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.rules import reduce
from agents.policy_file import load_policy
from agents.simulate import business_day
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    Allocation,
    CustomerUpserted,
    Day,
    Event,
    InvoiceIssued,
    Minor,
    OrderDecision,
    OrderPlaced,
    PaymentReceived,
)
from streams.fast_lane.store import Memory, PartitionStore

SIZES = (10, 1_000, 100_000)
HELD_ORDERS = 1_000
DAY: Day = 20_500
_CUSTOMER = "C-1"
_PLENTY: Minor = 10**15
_ROUNDS = 7
_ORDERS_PER_ROUND = 300


@dataclass(frozen=True)
class Cost:
    """Microseconds an event: the fastest of several rounds, in which nothing disturbed."""

    ledger: str
    open_documents: int
    microseconds: float


@dataclass(frozen=True)
class Recheck:
    """Milliseconds of one payment on an account with held orders, and how many it released."""

    ledger: str
    held_orders: int
    released: int
    milliseconds: float


def costs() -> list[Cost]:
    """An order, its invoice and its payment, again and again, beside so many open documents.

    All sizes take turns, so that a busy machine disturbs none more than another.
    """
    with TemporaryDirectory() as directory:
        tables = {
            (name, size): open_account(make(Path(directory) / f"{size}"), size)
            for name, make in _LEDGERS.items()
            for size in SIZES
        }
        best = dict.fromkeys(tables, float("inf"))
        for round_ in range(_ROUNDS):
            for key, ledger in tables.items():
                best[key] = min(best[key], _time_of(ledger, round_))
        for ledger in tables.values():
            if isinstance(ledger, PartitionStore):
                ledger.close()
    return [Cost(name, size, microseconds) for (name, size), microseconds in best.items()]


def rechecks() -> list[Recheck]:
    """A payment that makes room for the smallest, youngest of the held orders only, and one that
    makes room for all.
    """
    found = []
    with TemporaryDirectory() as directory:
        for name, make in _LEDGERS.items():
            for paid, what in ((5, "one"), (_PLENTY, "all")):
                best, released = float("inf"), 0
                for attempt in range(3):
                    ledger = make(Path(directory) / f"{what}-{attempt}")
                    hold_orders(ledger, HELD_ORDERS)
                    paying = payment("P-1", paid, [])
                    started = time.perf_counter()
                    effects = reduce(ledger, paying, _POLICY)
                    best = min(best, time.perf_counter() - started)
                    released = sum(isinstance(effect, OrderDecision) for effect in effects)
                    if isinstance(ledger, PartitionStore):
                        ledger.close()
                found.append(Recheck(name, HELD_ORDERS, released, best * 1000))
    return found


# ── the accounts ────────────────────────────────────────────────────────────────────────────────

_POLICY: PolicyBook = load_policy(None)


def _in_memory(_directory: Path) -> Ledger:
    return MemoryLedger()


def _in_store(directory: Path) -> Ledger:
    memory = Memory(block_cache_bytes=32 << 20, write_buffer_bytes=64 << 20)
    return PartitionStore(directory, state, memory)


_LEDGERS: dict[str, Callable[[Path], Ledger]] = {
    "memory": _in_memory,
    "store": _in_store,
}


def open_account(ledger: Ledger, open_documents: int) -> Ledger:
    """A customer with so many documents open, half of them orders, half invoices."""
    for event in (business_day(DAY), _customer(_PLENTY)):
        reduce(ledger, event, _POLICY)
    for number in range(open_documents // 2):
        reduce(ledger, _order(f"open-{number}", 100), _POLICY)
        reduce(ledger, _invoice(f"open-{number}", 100, number % 60, None), _POLICY)
    _save(ledger)
    return ledger


def hold_orders(ledger: Ledger, count: int) -> None:
    """A customer without headroom whose many orders wait, the last one the smallest."""
    for event in (business_day(DAY), _customer(100), _invoice("I-1", 100, 30, None)):
        reduce(ledger, event, _POLICY)
    for number in range(count):
        amount = 5 if number == count - 1 else 500
        reduce(ledger, _order(f"{number:06}", amount), _POLICY)
    _save(ledger)


def _save(ledger: Ledger) -> None:
    if isinstance(ledger, PartitionStore):
        ledger.advance(1)
        snapshot = ledger.snapshot()
        ledger.write(snapshot.changes, changelog_offset=1, now=time.time())
        ledger.settle()
        ledger.trim()


def _time_of(ledger: Ledger, round_: int) -> float:
    events = list(business(round_))
    started = time.perf_counter()
    for event in events:
        reduce(ledger, event, _POLICY)
    return (time.perf_counter() - started) / len(events) * 1e6


def business(round_: int) -> Iterator[Event]:
    for number in range(_ORDERS_PER_ROUND):
        name = f"{round_}-{number}"
        yield _order(name, 1_000)
        yield _invoice(name, 1_000, 30, name)
        yield payment(name, 1_000, [Allocation(invoice_id=name, amount=1_000)])


def _customer(limit: Minor) -> Event:
    return CustomerUpserted(
        event_id="customer",
        occurred_at=DAY * MICROSECONDS_PER_DAY,
        customer_id=_CUSTOMER,
        currency="EUR",
        credit_limit=limit,
    )


def _order(order_id: str, amount: Minor) -> Event:
    return OrderPlaced(
        event_id=f"order-{order_id}",
        occurred_at=DAY * MICROSECONDS_PER_DAY,
        customer_id=_CUSTOMER,
        order_id=order_id,
        amount=amount,
        currency="EUR",
    )


def _invoice(invoice_id: str, amount: Minor, due_in: int, order_id: str | None) -> Event:
    return InvoiceIssued(
        event_id=f"invoice-{invoice_id}",
        occurred_at=DAY * MICROSECONDS_PER_DAY,
        customer_id=_CUSTOMER,
        invoice_id=invoice_id,
        amount=amount,
        currency="EUR",
        issued_on=DAY,
        due_on=DAY + due_in,
        order_id=order_id,
    )


def payment(payment_id: str, amount: Minor, allocations: list[Allocation]) -> Event:
    return PaymentReceived(
        event_id=f"payment-{payment_id}",
        occurred_at=DAY * MICROSECONDS_PER_DAY,
        customer_id=_CUSTOMER,
        payment_id=payment_id,
        amount=amount,
        currency="EUR",
        value_on=DAY,
        allocations=allocations,
    )
