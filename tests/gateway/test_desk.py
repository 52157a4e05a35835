"""Requests and their decisions, without brokers: who gets which answer, whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

from agents.gateway import desk as desk_module
from agents.gateway.book import Answered, content_hash, request_event_id, request_name
from agents.gateway.desk import Answer, Desk
from agents.gateway.problems import Problem
from schemas.events import Event, OrderDecision, OrderPlaced

NAME = request_name("shop", "key-1")
CONTENT = content_hash(b"body")
ORDER = OrderPlaced(
    event_id="", occurred_at=0, customer_id="C-1", order_id="O-1", amount=5_00, currency="EUR"
)


def decided(event_id: str, **fields: Any) -> OrderDecision:
    usual: dict[str, Any] = {
        "customer_id": "C-1", "order_id": "O-1", "decision": "approved", "reasons": [],
        "amount": 5_00, "currency": "EUR", "exposure_before": 0, "exposure_after": 5_00,
        "credit_limit": None, "headroom": None, "utilisation": None, "decision_number": 1,
        "policy_version": "p", "account_currency": "EUR",
    }  # fmt: skip
    return OrderDecision(
        event_id=f"d-{event_id}", occurred_at=0, cause_event_id=event_id, **(usual | fields)
    )


class Office:
    """A desk with its surroundings: a journal that only remembers, decisions that are told."""

    def __init__(self, at_once: int = 4) -> None:
        self.written: list[tuple[Event, str]] = []
        self.fault: KafkaError | None = None
        self.refuses = False
        self.book: dict[str, Answered] = {}
        self.orders: dict[tuple[str, str], OrderDecision] = {}
        self.desk = Desk(self, self.book.get, self._latest, at_once=at_once)  # type: ignore[arg-type]

    def write(self, event: Event, account: str, delivered: Callable[..., None]) -> None:
        if self.refuses:
            raise BufferError("full")
        self.written.append((event, account))
        delivered(self.fault)

    def _latest(self, order_id: str, customer_id: str) -> list[OrderDecision]:
        found = self.orders.get((order_id, customer_id))
        return [] if found is None else [found]

    def ask(
        self, name: str = NAME, content: str = CONTENT, order: OrderPlaced = ORDER,
        seconds: float = 5.0,
    ) -> asyncio.Task[Answer]:  # fmt: skip
        return asyncio.create_task(self.desk.decide(name, content, order, seconds))


def story(tell: Callable[[Office], Awaitable[None]], **office: int) -> None:
    async def run() -> None:
        await tell(Office(**office))

    asyncio.run(run())


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def problem(task: asyncio.Task[Answer]) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        await task
    return caught.value.status, caught.value.kind


def test_an_order_is_written_once_and_all_who_ask_get_its_decision() -> None:
    async def tell(office: Office) -> None:
        tasks = [office.ask() for _ in range(50)]
        await turn()
        ((event, account),) = office.written
        assert event == msgspec.structs.replace(ORDER, event_id=request_event_id(NAME, CONTENT))
        assert account == "C-1"
        assert office.desk.waiting == 50
        office.desk.hear([decided("another"), decided(event.event_id)])
        answers = await asyncio.gather(*tasks)
        assert all(answer.decision == decided(event.event_id) for answer in answers)
        assert [answer.again for answer in answers] == [False] + [True] * 49
        assert office.desk.waiting == 0

    story(tell, at_once=1)


def test_who_asks_again_later_gets_the_same_answer_from_the_book() -> None:
    async def tell(office: Office) -> None:
        first = decided(request_event_id(NAME, CONTENT))
        office.book[NAME] = Answered(CONTENT, first)
        assert await office.ask() == Answer(first, again=True)
        assert office.written == []

    story(tell)


def test_what_is_heard_of_between_two_looks_is_not_missed() -> None:
    async def tell(office: Office) -> None:
        first = decided(request_event_id(NAME, CONTENT))

        def write(*_order: object) -> None:
            # Another gateway's order was decided a moment ago, and its decision read here.
            office.book[NAME] = Answered(CONTENT, first)

        office.write = write  # type: ignore[method-assign,assignment]
        assert (await office.ask()).decision == first

    story(tell)


def test_the_key_of_another_body_is_refused() -> None:
    async def tell(office: Office) -> None:
        office.ask()
        await turn()
        other = content_hash(b"other")
        assert await problem(office.ask(content=other)) == (422, "key_reused")
        office.book[NAME] = Answered(CONTENT, decided("x"))
        assert await problem(office.ask(content=other)) == (422, "key_reused")
        assert len(office.written) == 1

    story(tell)


def test_no_decision_in_time_is_no_decision_and_a_repeat_has_it() -> None:
    async def tell(office: Office) -> None:
        assert await problem(office.ask(seconds=0.01)) == (503, "no_decision")
        assert await problem(office.ask(seconds=0.01)) == (409, "in_flight")
        again = office.ask()
        await turn()
        office.desk.hear([decided(request_event_id(NAME, CONTENT), decision="held")])
        assert (await again).decision.decision == "held"
        assert len(office.written) == 1

    story(tell)


def test_an_order_that_came_another_way_is_not_placed_again() -> None:
    async def tell(office: Office) -> None:
        office.orders["O-1", "C-1"] = decided("topic", decision="held")
        assert await office.ask() == Answer(office.orders["O-1", "C-1"], again=True)
        dearer = msgspec.structs.replace(ORDER, amount=6_00)
        assert await problem(office.ask("other", order=dearer)) == (409, "order_known")
        assert office.written == []

    story(tell)


def test_too_many_are_told_to_come_back() -> None:
    async def tell(office: Office) -> None:
        waiting = [office.ask(f"n{n}") for n in range(2)]
        await turn()
        assert await problem(office.ask("n2")) == (429, "too_many_requests")
        with pytest.raises(Problem, match="2 requests wait"):
            office.desk.expect_room()
        office.desk.hear([decided(request_event_id("n0", CONTENT))])
        await waiting[0]
        office.desk.expect_room()
        third = office.ask("n2")
        await turn()
        assert len(office.written) == 3
        third.cancel()

    story(tell, at_once=2)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "_REMEMBERED_MAX", 3)

    async def tell(office: Office) -> None:
        for n in range(10):
            assert await problem(office.ask(f"n{n}", seconds=0.001)) == (503, "no_decision")
        assert len(office.desk._flights) <= 3
        assert len(office.desk._by_event) <= 3

    story(tell)


@pytest.mark.parametrize("how", ["at once", "later"])
def test_an_order_that_the_brokers_do_not_take_was_not_placed(how: str) -> None:
    async def tell(office: Office) -> None:
        office.refuses, office.fault = how == "at once", KafkaError(KafkaError._TIMED_OUT)
        assert await problem(office.ask()) == (503, "not_written")
        with pytest.raises(Problem, match="nothing was done"):
            await office.desk.write(ORDER, "C-1")
        office.refuses, office.fault = False, None
        again = office.ask()
        await turn()
        office.desk.hear([decided(request_event_id(NAME, CONTENT))])
        assert (await again).decision.decision == "approved"

    story(tell)


def test_names_tell_callers_and_keys_apart() -> None:
    names = {
        request_name(caller, key)
        for caller, key in (("a", "b"), ("ab", ""), ("", "ab"), ("a", "c"), ("c", "b"))
    }
    assert len(names) == 5
