"""What all accounts of a partition add up to, kept as the accounts change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import msgspec

from agents.credit.state import Account, Book, account_key
from schemas.events import Minor
from schemas.money import exponent
from streams.fast_lane.store import PartitionStore
from streams.metrics import Metrics

_NOTE = "portfolio"


class Totals(msgspec.Struct):
    """Exposure in minor units by currency, and orders on hold."""

    exposure: dict[str, Minor] = {}
    held_orders: int = 0


class Portfolio:
    """The totals of each partition, stored with its state, so that a restart need not add up all
    accounts.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._totals: WeakKeyDictionary[PartitionStore, Totals] = WeakKeyDictionary()

    def update(self, store: PartitionStore, accounts: Iterable[str]) -> None:
        """Take in what changed since the last commit in these accounts."""
        totals = self._of(store)
        changed = False
        for account_id in accounts:
            key = account_key(account_id)
            for account, sign in ((store.committed(key), -1), (store.get(key), 1)):
                if account is not None:
                    _add(totals, account, sign)
                    changed = True
        if changed:
            store.set_note(_NOTE, msgspec.msgpack.encode(totals))

    def show(self, stores: Iterable[PartitionStore]) -> None:
        """Set the gauges to the sum over these partitions."""
        exposure: dict[str, Minor] = defaultdict(int)
        held_orders = 0
        for store in list(stores):
            totals = self._of(store)
            held_orders += totals.held_orders
            for currency, minor in totals.exposure.items():
                exposure[currency] += minor
        self._metrics.orders_held.set(held_orders)
        self._metrics.exposure_total.clear()
        for currency, minor in exposure.items():
            self._metrics.exposure_total.labels(currency).set(minor / 10 ** exponent(currency))

    def _of(self, store: PartitionStore) -> Totals:
        totals = self._totals.get(store)
        if totals is None:
            raw = store.note(_NOTE)
            totals = Totals() if raw is None else msgspec.msgpack.decode(raw, type=Totals)
            self._totals[store] = totals
        return totals


def _add(totals: Totals, account: Account, sign: int) -> None:
    totals.held_orders += sign * account.held_orders
    exposure = account.books.get(account.currency, Book()).exposure()
    if account.currency:
        totals.exposure[account.currency] = (
            totals.exposure.get(account.currency, 0) + sign * exposure
        )
