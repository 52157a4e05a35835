"""Plays an order system: places orders, ships what is approved or released, waits for what is held,
and gives up what waits too long. What it ships it invoices, and the customers pay.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue

from agents.order_system.doors import Door, Facts, HttpDoor, News, TopicDoor
from agents.order_system.orders import Deed, Order, Orders, Placement, Summary, summary_of
from agents.order_system.plan import Plan
from schemas.catalogue import topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    Allocation,
    CustomerUpserted,
    ExposureChanged,
    Instant,
    InvoiceIssued,
    Minor,
    OrderCancelled,
    OrderDecision,
    OrderDelivered,
    OrderPlaced,
    PaymentReceived,
)
from schemas.money import format_amount
from streams.codec import Codec
from streams.errors import HeadroomError, InvalidMessage
from streams.follow import Follower
from streams.kafka_client import client_config
from streams.settings import Settings

_MICROSECONDS = 1_000_000
_TERM_DAYS = 30
_KNOWN_WITHIN_SECONDS = 30.0
_LISTEN_SECONDS = 0.1


class NobodyDecidesError(HeadroomError):
    """The customers did not become known: no worker runs, or none that is well."""


@dataclass(frozen=True)
class Business:
    """What the firm is like.

    Attributes:
        currency: of everything, ISO 4217.
        credit_limit: minor units, of each customer.
        patience: seconds after which a customer gives up an order that was not shipped.
        paid_after: seconds after which an invoice is paid.
    """

    currency: str
    credit_limit: Minor
    patience: float
    paid_after: float


def play(
    settings: Settings, codec: Codec, plan: Plan, business: Business,
    gateway: tuple[str, str | None] | None, say: Callable[[str], None],
) -> Summary:  # fmt: skip
    """Play the whole plan, until every order is shipped or given up, or Ctrl-C.

    Args:
        settings: name the brokers.
        codec: of the installation.
        plan: who orders what.
        business: what the firm is like.
        gateway: URL and API key of the gateway that is asked; None: over the topics.
        say: told what happens, line by line.

    Raises:
        NobodyDecidesError: nothing takes the customers in.
        AskingError, ConfigurationError: see `HttpDoor`, `Facts`.
    """
    news: SimpleQueue[News] = SimpleQueue()
    facts = Facts(settings, codec, news)
    door: Door = (
        TopicDoor(settings, codec, facts, news) if gateway is None else HttpDoor(*gateway, news)
    )
    orders = Orders()
    try:
        _make_known(settings, codec, plan, business, facts)
        _Office(plan, business, orders, door, facts, news, say).work()
    except KeyboardInterrupt:
        say("stopped; what is under way stays as it is")
    finally:
        door.close()
    facts.close()
    return summary_of(orders)


def _make_known(
    settings: Settings, codec: Codec, plan: Plan, business: Business, facts: Facts
) -> None:
    """Write the customers, and wait until their figures are published: an order that came before
    its customer would be held for that.
    """
    missing = set(plan.customer_ids)
    follower = Follower(client_config(settings), [topic_of("ExposureChanged")])
    try:
        for customer in plan.customer_ids:
            facts.tell(
                CustomerUpserted(
                    event_id=f"{customer}:known", occurred_at=_now(), customer_id=customer,
                    currency=business.currency, credit_limit=business.credit_limit,
                )
            )  # fmt: skip
        deadline = time.monotonic() + _KNOWN_WITHIN_SECONDS
        while missing:
            if time.monotonic() > deadline:
                raise NobodyDecidesError(
                    f"{len(missing)} of {plan.customers} customers are not known after"
                    f" {_KNOWN_WITHIN_SECONDS:g} s: does a worker run?"
                )
            for record in follower.read(_LISTEN_SECONDS):
                try:
                    event = codec.decode(record.value)
                except InvalidMessage:
                    continue  # somebody else's
                if isinstance(event, ExposureChanged):
                    missing.discard(event.customer_id)
    finally:
        follower.close()


class _Office:
    """One thread that does what is due, and listens in between."""

    def __init__(
        self, plan: Plan, business: Business, orders: Orders, door: Door, facts: Facts,
        news: SimpleQueue[News], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._business, self._orders, self._door, self._facts = business, orders, door, facts
        self._news, self._say = news, say
        self._began = time.monotonic()
        self._order = count()  # what is due at the same time is done in the order of its planning
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._to_place = plan.orders
        for placement in plan.placements():
            self._at(placement.at, partial(self._place, placement))

    def work(self) -> None:
        """Until every order is shipped or given up; invoices may still be unpaid then."""
        while self._to_place or self._orders.any_open:
            self._do_what_is_due()
            wait = self._due[0][0] - self._clock() if self._due else _LISTEN_SECONDS
            try:
                heard = self._news.get(timeout=max(wait, 0.001))
            except Empty:
                continue
            if isinstance(heard, HeadroomError):
                raise heard
            self._hear(heard)

    def _clock(self) -> float:
        return time.monotonic() - self._began

    def _at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), do))

    def _do_what_is_due(self) -> None:
        while self._due and self._due[0][0] <= self._clock():
            heapq.heappop(self._due)[2]()

    # ── what it does ────────────────────────────────────────────────────────────────────────────

    def _place(self, placement: Placement) -> None:
        self._to_place -= 1
        self._orders.place(placement, self._clock())
        self._door.ask(
            OrderPlaced(
                event_id=f"{placement.order_id}:placed", occurred_at=_now(),
                customer_id=placement.customer_id, order_id=placement.order_id,
                amount=placement.amount, currency=self._business.currency,
            )
        )  # fmt: skip
        self._at(self._clock() + self._business.patience, partial(self._give_up, placement))

    def _hear(self, decision: OrderDecision) -> None:
        now = self._clock()
        deed = self._orders.hear(decision, now)
        if deed is Deed.NOTHING:
            return
        order = self._orders.by_id[decision.order_id]
        since = now - order.placed_at
        if deed is Deed.WAIT:
            self._tell(order, f"held in {_short(since)}: {', '.join(decision.reasons)}")
            return
        how = "released after" if order.was_held else "approved in"
        self._tell(order, f"{how} {_short(since)}, shipped")
        self._ship(order.placement)

    def _ship(self, placement: Placement) -> None:
        today = _now() // MICROSECONDS_PER_DAY
        order_id, invoice_id = placement.order_id, f"{placement.order_id}-I"
        self._facts.tell(
            OrderDelivered(
                event_id=f"{order_id}:shipped", occurred_at=_now(),
                customer_id=placement.customer_id, order_id=order_id,
            )
        )  # fmt: skip
        self._facts.tell(
            InvoiceIssued(
                event_id=f"{order_id}:invoiced", occurred_at=_now(),
                customer_id=placement.customer_id, invoice_id=invoice_id,
                amount=placement.amount, currency=self._business.currency, issued_on=today,
                due_on=today + _TERM_DAYS, order_id=order_id, final_for_order=True,
            )
        )  # fmt: skip
        self._at(
            self._clock() + self._business.paid_after, partial(self._pay, placement, invoice_id)
        )

    def _pay(self, placement: Placement, invoice_id: str) -> None:
        self._facts.tell(
            PaymentReceived(
                event_id=f"{placement.order_id}:paid", occurred_at=_now(),
                customer_id=placement.customer_id, payment_id=f"{placement.order_id}-P",
                amount=placement.amount, currency=self._business.currency,
                value_on=_now() // MICROSECONDS_PER_DAY,
                allocations=[Allocation(invoice_id=invoice_id, amount=placement.amount)],
            )
        )  # fmt: skip

    def _give_up(self, placement: Placement) -> None:
        if not self._orders.give_up(placement.order_id):
            return
        order = self._orders.by_id[placement.order_id]
        why = "held all the time" if order.was_held else "no decision"
        self._tell(order, f"given up after {_short(self._clock() - order.placed_at)}: {why}")
        self._facts.tell(
            OrderCancelled(
                event_id=f"{placement.order_id}:given-up", occurred_at=_now(),
                customer_id=placement.customer_id, order_id=placement.order_id,
            )
        )  # fmt: skip

    def _tell(self, order: Order, what: str) -> None:
        placement, currency = order.placement, self._business.currency
        amount = f"{format_amount(placement.amount, currency)} {currency}"
        self._say(
            f"{self._clock():8.3f} s  {placement.order_id}  {amount:>14} of"
            f" {placement.customer_id}  {what}"
        )


def _now() -> Instant:
    return int(time.time() * _MICROSECONDS)


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
