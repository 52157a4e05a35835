"""Credit offices for tests: the rules on ledgers in memory, with what is forwarded applied at once,
or late and in any order that a journal allows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.effects import Effect, Forward, Sent
from agents.credit.rules import figures, group_figures, reduce
from schemas.events import (
    CreditLimitAlert,
    Event,
    ExposureChanged,
    GroupExposureChanged,
    OrderDecision,
)

DIRECT = Sent()
UNAUTHORISED = frozenset(
    {"authority_missing", "authority_exceeded", "second_person_missing", "fx_rate_missing"}
)
"""Reasons for which a person's release is refused."""


class Office:
    """One ledger that keeps every account and group."""

    def __init__(self, policies: PolicyBook) -> None:
        self.policies = policies
        self.ledger = MemoryLedger()

    def apply(self, event: Event, sent: Sent = DIRECT) -> list[Effect]:
        """What follows from an event, wherever it is forwarded to."""
        effects: list[Effect] = []
        for effect in reduce(self.ledger, event, self.policies, sent):
            if isinstance(effect, Forward):
                effects += self.apply(effect.event, effect.sent)
            else:
                effects.append(effect)
        return effects

    def run(self, history: list[Event]) -> list[Effect]:
        return [effect for event in history for effect in self.apply(event)]

    def restart(self) -> None:
        """Read the state again as it stands in a store."""
        self.ledger = reread(self.ledger)

    def figures(self) -> dict[str, ExposureChanged]:
        """Of every account that is kept, by customer."""
        return {
            customer: figures(self.ledger, customer, self.policies)
            for customer in keys_of(self.ledger, state.account_key)
        }

    def group_figures(self) -> dict[str, GroupExposureChanged]:
        return {
            group: group_figures(self.ledger, group, self.policies)
            for group in keys_of(self.ledger, state.group_key)
        }


def keys_of(ledger: MemoryLedger, key_of: Any) -> list[str]:
    """The customers, or groups, that have such a record in the ledger."""
    return [one for one in state.accounts(ledger) if ledger.get(key_of(one)) is not None]


def entries(ledger: MemoryLedger) -> Iterator[tuple[str, Any]]:
    return ledger.scan("", "\U0010ffff")


def reread(ledger: MemoryLedger) -> MemoryLedger:
    again = MemoryLedger()
    for key, value in entries(ledger):
        again.put(key, state.decode(key, state.encode(key, copy.deepcopy(value))))
    return again


def decisions(effects: list[Effect]) -> list[OrderDecision]:
    return [effect for effect in effects if isinstance(effect, OrderDecision)]


def alerts(effects: list[Effect]) -> list[CreditLimitAlert]:
    return [effect for effect in effects if isinstance(effect, CreditLimitAlert)]


def refusals(effects: list[Effect]) -> list[Refusal]:
    return [effect for effect in effects if isinstance(effect, Refusal)]
