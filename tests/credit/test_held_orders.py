"""Held orders are found where the first one stands: what was held and released is not passed.

A store on disk passes what was deleted wherever it looks for what is there, so that an event would
cost the more, the more orders of the account had ever been on hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from credit.journals import CUSTOMER, Journal
from credit.office import Office
from credit.policy_worlds import Setting, policy

from agents.core.ledger import MemoryLedger
from agents.credit import state
from schemas import events as ev
from schemas.events import Event, OrderPlaced

HELD = 40
OTHER = "C-2"


class Store(MemoryLedger):
    """Counts what was deleted and is passed where somebody looks for what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self._deleted: set[str] = set()

    def put(self, key: str, value: Any) -> None:
        self._deleted.discard(key)
        super().put(key, value)

    def delete(self, key: str) -> None:
        self._deleted.add(key)
        super().delete(key)

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        self.passed += sum(start <= key < end for key in self._deleted)
        return super().scan(start, end)


class Room:
    """An office on such a store, and its journal so far."""

    def __init__(self, *settings: Setting) -> None:
        self.journal = Journal()
        self._office = Office(policy(*settings))
        self.ledger = self._office.ledger = Store()
        self._read = 0

    def read(self) -> int:
        """Apply what was written since; what was passed for it."""
        self.ledger.passed = 0
        self._office.run(self.journal[self._read :])
        self._read = len(self.journal)
        return self.ledger.passed

    def pay(self, number: int, customer_id: str = CUSTOMER) -> int:
        """Make room for one order."""
        self.journal.pay(f"P-{number}", 100, customer_id=customer_id)
        return self.read()

    def placed(self, order_id: str) -> OrderPlaced:
        return next(
            one for one in self.journal if isinstance(one, OrderPlaced) and one.order_id == order_id
        )

    def account(self) -> state.Account:
        account: state.Account = self.ledger.get(state.account_key(CUSTOMER))
        return account

    def group(self) -> state.Group:
        group: state.Group = self.ledger.get(state.group_key("G"))
        return group


def of_one(*settings: Setting) -> Room:
    """A customer with one order approved and forty on hold."""
    room = Room(*settings)
    room.journal.customer(100)
    for number in range(HELD + 1):
        room.journal.order(f"O-{number:02}", 100)
    room.read()
    return room


def of_a_group(*settings: Setting) -> Room:
    """Two members who take turns; their group has room for one order."""
    room = Room(*settings)
    room.journal.say(ev.CreditGroupUpserted, group_id="G", currency="EUR", credit_limit=100)
    for customer_id in (CUSTOMER, OTHER):
        room.journal.customer(10_000, customer_id, group_id="G")
    for number in range(HELD + 1):
        room.journal.order(f"O-{number:02}", 100, CUSTOMER if number % 2 else OTHER)
    room.read()
    return room


def place(order: Event, customer_id: str | None = None) -> str:
    assert isinstance(order, OrderPlaced)
    return state.held_place(order.occurred_at, order.order_id, customer_id)


@pytest.mark.parametrize("policies", ["credit.strict_fifo", "credit.held_orders_consume", None])
def test_a_payment_does_not_pass_all_that_was_ever_held(policies: str | None) -> None:
    room = of_one(*([] if policies is None else [(policies, "true")]))
    passed = [room.pay(number) for number in range(30)]
    account = room.account()
    assert account.held_orders == HELD - 30
    # It ends with the one that it released: there is room for no other.
    assert account.held_from == place(room.placed("O-30"))
    assert max(passed) < 5


@pytest.mark.parametrize("policies", ["credit.strict_fifo", "credit.held_orders_consume"])
def test_an_order_does_not_either(policies: str) -> None:
    room = of_one((policies, "true"))
    for number in range(30):
        room.pay(number)
    room.journal.order("O-99", 100)
    assert room.read() < 5


def test_nor_does_a_payment_of_a_member() -> None:
    room = of_a_group()
    passed = [room.pay(number, CUSTOMER if number % 2 else OTHER) for number in range(30)]
    assert room.group().held_orders == HELD - 30
    assert room.group().held_from == place(room.placed("O-31"), CUSTOMER)
    assert max(passed) < 5


def test_an_order_of_a_member_does_not_either() -> None:
    room = of_a_group(("credit.held_orders_consume", "true"))
    for number in range(30):
        room.pay(number, CUSTOMER if number % 2 else OTHER)
    room.journal.order("O-99", 100)
    assert room.read() < 5


def test_the_first_that_is_held_is_the_one_placed_first_whenever_it_comes() -> None:
    room = Room()
    room.journal.customer(10)
    room.journal.order("O-2", 100)
    room.journal.order("O-3", 100)
    room.read()
    assert room.account().held_from == place(room.placed("O-2"))
    room.journal.order("O-1", 100, occurred_at=room.placed("O-2").occurred_at - 1)
    room.read()
    assert room.account().held_from == place(room.placed("O-1"))


def test_of_a_group_too() -> None:
    room = Room()
    room.journal.say(ev.CreditGroupUpserted, group_id="G", currency="EUR", credit_limit=10)
    room.journal.customer(10_000, group_id="G")
    room.journal.order("O-2", 100)
    room.journal.order("O-3", 100)
    room.read()
    assert room.group().held_from == place(room.placed("O-2"), CUSTOMER)
    room.journal.order("O-1", 100, occurred_at=room.placed("O-2").occurred_at - 1)
    room.read()
    assert room.group().held_from == place(room.placed("O-1"), CUSTOMER)


def test_when_none_is_held_the_next_is_the_first() -> None:
    room = of_a_group()
    for number in range(HELD):
        room.pay(number)
    assert (room.group().held_orders, room.account().held_orders) == (0, 0)
    room.journal.order("O-99", 200)
    room.read()
    assert room.group().held_from == place(room.placed("O-99"), CUSTOMER)
    assert room.account().held_from == place(room.placed("O-99"))
