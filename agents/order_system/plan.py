"""Who orders what and when, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from agents.order_system.orders import Placement
from schemas.events import Minor

_SPREAD = (0.2, 1.8)
"""Amounts lie evenly between these shares of the usual one."""


@dataclass(frozen=True)
class Plan:
    """A run of an order system.

    Attributes:
        name: begins every id, so that a run's orders are nobody else's.
        seed: the same seed, the same customers, amounts and times.
        orders: how many.
        customers: how many there are to make them.
        rate: orders a second, on average.
        amount: minor units, on average.
    """

    name: str
    seed: int
    orders: int
    customers: int
    rate: float
    amount: Minor

    @property
    def customer_ids(self) -> list[str]:
        """Those who order."""
        return [f"{self.name}-C-{number}" for number in range(1, self.customers + 1)]

    def placements(self) -> list[Placement]:
        """Every order, in the order of time."""
        chance = random.Random(self.seed)  # noqa: S311  a game, no secret
        customers, at, placements = self.customer_ids, 0.0, []
        for number in range(1, self.orders + 1):
            at += chance.expovariate(self.rate)
            amount = max(round(chance.uniform(*_SPREAD) * self.amount), 1)
            placements.append(
                Placement(at, f"{self.name}-O-{number}", chance.choice(customers), amount)
            )
        return placements
