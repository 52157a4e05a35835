"""A gateway in memory: the real routes, desk and books, with the rules in the place of brokers and
workers. What is written is decided at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from confluent_kafka import KafkaError
from starlette.testclient import TestClient

from agents.console.app import Console
from agents.core.ledger import Ledger
from agents.gateway.alert_book import ALERTS, AlertBook
from agents.gateway.app import Gateway, application
from agents.gateway.book import DECISIONS, DecisionBook
from agents.gateway.callers import ROLES, Callers, entry_of, new_key, read_keys
from agents.gateway.customer_names import CUSTOMERS, CustomerNames
from agents.gateway.desk import Desk, Journalist
from agents.gateway.feed import Feed, parse_cursor
from agents.gateway.topic_book import TopicBook
from agents.live_copy import CopyNotReadyError, LiveCopy, Place
from agents.policy_file import load_policy
from agents.simulate import Simulation, business_day
from schemas.events import (
    CreditLimitAlert,
    CustomerUpserted,
    Event,
    OrderDecision,
    OrderPlaced,
)
from streams.codec import Codec
from streams.record import Record
from streams.registry import LockedSchemaIds

CODEC = Codec(LockedSchemaIds())
DAY = 20_500
NOON = (DAY * 86_400 + 43_200) * 1_000_000
HEADERS = {"Host": "127.0.0.1"}


class MemoryGateway:
    """What stands behind the routes; it is there before, and after, they are served.

    Args:
        directory: of the books.
    """

    def __init__(self, directory: Path) -> None:
        self.policies = load_policy(None)
        self._simulation = Simulation(self.policies)
        self.keys = {role: new_key() for role in ROLES}
        entries = (entry_of(f"a-{role}", (role,), key) for role, key in self.keys.items())
        self.callers = Callers(read_keys("".join(entries), "keys"))
        self._desk: Desk | None = None
        self.book = DecisionBook({}, CODEC, directory / "decisions", self._tell)
        self.alert_book = AlertBook({}, CODEC, directory / "alerts")
        self.names = CustomerNames({}, CODEC, directory / "names")
        self.written: list[Event] = []
        self.fault: KafkaError | None = None
        self.is_behind = False
        """The copy of the state is not ready."""
        self.decides = True
        """Else what is written is decided by nobody."""
        self._offset = 0
        self.be_ready()
        self.happen(business_day(DAY))
        self.app = application(self._opened)

    def be_ready(self, *, ready: bool = True) -> None:
        for one in (self.book, self.alert_book, self.names):
            one._ready.set() if ready else one._ready.clear()

    # ── what stands in the place of brokers and workers ─────────────────────────────────────────

    def write(
        self, event: Event, account: str, delivered: Callable[[KafkaError | None], None]
    ) -> None:
        assert account
        self.written.append(event)
        delivered(self.fault)
        if self.fault is None and self.decides:
            self.happen(event)

    def happen(self, *events: Event) -> None:
        """Events are in the journal, and what follows from them is published."""
        for event in events:
            out = list(self._simulation.feed(event))
            self._publish(self.names, CUSTOMERS, [event], CustomerUpserted)
            self._publish(self.book, DECISIONS, out, OrderDecision)
            self._publish(self.alert_book, ALERTS, out, CreditLimitAlert)

    def _tell(self, decisions: list[OrderDecision]) -> None:
        if self._desk is not None:
            self._desk.hear(decisions)

    def _publish(
        self, book: TopicBook, topic: str, events: Iterable[object], kind: type[Event]
    ) -> None:
        records = []
        for event in events:
            if isinstance(event, kind):
                self._offset += 1
                raw = CODEC.encode(event)
                records.append(Record(topic, 0, self._offset, 0, b"key", raw, []))
        book.take(records)

    # ── the copy of the state ───────────────────────────────────────────────────────────────────

    def place_of(self, customer_id: str) -> Place:
        return Place(self.ledgers()[0], customer_id)

    def ledgers(self) -> list[Ledger]:
        if self.is_behind:
            raise CopyNotReadyError("partition 0")
        return [self._simulation.ledger]

    def missing(self) -> list[int]:
        return [0] if self.is_behind else []

    # ── served ──────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Gateway]:
        desk = Desk(cast("Journalist", self), self.book.answer_to, self.book.latest_on, at_once=64)
        self._desk = desk
        feed = cast("Feed", ShortFeed())
        yield Gateway(
            callers=self.callers,
            book=self.book,
            alert_book=self.alert_book,
            names=self.names,
            desk=desk,
            copy=cast("LiveCopy", self),
            policies=self.policies,
            alerts=feed,
            decisions=feed,
            timeout_seconds=5.0,
            console=cast("Console", None),  # its pages have an office of their own
        )

    @contextlib.contextmanager
    def served(self) -> Iterator[TestClient]:
        with TestClient(self.app, headers=HEADERS, raise_server_exceptions=False) as client:
            yield client

    def bearer(self, role: str) -> dict[str, str]:
        """The header of somebody who has it."""
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def close(self) -> None:
        for one in (self.book, self.alert_book, self.names):
            one.close()


class ShortFeed:
    """A feed that says that it is there, and ends."""

    clients = 0

    async def stream(self, cursor: str | None, _wanted: Any) -> AsyncIterator[bytes]:
        if cursor is not None:
            parse_cursor(cursor)
        yield b"retry: 2000\n\n"
        yield b": still here\n\n"


def customer(customer_id: str, limit: int | None = 1_000_00, **more: Any) -> CustomerUpserted:
    """A master record; a new one each time."""
    return CustomerUpserted(
        event_id=f"m-{customer_id}-{time.monotonic_ns()}", occurred_at=NOON,
        customer_id=customer_id, currency="EUR", credit_limit=limit, **more,
    )  # fmt: skip


def order(customer_id: str, order_id: str, amount: int, at: int = NOON) -> OrderPlaced:
    return OrderPlaced(
        event_id=f"o-{customer_id}-{order_id}", occurred_at=at, customer_id=customer_id,
        order_id=order_id, amount=amount, currency="EUR",
    )  # fmt: skip
