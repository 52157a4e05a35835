"""An account on whose event the rules fail stands still, all others go on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from credit.effort import effort
from credit.journals import CUSTOMER, Journal
from credit.office import DIRECT, Office, decisions, entries, refusals
from credit.policy_worlds import policy
from credit.worlds import World
from hypothesis import given
from hypothesis import strategies as st

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.credit import parking, rules, state
from agents.credit.case import Case
from agents.credit.effects import Effect, Forward, Sent
from agents.credit.failures import FailedAgainError, Failures
from agents.credit.parking import AccountFailedError
from schemas import events as ev
from schemas.events import Event, Instant, OrderDecision

_OTHER = "C-2"


class Desk(Office):
    """An office that goes back to the beginning and comes again, as a worker goes back to what is
    committed.
    """

    def __init__(self, policies: PolicyBook) -> None:
        super().__init__(policies)
        self.failures = Failures()
        self._log: list[tuple[Event, Sent]] = []

    def apply(self, event: Event, sent: Sent = DIRECT) -> list[Effect]:
        self._log.append((event, sent))
        effects: list[Effect] = []
        for effect in self._come_to(len(self._log) - 1):
            if isinstance(effect, Forward):
                effects += self.apply(effect.event, effect.sent)
            else:
                effects.append(effect)
        return effects

    def _come_to(self, offset: int) -> list[Effect]:
        event, sent = self._log[offset]
        try:
            return self.failures.reduce((0, offset), self.ledger, event, self.policies, sent)
        except AccountFailedError:
            self.ledger = MemoryLedger()
            for earlier in range(offset):
                self._come_to(earlier)
            return self._come_to(offset)

    @property
    def parked(self) -> list[str]:
        return list(parking.parked_in(self.ledger))

    def waiting(self, customer_id: str = CUSTOMER) -> list[str]:
        return [one.event.event_id for one in parking.kept(self.ledger, customer_id)]


@contextmanager
def fault(kind: type[Event], on: Callable[[Any], bool]) -> Iterator[None]:
    """The rules change the account, and then fail."""
    handler = rules._HANDLERS[kind]

    def failing(case: Case, event: Any) -> None:
        handler(case, event)
        if on(event):
            raise ZeroDivisionError("a fault of this release")

    with patch.dict(rules._HANDLERS, {kind: failing}):
        yield


def order_fails(order_id: str) -> Any:
    return fault(ev.OrderPlaced, lambda event: event.order_id == order_id)


def retried(customer_id: str = CUSTOMER, number: int = 1, at: Instant = 0) -> Event:
    return ev.ParkedAccountRetried(
        event_id=f"retry-{number}",
        occurred_at=at,
        customer_id=customer_id,
        by="ann",
        reason="mended in 0.3.1",
    )


def discarded(event_id: str) -> Event:
    return ev.ParkedEventDiscarded(
        event_id=f"discard-{event_id}",
        occurred_at=0,
        customer_id=CUSTOMER,
        parked_event_id=event_id,
        by="ann",
        reason="sent by mistake",
    )


def ruled(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(one.order_id, one.decision) for one in decisions(effects)]


@pytest.fixture
def desk() -> Desk:
    return Desk(policy())


@pytest.fixture
def journal() -> Journal:
    one = Journal()
    one.customer(1_000)
    one.customer(1_000, _OTHER)
    one.order("O-1", 400)
    return one


def test_an_event_that_fails_parks_its_account_and_no_other(desk: Desk, journal: Journal) -> None:
    desk.run(journal)
    with order_fails("O-2"):
        behind = Journal()
        behind.order("O-2", 100)
        behind.order("O-3", 100)
        behind.order("O-4", 100, _OTHER)
        effects = desk.run(behind[1:])
    assert ruled(effects) == [("O-4", "approved")]
    assert desk.parked == [CUSTOMER]
    assert desk.waiting() == ["e-1", "e-2"]
    assert desk.figures()[CUSTOMER].exposure == 400
    (because,) = parking.parked_in(desk.ledger).values()
    assert because == "OrderPlaced 'e-1': ZeroDivisionError: a fault of this release"


def test_what_waited_is_applied_in_its_order_once(desk: Desk, journal: Journal) -> None:
    desk.run(journal)
    with order_fails("O-2"):
        journal.order("O-2", 700)
        journal.order("O-3", 500)
        journal.say(ev.OrderCancelled, order_id="O-1")
        desk.run(journal[-3:])
    desk.restart()
    effects = desk.apply(retried())
    assert ruled(effects) == [("O-2", "held"), ("O-3", "approved"), ("O-1", "cancelled")]
    assert desk.parked == []
    assert desk.waiting() == []
    before = [(key, state.encode(key, value)) for key, value in entries(desk.ledger)]
    assert desk.apply(retried(number=2)) == []
    assert desk.apply(discarded("e-1")) == []
    assert [(key, state.encode(key, value)) for key, value in entries(desk.ledger)] == before


def test_what_fails_again_goes_on_waiting(desk: Desk, journal: Journal) -> None:
    desk.run(journal)
    with order_fails("O-2"):
        journal.order("O-2", 100)
        journal.order("O-3", 100)
        desk.run(journal[-2:])
        waiting = desk.waiting()
        assert desk.apply(retried()) == []
        assert desk.parked == [CUSTOMER]
        assert desk.waiting() == waiting
        journal.order("O-4", 100)
        desk.apply(journal[-1])
    assert ruled(desk.apply(retried(number=2))) == [
        ("O-2", "approved"),
        ("O-3", "approved"),
        ("O-4", "approved"),
    ]


def test_one_that_is_discarded_is_refused_with_who_and_why(desk: Desk, journal: Journal) -> None:
    desk.run(journal)
    with order_fails("O-2"):
        journal.order("O-2", 100)
        journal.order("O-3", 100)
        desk.run(journal[-2:])
        (refusal,) = refusals(desk.apply(discarded(journal[-2].event_id)))
        assert (refusal.reason, refusal.field) == ("discarded", "event_id")
        assert refusal.event == journal[-2]
        assert refusal.detail == "OrderPlaced discarded by ann: sent by mistake"
        assert ruled(desk.apply(retried())) == [("O-3", "approved")]
    assert desk.parked == []


def test_what_waits_is_kept_as_it_came() -> None:
    ledger, history = MemoryLedger(), Journal()
    history.order("O-1", 1)
    history.order("O-2", 2)
    parking.park(ledger, CUSTOMER, "a fault")
    parking.park(ledger, CUSTOMER, "another")
    account = ledger.get(state.account_key(CUSTOMER))
    ways = [Sent("G-1", ("C-7", "C-8")), Sent()]
    for event, sent in zip(history[1:], ways, strict=True):
        parking.keep(ledger, CUSTOMER, account, event, sent)
    assert parking.parked_in(ledger) == {CUSTOMER: "a fault"}
    assert [(one.event, one.sent) for one in parking.kept(ledger, CUSTOMER)] == list(
        zip(history[1:], ways, strict=True)
    )
    keys = [one.key for one in parking.kept(ledger, CUSTOMER)]
    assert keys == [state.kept_key(CUSTOMER, number) for number in (1, 2)]
    assert ledger.get(state.account_key(CUSTOMER)).parked == 3


def test_a_day_passes_a_parked_account_over_and_is_made_up_for(
    desk: Desk, journal: Journal
) -> None:
    """A limit ends while the account stands still: nobody is told before it goes on."""
    journal.say(ev.CreditLimitChanged, credit_limit=2_000, valid_until=journal.today)
    journal.order("O-2", 1_500)
    assert ruled(desk.run(journal)) == [("O-1", "approved"), ("O-2", "approved")]
    with order_fails("O-3"):
        journal.order("O-3", 10)
        desk.apply(journal[-1])
        journal.wait(1)
        assert decisions(desk.apply(journal[-1])) == []
    desk.apply(retried())
    assert desk.figures()[CUSTOMER].credit_limit == 1_000
    assert desk.parked == []


def test_a_day_on_which_an_account_fails_goes_on_for_the_others(desk: Desk) -> None:
    journal = Journal()
    for customer_id in (CUSTOMER, _OTHER):
        journal.customer(1_000, customer_id)
        journal.say(
            ev.CreditLimitChanged, customer_id, credit_limit=2_000, valid_until=journal.today
        )
    desk.run(journal)
    look_again = Case.age

    def fails(case: Case) -> None:
        look_again(case)
        if case.account_id == CUSTOMER and case.today == journal.today:
            raise KeyError("a fault of this release")

    journal.wait(2)
    with patch.object(Case, "age", fails):
        desk.apply(journal[-1])
    assert desk.parked == [CUSTOMER]
    assert desk.waiting() == []
    assert desk.figures()[_OTHER].credit_limit == 1_000
    desk.apply(retried())
    assert desk.parked == []
    assert desk.figures()[CUSTOMER].credit_limit == 1_000


def test_a_member_that_stands_still_keeps_its_share_of_the_groups_limit(desk: Desk) -> None:
    journal = Journal()
    journal.say(ev.CreditGroupUpserted, group_id="G-1", currency="EUR", credit_limit=1_000)
    journal.customer(None, unlimited=True, group_id="G-1")
    journal.customer(None, _OTHER, unlimited=True, group_id="G-1")
    journal.order("O-1", 600)
    journal.order("O-2", 500)
    journal.order("O-3", 300, _OTHER)
    assert ruled(desk.run(journal)) == [("O-1", "approved"), ("O-2", "held"), ("O-3", "approved")]
    with order_fails("O-4"):
        journal.order("O-4", 10)
        journal.say(ev.OrderCancelled, order_id="O-1")
        journal.order("O-5", 300, _OTHER)
        assert ruled(desk.run(journal[-3:])) == [("O-5", "held")]
        assert desk.parked == [CUSTOMER]
        journal.say(ev.OrderCancelled, _OTHER, order_id="O-3")
        assert ("O-2", "released") not in ruled(desk.apply(journal[-1]))
    effects = ruled(desk.apply(retried()))
    assert ("O-2", "released") in effects
    assert ("O-4", "approved") in effects


def test_nobody_is_merged_into_an_account_that_stands_still(desk: Desk, journal: Journal) -> None:
    journal.order("O-2", 300, _OTHER)
    desk.run(journal)
    with order_fails("O-3"):
        journal.order("O-3", 10)
        journal.say(ev.CustomersMerged, merged_customer_id=_OTHER, by="ann", reason="one firm")
        journal.order("O-4", 20, _OTHER)
        desk.run(journal[-3:])
    assert desk.figures()[CUSTOMER].exposure == 400
    desk.apply(retried())
    assert desk.figures()[CUSTOMER].exposure == 400 + 300 + 10 + 20


def test_an_account_that_stands_still_does_not_move(desk: Desk, journal: Journal) -> None:
    journal.say(ev.CreditGroupUpserted, group_id="G-1", currency="EUR", credit_limit=1_000)
    desk.run(journal)
    with order_fails("O-2"):
        journal.order("O-2", 10)
        journal.customer(1_000, group_id="G-1")
        journal.order("O-3", 20)
        desk.run(journal[-3:])
        assert desk.figures()[CUSTOMER].group_id is None
    assert ruled(desk.apply(retried())) == [("O-2", "approved"), ("O-3", "approved")]
    assert desk.figures()[CUSTOMER].group_id == "G-1"
    assert desk.group_figures()["G-1"].exposure == 430


def test_a_member_that_stands_still_while_it_is_called_back_can_be_let_go_on(desk: Desk) -> None:
    """What is done about it must not wait for the account to come back, which waits for that."""
    journal = Journal()
    journal.say(ev.CreditGroupUpserted, group_id="G-1", currency="EUR", credit_limit=1_000)
    journal.customer(1_000, group_id="G-1")
    desk.run(journal)
    with order_fails("O-2"):
        journal.order("O-2", 10)
        journal.customer(1_000)  # of no group any more
        journal.order("O-3", 20)
        desk.run(journal[-3:])
        assert desk.parked == [CUSTOMER]
    assert ruled(desk.apply(retried())) == [("O-2", "approved"), ("O-3", "approved")]
    assert desk.parked == []
    assert desk.figures()[CUSTOMER].group_id is None


def test_an_account_that_fails_while_it_stands_still_is_no_fault_of_it(
    desk: Desk, journal: Journal
) -> None:
    desk.run(journal)
    journal.order("O-2", 10)

    def keep(_ledger: Any, account_id: str, _account: Any, event: Event, _sent: Any) -> None:
        raise AccountFailedError(account_id, event, ValueError("again"))

    with (
        order_fails("O-2"),
        patch.object(parking, "keep", keep),
        pytest.raises(FailedAgainError, match="OrderPlaced 'e-4': ValueError: again, though"),
    ):
        desk.apply(journal[-1])


_TOLD = (
    World.order, World.order, World.order_total, World.delivery, World.invoice, World.payment,
    World.limit,
)  # fmt: skip


@effort(60)
@given(data=st.data())
def test_nobody_else_notices_and_in_the_end_all_is_as_without_the_fault(
    data: st.DataObject,
) -> None:
    """As long as no day or rate comes in between, an account that goes on has missed nothing."""
    world = World(("EUR",))
    for _ in range(3):
        world.customer(data.draw)
    history = [event for event in world.told if not getattr(event, "group_id", None)]
    told = [data.draw(st.sampled_from(_TOLD))(world, data.draw) for _ in range(12)]
    history += [event for event in told if event is not None]
    orders = [event for event in history if isinstance(event, ev.OrderPlaced)]
    poison = data.draw(st.sampled_from(orders)) if orders else None
    plain = Desk(policy())
    expected = plain.run([world.told[0], *history])
    desk = Desk(policy())
    with fault(ev.OrderPlaced, lambda event: event is poison or event == poison):
        found = desk.run([world.told[0], *history])
    for customer_id in desk.parked:
        found += desk.apply(retried(customer_id, at=world.now))  # no day has begun: it says which
    assert desk.parked == []
    assert _by_customer(found) == _by_customer(expected)
    assert _without_stamps(desk) == _without_stamps(plain)


def _by_customer(effects: list[Effect]) -> dict[str, list[OrderDecision]]:
    said: dict[str, list[OrderDecision]] = {}
    for one in decisions(effects):
        said.setdefault(one.customer_id, []).append(one)
    return said


def _without_stamps(desk: Desk) -> dict[str, Any]:
    """The figures of every account, whatever caused them last."""
    return {
        customer_id: (shown.exposure, shown.credit_limit, shown.held_orders, shown.overdue)
        for customer_id, shown in desk.figures().items()
    }
