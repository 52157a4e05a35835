"""What an order system does when it hears of an order, whatever comes twice or late."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import pytest
from msgspec import structs

from agents.order_system.doors import AskingError, HttpDoor, _server_sent
from agents.order_system.orders import Deed, Orders, Placement, Status, summary_of
from agents.order_system.plan import Plan
from schemas.events import OrderDecision

_PLACED = Placement(at=0.0, order_id="O-1", customer_id="C-1", amount=100_00)
_FIRST = OrderDecision(
    event_id="d-1", occurred_at=0, customer_id="C-1", order_id="O-1", decision="approved",
    reasons=[], amount=100_00, currency="EUR", exposure_before=0, exposure_after=100_00,
    credit_limit=None, headroom=None, utilisation=None, decision_number=1,
    cause_event_id="e-1", policy_version="default-1", account_currency="EUR",
)  # fmt: skip


def _decision(word: str, number: int) -> OrderDecision:
    return structs.replace(_FIRST, event_id=f"d-{number}", decision=word, decision_number=number)


@pytest.fixture
def orders() -> Orders:
    one = Orders()
    one.place(_PLACED, now=10.0)
    return one


def test_an_approved_order_is_shipped_once(orders: Orders) -> None:
    assert orders.hear(_decision("approved", 1), 10.5) is Deed.SHIP
    assert orders.hear(_decision("approved", 1), 11.0) is Deed.NOTHING
    assert not orders.any_open
    done = summary_of(orders)
    assert (done.approved, done.held, done.released, done.unanswered) == (1, 0, 0, 0)
    assert done.latency_p50_seconds == 0.5


def test_a_held_order_waits_and_is_shipped_when_it_is_released(orders: Orders) -> None:
    assert orders.hear(_decision("held", 1), 11.0) is Deed.WAIT
    assert orders.any_open
    assert orders.hear(_decision("held", 1), 11.5) is Deed.NOTHING
    assert orders.hear(_decision("held", 2), 12.0) is Deed.WAIT
    assert orders.hear(_decision("released", 3), 14.0) is Deed.SHIP
    assert orders.hear(_decision("held", 1), 15.0) is Deed.NOTHING  # all of it once more
    assert orders.by_id["O-1"].status is Status.SHIPPED
    done = summary_of(orders)
    assert (done.approved, done.held, done.released, done.given_up) == (0, 1, 1, 0)
    assert (done.latency_p50_seconds, done.on_hold_p50_seconds) == (1.0, 3.0)


def test_who_gave_up_ships_nothing(orders: Orders) -> None:
    orders.hear(_decision("held", 1), 11.0)
    assert orders.give_up("O-1")
    assert not orders.give_up("O-1")
    assert orders.hear(_decision("released", 2), 12.0) is Deed.NOTHING
    assert orders.hear(_decision("cancelled", 3), 13.0) is Deed.NOTHING
    assert summary_of(orders).given_up == 1


def test_an_answer_that_comes_too_late_is_an_answer(orders: Orders) -> None:
    assert summary_of(orders).unanswered == 1
    orders.give_up("O-1")
    assert orders.hear(_decision("approved", 1), 40.0) is Deed.NOTHING
    assert summary_of(orders).unanswered == 0


def test_another_customers_order_of_the_same_id_is_not_ours(orders: Orders) -> None:
    other = structs.replace(_FIRST, customer_id="C-2")
    assert orders.hear(other, 11.0) is Deed.NOTHING
    assert orders.any_open


def test_the_same_seed_gives_the_same_orders() -> None:
    plan = Plan("sim", seed=7, orders=200, customers=3, rate=50.0, amount=100_00)
    assert plan.placements() == plan.placements()
    assert plan.placements() != replace(plan, seed=8).placements()
    placements = plan.placements()
    assert len({one.order_id for one in placements}) == 200
    assert {one.customer_id for one in placements} == set(plan.customer_ids)
    assert [one.at for one in placements] == sorted(one.at for one in placements)
    assert all(20_00 <= one.amount <= 180_00 for one in placements)
    assert 2.0 < placements[-1].at < 8.0  # 4 s on average


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_feed_is_read_however_it_is_cut(size: int) -> None:
    raw = (
        b'retry: 2000\n\nid: 0:1\nevent: X\ndata: {"a": 1}\n\n'
        b': still here\n\nid: 0:2\ndata: {"a": 2}\n\n'
    )
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert list(_server_sent(pieces)) == [("0:1", {"a": 1}), ("0:2", {"a": 2})]


def test_where_nobody_answers_one_hears_so_at_once() -> None:
    with pytest.raises(AskingError, match="refused"):
        HttpDoor("http://127.0.0.1:1", None, SimpleQueue())
