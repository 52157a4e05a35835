"""The run of a business day, piece by piece: whose turn it is, how it goes on, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest
from credit.journals import DAY, Journal

from agents.core.ledger import MemoryLedger
from agents.credit import day_run, state
from agents.credit.effects import AccountTouched, Continuation
from agents.credit.rules import reduce
from agents.dunning import records as dunning
from agents.policy_file import load_policy
from agents.simulate import business_day
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import BusinessDayContinued, Event, InvoiceIssued

POLICY = load_policy(None)
THREE = ("C-1", "C-2", "C-3")
LATE = DAY + 2


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> MemoryLedger:
    """Three customers, each with an invoice that is late from `LATE` on. One at a time has its
    turn.
    """
    monkeypatch.setattr(day_run, "ACCOUNTS_PER_PIECE", 1)
    history = Journal()
    for customer_id in THREE:
        history.customer(1_000_00, customer_id)
        history.say(
            InvoiceIssued, customer_id, invoice_id="I-1", amount=100_00, currency="EUR",
            issued_on=DAY, due_on=LATE - 1,
        )  # fmt: skip
    found = MemoryLedger()
    for event in history:
        apply(found, event)
    return found


def apply(ledger: MemoryLedger, event: Event) -> list[Any]:
    return list(reduce(ledger, event, POLICY))


def turned(effects: list[Any]) -> list[str]:
    return [one.account_id for one in effects if isinstance(one, AccountTouched)]


def overdue(ledger: MemoryLedger) -> list[str]:
    """Whose invoice is known to be late."""
    accounts = {one: ledger.get(state.account_key(one)) for one in THREE}
    return [one for one, account in accounts.items() if account.aged_to == LATE]


def going_on(effects: list[Any]) -> BusinessDayContinued:
    (continuation,) = [one for one in effects if isinstance(one, Continuation)]
    return day_run.continued(continuation)


def rest_of(ledger: MemoryLedger, effects: list[Any]) -> list[str]:
    """Goes on until the run is done; who had a turn."""
    found: list[str] = []
    while any(isinstance(one, Continuation) for one in effects):
        effects = apply(ledger, going_on(effects))
        found += turned(effects)
    return found


def test_one_piece_after_the_other_until_all_had_their_turn(ledger: MemoryLedger) -> None:
    effects = apply(ledger, business_day(LATE))
    assert turned(effects) == ["C-1"]
    assert overdue(ledger) == ["C-1"]
    piece = going_on(effects)
    assert piece == BusinessDayContinued(
        event_id="day-2024-10-06-1", occurred_at=LATE * MICROSECONDS_PER_DAY, date=LATE, number=1
    )
    effects = apply(ledger, piece)
    assert turned(effects) == ["C-2"]
    assert going_on(effects).event_id == "day-2024-10-06-2"
    assert rest_of(ledger, effects) == ["C-3"]
    assert overdue(ledger) == list(THREE)
    assert ledger.get(state.DAY_RUN).done
    assert apply(ledger, piece) == []


def test_a_day_that_is_told_twice_begins_once(ledger: MemoryLedger) -> None:
    effects = apply(ledger, business_day(LATE))
    assert apply(ledger, business_day(LATE)) == []
    assert apply(ledger, business_day(LATE - 1)) == []
    assert rest_of(ledger, effects) == ["C-2", "C-3"]


def test_the_run_is_done_with_its_last_turn(
    ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = len(list(ledger.scan(*state.agenda_until(LATE))))
    monkeypatch.setattr(day_run, "ACCOUNTS_PER_PIECE", waiting)
    effects = apply(ledger, business_day(LATE))
    assert turned(effects) == list(THREE)
    assert not any(isinstance(one, Continuation) for one in effects)
    assert ledger.get(state.DAY_RUN) == state.DayRun(
        day=LATE, since=DAY + 1, done=True, event_id="day-2024-10-06",
        occurred_at=LATE * MICROSECONDS_PER_DAY, dunned=False, pieces=0,
    )  # fmt: skip


def test_a_piece_of_another_day_does_nothing(ledger: MemoryLedger) -> None:
    effects = apply(ledger, business_day(LATE))
    for day in (LATE - 1, LATE + 1):
        stray = BusinessDayContinued(event_id="stray", occurred_at=0, date=day, number=1)
        assert apply(ledger, stray) == []
    assert turned(apply(ledger, going_on(effects))) == ["C-2"]


def test_without_a_day_a_piece_does_nothing() -> None:
    stray = BusinessDayContinued(event_id="stray", occurred_at=0, date=LATE, number=1)
    assert apply(MemoryLedger(), stray) == []


def test_who_gets_an_event_before_their_turn_has_it_first(ledger: MemoryLedger) -> None:
    effects = apply(ledger, business_day(LATE))
    history = Journal()
    history.today = LATE
    history.order("O-1", 1_00, "C-3")
    apply(ledger, history[-1])
    assert overdue(ledger) == ["C-1", "C-3"]
    assert rest_of(ledger, effects) == ["C-2"]


def test_the_turns_that_are_left_are_taken_before_the_next_day_begins(ledger: MemoryLedger) -> None:
    apply(ledger, business_day(LATE))
    effects = apply(ledger, business_day(LATE + 1))
    assert turned(effects) == ["C-2", "C-3"]
    assert overdue(ledger) == list(THREE)


def test_days_that_were_left_out_are_made_up_for(ledger: MemoryLedger) -> None:
    effects = apply(ledger, business_day(LATE + 5))
    assert turned(effects) == ["C-1"]
    history = Journal()
    history.today = LATE + 5
    history.order("O-1", 1_00, "C-2")
    apply(ledger, history[-1])
    account = ledger.get(state.account_key("C-2"))
    assert (account.aged_to, account.oldest_due) == (LATE + 5, LATE - 1)


def test_accounts_that_were_here_before_dunning_are_looked_at_by_it(ledger: MemoryLedger) -> None:
    ahead = ledger.get(state.account_key("C-2"))
    ahead.dun_on = LATE + 30
    ledger.put(state.account_key("C-2"), ahead)
    day_run._wake_for_dunning(ledger, LATE)
    days = [ledger.get(state.account_key(one)).dun_on for one in THREE]
    assert days == [LATE, LATE + 30, LATE]
    woken = [key for key, value in ledger.scan(*dunning.agenda_until(LATE)) if value is True]
    assert woken == [dunning.agenda_key(LATE, one) for one in ("C-1", "C-3")]
