"""An event costs the same with few and with very many open documents: counted in what it reads and
writes, so that no clock is in it (`headroom bench account` measures the time).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agents.core.ledger import MemoryLedger
from agents.credit.rules import reduce
from agents.policy_file import load_policy
from agents.simulate import business_day
from benchmarks import account_size
from schemas.events import Event, OrderDecision

POLICY = load_policy(None)


class _CountingLedger(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.touched = 0

    def get(self, key: str) -> Any:
        self.touched += 1
        return super().get(key)

    def put(self, key: str, value: Any) -> None:
        self.touched += 1
        super().put(key, value)

    def delete(self, key: str) -> None:
        self.touched += 1
        super().delete(key)

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        for entry in super().scan(start, end):
            self.touched += 1
            yield entry


def _touched(open_documents: int) -> list[int]:
    """Entries that each event of an order, its invoice and its payment reads or writes."""
    ledger = _CountingLedger()
    account_size.open_account(ledger, open_documents)
    found = []
    for event in account_size.business(0):
        ledger.touched = 0
        reduce(ledger, event, POLICY)
        found.append(ledger.touched)
    return found


def test_an_event_touches_as_many_entries_beside_a_thousand_times_more_documents() -> None:
    # The first invoice with a due day notes that the account is to be looked at then.
    assert _touched(10)[3:] == _touched(10_000)[3:]


@pytest.mark.parametrize("orders", [10, 1_000])
def test_a_payment_that_fits_no_held_order_does_not_look_at_them(orders: int) -> None:
    ledger = _CountingLedger()
    account_size.hold_orders(ledger, orders)
    ledger.touched = 0
    effects = reduce(ledger, account_size.payment("P-1", 4, []), POLICY)
    assert ledger.touched < 12
    assert not any(isinstance(effect, OrderDecision) for effect in effects)


def test_a_payment_that_fits_the_oldest_held_order_looks_at_no_more_of_them_than_it_must() -> None:
    touched = []
    for orders in (100, 1_000):
        ledger = _CountingLedger()
        account_size.hold_orders(ledger, orders)
        ledger.touched = 0
        effects = reduce(ledger, account_size.payment("P-1", 500, []), POLICY)
        decided = [effect for effect in effects if isinstance(effect, OrderDecision)]
        assert [(one.order_id, one.decision) for one in decided] == [("000000", "released")]
        touched.append(ledger.touched)
    assert touched[0] == touched[1] < 60


def test_a_new_day_touches_only_the_accounts_for_which_it_changes_something() -> None:
    ledger = _CountingLedger()
    account_size.open_account(ledger, 1_000)
    first: Event = business_day(account_size.DAY + 1)
    reduce(ledger, first, POLICY)  # looks ahead, the day after something happened
    ledger.touched = 0
    reduce(ledger, business_day(account_size.DAY + 200), POLICY)
    all_fell_due = ledger.touched
    ledger.touched = 0
    reduce(ledger, business_day(account_size.DAY + 201), POLICY)
    assert ledger.touched < 10 < all_fell_due
