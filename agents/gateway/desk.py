"""Orders that are asked about over HTTP: each is written to the journal, and answered with the
decision that the pipeline makes.

A request has a name, from who asks and the key that they chose. Its order's event has an id made of
that name, so a request that is sent again, to whichever gateway, is the same event: the rules
decide an order once, and all who wait for it get that decision. Nothing is decided here, and
nothing is answered from figures that may be old.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents.gateway.book import Answered, request_event_id
from agents.gateway.problems import Problem, busy, undecided
from schemas.catalogue import JOURNAL, key_of, topic_of
from schemas.events import (
    AlertAcknowledged,
    AlertSnoozed,
    CustomerNoteAdded,
    Event,
    OrderDecision,
    OrderPlaced,
    OrderReleaseDeclined,
    OrderReleaseProposed,
)
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.partitioning import partition_of

logger = logging.getLogger(__name__)

_KEPT_SECONDS = 60.0
"""How long a request is remembered here that got no decision in time. Later one is found in the
book once it has been decided, or placed again, which changes nothing.
"""
_REMEMBERED_MAX = 20_000
_RETRY_SECONDS = 1
_POLL_SECONDS = 0.1
_ANY = -1
"""Partition: the client takes the one that is the key's."""
_BETWEEN_PEOPLE = (
    AlertAcknowledged,
    AlertSnoozed,
    CustomerNoteAdded,
    OrderReleaseDeclined,
    OrderReleaseProposed,
)
"""What changes no decision."""

_Wanted = TypeVar("_Wanted")


class Answer(NamedTuple):
    """A decision, and whether the request had been made before."""

    decision: OrderDecision
    again: bool


@dataclass
class _Flight:
    """A request under way."""

    content: str
    decision: asyncio.Future[OrderDecision]
    began: float


class Journalist:
    """Writes events to the journal, as intake does: validated by who calls, under the account that
    they concern. What changes no decision goes to the topic it comes by, from where intake takes it
    to the journal: consoles read it there.

    Args:
        producer: idempotent, waits for all replicas. It is polled by `poll`.
        codec: encodes events.
        partitions: of the journal.
    """

    def __init__(self, producer: Producer, codec: Codec, partitions: int) -> None:
        self._producer = producer
        self._encode = codec.encode
        self._partitions = partitions
        self._headers = headers_of("gateway")

    def write(
        self, event: Event, account: str, delivered: Callable[[KafkaError | None], None]
    ) -> None:
        """Hears of it in the thread that polls, once the brokers have it or gave it up."""

        def hear(error: KafkaError | None, _message: Message) -> None:
            delivered(error)

        if isinstance(event, _BETWEEN_PEOPLE):
            topic, key, partition = topic_of(type(event).__name__), key_of(event).encode(), _ANY
        else:
            topic, key = JOURNAL, account.encode()
            partition = partition_of(key, self._partitions)
        self._producer.produce(
            topic,
            self._encode(event),
            key,
            partition,
            on_delivery=hear,
            headers=[(name, value) for name, value in self._headers(event)],
        )

    def poll(self) -> None:
        """Hear of what was delivered."""
        self._producer.poll(_POLL_SECONDS)


class Desk:
    """Belongs to one event loop.

    Args:
        journalist: writes orders.
        find: a request's decision, if it has one already.
        find_order: the last decision on an order.
        at_once: requests that may wait for a decision; more are refused.
    """

    def __init__(
        self,
        journalist: Journalist,
        find: Callable[[str], Answered | None],
        find_order: Callable[[str, str], list[OrderDecision]],
        *,
        at_once: int,
    ) -> None:
        self._journalist = journalist
        self._find = find
        self._find_order = find_order
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._flights: dict[str, _Flight] = {}
        self._by_event: dict[str, asyncio.Future[OrderDecision]] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a decision."""
        return self._waiting

    def hear(self, decisions: list[OrderDecision]) -> None:
        """Of what was decided; called by any thread."""
        # Most decisions are not asked for here, and need not wake up the loop.
        wanted = [one for one in decisions if one.cause_event_id in self._by_event]
        if wanted:
            self._loop.call_soon_threadsafe(self._settle, wanted)

    def _settle(self, decisions: list[OrderDecision]) -> None:
        for decision in decisions:
            waiting = self._by_event.pop(decision.cause_event_id, None)
            if waiting is not None:
                _settle(waiting, decision)

    async def decide(self, name: str, content: str, order: OrderPlaced, seconds: float) -> Answer:
        """The decision on an order.

        Args:
            name: of the request.
            content: hash of its body.
            order: what is asked; its id is made here.
            seconds: how long to wait.

        Raises `Problem`: 409 for an order that is known with other content, or a request that is
        still under way when its time is up; 422 for the key of another body; 429 when too much is
        under way; 503 when there is no decision in time.
        """
        known = self._find(name)
        if known is not None:
            self._same(known.content, content)
            return Answer(known.decision, again=True)
        flight = self._flights.get(name)
        if flight is not None:
            self._same(flight.content, content)
            decision = await self._wait(flight, seconds)
            if decision is None:
                raise Problem(
                    409,
                    "in_flight",
                    "The same request is under way",
                    f"it has no answer yet, after another {seconds:g} s",
                    retry_after=_RETRY_SECONDS,
                )
            return Answer(decision, again=True)
        decided = self._find_order(order.order_id, order.customer_id)
        if decided:
            return Answer(_as_asked(decided[0], order), again=True)
        self._room()
        flight = self._place(name, content, order)
        known = self._find(name)
        if known is not None:  # heard of between the first look and the entry in the lists here
            _settle(flight.decision, known.decision)
        decision = await self._wait(flight, seconds)
        if decision is None:
            raise undecided(
                f"no decision on order {order.order_id} within {seconds:g} s; it may still follow"
                " on credit.order-decisions.v1, and a repeat of this request will have it",
                _RETRY_SECONDS,
            )
        return Answer(decision, again=False)

    async def write(self, event: Event, account: str) -> None:
        """Write what somebody does; returns when the brokers have it.

        Raises `Problem` 503 when they do not take it.
        """
        written: asyncio.Future[None] = self._loop.create_future()

        def delivered(error: KafkaError | None) -> None:
            if error is None:
                self._loop.call_soon_threadsafe(_settle, written, None)
            else:
                self._refused(written, error)

        try:
            self._journalist.write(event, account, delivered)
        except (KafkaException, BufferError) as error:
            raise _not_written(str(error)) from error
        await written

    def expect_room(self) -> None:
        """Raises `Problem` 429 when too much is under way. It costs next to nothing, so whoever is
        turned away by it takes little from those who are answered.
        """
        if self._waiting >= self._at_once:
            raise busy(f"{self._at_once} requests wait for a decision")

    def _room(self) -> None:
        self.expect_room()
        now = time.monotonic()
        for flight in list(self._flights.values()):  # in the order in which they came
            if now - flight.began < _KEPT_SECONDS and len(self._flights) < _REMEMBERED_MAX:
                return
            flight.decision.cancel()

    async def _wait(self, flight: _Flight, seconds: float) -> OrderDecision | None:
        """None when there is no decision in time."""
        self._waiting += 1
        try:
            return await asyncio.wait_for(asyncio.shield(flight.decision), seconds)
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1

    def _place(self, name: str, content: str, order: OrderPlaced) -> _Flight:
        event = msgspec.structs.replace(order, event_id=request_event_id(name, content))
        decision: asyncio.Future[OrderDecision] = self._loop.create_future()
        flight = _Flight(content, decision, time.monotonic())
        self._flights[name] = flight
        self._by_event[event.event_id] = decision
        decision.add_done_callback(partial(self._landed, name, event.event_id))
        try:
            self._journalist.write(event, order.customer_id, partial(self._written, decision))
        except (KafkaException, BufferError) as error:
            decision.cancel()
            raise _not_written(str(error)) from error
        return flight

    def _written(self, decision: asyncio.Future[OrderDecision], error: KafkaError | None) -> None:
        if error is not None:
            self._refused(decision, error)

    def _refused(self, waiting: asyncio.Future[Any], error: KafkaError) -> None:
        """In the thread that polls the producer."""
        self._loop.call_soon_threadsafe(_fail, waiting, _not_written(error.str()))

    def _landed(self, name: str, event_id: str, decision: asyncio.Future[OrderDecision]) -> None:
        self._flights.pop(name, None)
        self._by_event.pop(event_id, None)
        if not decision.cancelled():
            decision.exception()  # whoever waited has it; nobody may have waited so long

    def _same(self, known: str, content: str) -> None:
        if known != content:
            raise Problem(
                422,
                "key_reused",
                "The key belongs to another request",
                "this Idempotency-Key came with another body before",
            )


def _settle(waiting: asyncio.Future[_Wanted], wanted: _Wanted) -> None:
    if not waiting.done():
        waiting.set_result(wanted)


def _fail(waiting: asyncio.Future[Any], problem: Problem) -> None:
    if not waiting.done():
        waiting.set_exception(problem)


def _not_written(why: str) -> Problem:
    logger.warning("the brokers do not take what is asked for: %s", why)
    return Problem(
        503, "not_written", "The brokers do not take it", "nothing was done; try again",
        retry_after=_RETRY_SECONDS,
    )  # fmt: skip


def _as_asked(decision: OrderDecision, order: OrderPlaced) -> OrderDecision:
    """What was decided on the order, if it is the order that is asked about."""
    if (decision.amount, decision.currency) != (order.amount, order.currency):
        raise Problem(
            409,
            "order_known",
            "The order is known with other content",
            f"order {order.order_id} was placed before, by another request or on the topic",
        )
    return decision
