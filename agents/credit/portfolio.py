"""What all accounts of a partition add up to, kept as the accounts change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import msgspec

from agents.core.ledger import Ledger
from agents.credit import state
from agents.credit.effects import Standing
from schemas.events import Instant, Minor
from schemas.money import exponent
from streams.fast_lane.store import PartitionStore
from streams.metrics import Metrics

NOTE = "portfolio"
"""Name of the note that holds the totals."""


def first_held(ledger: Ledger) -> Instant | None:
    """When the order was placed that was placed first of those on hold in a partition."""
    for key, _ in ledger.scan(*state.partition_held_range()):
        placed_at, _, _ = state.held_order(key)
        return placed_at
    return None


class Totals(msgspec.Struct):
    """Exposure in minor units by currency, and orders on hold."""

    exposure: dict[str, Minor] = {}
    held_orders: int = 0

    def move(self, before: Standing, after: Standing) -> None:
        """An account stood like this and stands like that now."""
        self.held_orders += after.held_orders - before.held_orders
        exposure = self.exposure
        if before.exposure:
            exposure[before.currency] = exposure.get(before.currency, 0) - before.exposure
        if after.exposure:
            exposure[after.currency] = exposure.get(after.currency, 0) + after.exposure


class Portfolio:
    """The totals of each partition, stored with its state, so that a restart need not add up all
    accounts.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._totals: WeakKeyDictionary[PartitionStore, Totals] = WeakKeyDictionary()

    def totals(self, store: PartitionStore) -> Totals:
        """Of one partition, to be changed with its accounts."""
        totals = self._totals.get(store)
        if totals is None:
            raw = store.note(NOTE)
            totals = Totals() if raw is None else msgspec.msgpack.decode(raw, type=Totals)
            self._totals[store] = totals
        return totals

    def save(self, store: PartitionStore) -> None:
        """Have the totals committed with the accounts that they are of."""
        store.set_note(NOTE, msgspec.msgpack.encode(self.totals(store)))

    def show(self, stores: Iterable[PartitionStore]) -> None:
        """Set the gauges to the sum over these partitions."""
        exposure: dict[str, Minor] = defaultdict(int)
        held_orders = 0
        for store in list(stores):
            totals = self.totals(store)
            held_orders += totals.held_orders
            for currency, minor in totals.exposure.items():
                exposure[currency] += minor
        self._metrics.orders_held.set(held_orders)
        self._metrics.exposure_total.clear()
        for currency, minor in exposure.items():
            self._metrics.exposure_total.labels(currency).set(minor / 10 ** exponent(currency))
