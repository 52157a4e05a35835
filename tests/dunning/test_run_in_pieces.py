"""Whenever on its day an account has its turn in the dunning run, the result is the same."""

from __future__ import annotations

import copy
import random
from collections import defaultdict, deque
from typing import Any

import pytest
from dunning.dunned_year import DunnedYear, rules

from agents.core.ledger import MemoryLedger
from agents.core.refusal import Refusal
from agents.credit import day_run, state
from agents.credit.effects import AccountTouched, Continuation
from agents.credit.rules import reduce
from schemas.events import BusinessDayContinued, Event

PIECES = pytest.mark.parametrize("seed", range(4))


def by_account(effects: list[Any]) -> dict[str, list[Any]]:
    """What went out, by whose it is; other than that an account was touched."""
    found: dict[str, list[Any]] = defaultdict(list)
    for effect in effects:
        if isinstance(effect, Refusal | AccountTouched | Continuation):
            continue
        found[effect.customer_id].append(effect)
    return found


def entries(ledger: MemoryLedger) -> dict[str, Any]:
    return {
        key: copy.deepcopy(value)
        for key, value in ledger.scan("", "\U0010ffff")
        if key != state.DAY_RUN
    }


def at_once(inputs: list[Event]) -> tuple[MemoryLedger, list[Any]]:
    ledger, policies, effects = MemoryLedger(), rules(), list[Any]()
    waiting = deque(inputs)
    while waiting:
        for effect in reduce(ledger, waiting.popleft(), policies):
            effects.append(effect)
            if isinstance(effect, Continuation):
                waiting.appendleft(day_run.continued(effect))
    return ledger, effects


def in_pieces(
    inputs: list[Event], chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> tuple[MemoryLedger, list[Any]]:
    """Each piece comes behind as many other events as chance wants, or never."""
    ledger, policies, effects = MemoryLedger(), rules(), list[Any]()
    under_way: list[BusinessDayContinued] = []
    for event in inputs:
        coming: list[Event] = [event]
        while under_way and chance.random() < 0.3:
            coming.append(under_way.pop(0))
        for one in coming:
            monkeypatch.setattr(day_run, "ACCOUNTS_PER_PIECE", chance.randint(1, 3))
            for effect in reduce(ledger, one, policies):
                effects.append(effect)
                if isinstance(effect, Continuation):
                    under_way.append(day_run.continued(effect))
    return ledger, effects


@PIECES
def test_pieces_in_any_order_come_to_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = DunnedYear(7, 5).inputs
    expected, said_at_once = at_once(inputs)
    ledger, said = in_pieces(inputs, random.Random(seed), monkeypatch)
    last = ledger.get(state.BUSINESS_DAY)
    for left in range(100_000):
        more = reduce(ledger, _continued(last, left), rules())
        said += more
        if not any(isinstance(effect, Continuation) for effect in more):
            break
    assert by_account(said) == by_account(said_at_once)
    assert entries(ledger) == entries(expected)


def test_a_piece_of_a_day_that_is_over_does_nothing() -> None:
    ledger, _ = at_once(DunnedYear(7, 1).inputs[:2_000])
    before = entries(ledger)
    day = ledger.get(state.BUSINESS_DAY)
    assert reduce(ledger, _continued(day - 1, 1), rules()) == []
    assert entries(ledger) == before


def _continued(day: int, number: int) -> BusinessDayContinued:
    return BusinessDayContinued(event_id="piece", occurred_at=0, date=day, number=number)
