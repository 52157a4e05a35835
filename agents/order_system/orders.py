"""What an order system knows of its orders, and what it does when it hears of one. Pure: times are
given, in seconds of whatever clock the caller has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from schemas.events import Minor, OrderDecision

_CLEARED = ("approved", "released")


@dataclass(frozen=True)
class Placement:
    """An order that a customer makes.

    Attributes:
        at: seconds after the beginning.
        order_id, customer_id: by our ids.
        amount: minor units.
    """

    at: float
    order_id: str
    customer_id: str
    amount: Minor


class Deed(Enum):
    """What follows from something that was heard."""

    SHIP = auto()
    WAIT = auto()
    NOTHING = auto()


class Status(Enum):
    """How far an order is."""

    ASKED = auto()
    HELD = auto()
    SHIPPED = auto()
    GIVEN_UP = auto()


@dataclass
class Order:
    """One order of ours."""

    placement: Placement
    placed_at: float
    status: Status = Status.ASKED
    heard: int = 0
    """Number of the newest decision on it that was heard."""
    answered_at: float | None = None
    """When the first decision came."""
    was_held: bool = False
    released_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits for an answer or a release."""
        return self.status in {Status.ASKED, Status.HELD}


@dataclass
class Orders:
    """All that were placed."""

    by_id: dict[str, Order] = field(default_factory=dict)

    def place(self, placement: Placement, now: float) -> None:
        """It was asked about."""
        self.by_id[placement.order_id] = Order(placement, now)

    def hear(self, decision: OrderDecision, now: float) -> Deed:
        """A decision came, perhaps once more, perhaps on somebody else's order."""
        order = self.by_id.get(decision.order_id)
        if order is None or decision.customer_id != order.placement.customer_id:
            return Deed.NOTHING
        if decision.decision_number <= order.heard:
            return Deed.NOTHING
        order.heard = decision.decision_number
        if order.answered_at is None:
            order.answered_at = now
        if not order.is_open:
            return Deed.NOTHING  # it was given up meanwhile
        if decision.decision in _CLEARED:
            if order.was_held:
                order.released_at = now
            order.status = Status.SHIPPED
            return Deed.SHIP
        if decision.decision == "held":
            order.status, order.was_held = Status.HELD, True
            return Deed.WAIT
        order.status = Status.GIVEN_UP  # somebody else cancelled it
        return Deed.NOTHING

    def give_up(self, order_id: str) -> bool:
        """The customer waits no longer; whether there was something to give up."""
        order = self.by_id[order_id]
        if not order.is_open:
            return False
        order.status = Status.GIVEN_UP
        return True

    @property
    def any_open(self) -> bool:
        """Whether any waits for an answer or a release."""
        return any(order.is_open for order in self.by_id.values())


@dataclass(frozen=True)
class Summary:
    """What became of all orders. Latency is from asking to the first decision; None: there was
    none.

    `held` are those that were held at first, `released` and `given_up` what became of them;
    `unanswered` are those on which no decision came.
    """

    orders: int
    approved: int
    held: int
    released: int
    given_up: int
    unanswered: int
    latency_p50_seconds: float | None
    latency_p99_seconds: float | None
    on_hold_p50_seconds: float | None


def summary_of(orders: Orders) -> Summary:
    """The figures of a run."""
    every = orders.by_id.values()
    held = [order for order in every if order.was_held]
    latencies = [one.answered_at - one.placed_at for one in every if one.answered_at is not None]
    waits = [
        order.released_at - order.answered_at
        for order in held
        if order.released_at is not None and order.answered_at is not None
    ]
    return Summary(
        orders=len(every),
        approved=sum(order.status is Status.SHIPPED and not order.was_held for order in every),
        held=len(held),
        released=len(waits),
        given_up=sum(order.status is Status.GIVEN_UP for order in held),
        unanswered=sum(order.answered_at is None for order in every),
        latency_p50_seconds=_quantile(latencies, 0.5),
        latency_p99_seconds=_quantile(latencies, 0.99),
        on_hold_p50_seconds=_quantile(waits, 0.5),
    )


def _quantile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)]
