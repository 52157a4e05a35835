"""Several ledgers for tests: customers and groups on partitions of their own, and records under way
between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from credit.office import DIRECT, entries, keys_of, reread

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.effects import Effect, Forward, Sent
from agents.credit.rules import figures, group_figures, reduce
from agents.intake.rules import account_of
from schemas.events import AccountMoved, Event, ExposureChanged, GroupExposureChanged

INTAKE = -1
"""Where records come from that no partition has forwarded."""

Way = tuple[int, int]
"""From one partition to another: records on one way keep their order, ways know nothing of each
other.
"""


class Partitions:
    """The partitions of a journal, each with its ledger; `homes` says where an id is kept."""

    def __init__(self, policies: PolicyBook, homes: Mapping[str, int]) -> None:
        self.policies = policies
        self.homes = homes
        self.ledgers = {partition: MemoryLedger() for partition in sorted(set(homes.values()))}
        self.under_way: dict[Way, deque[tuple[Event, Sent]]] = {}

    def tell(self, event: Event) -> None:
        """Have an event on its way to where it is applied first: of nobody, to all partitions."""
        whose = account_of(event)
        for partition in self.ledgers if whose is None else [self.homes[whose]]:
            self._send((INTAKE, partition), event, DIRECT)

    def ways(self) -> list[Way]:
        """Those on which something is."""
        return sorted(way for way, records in self.under_way.items() if records)

    def deliver(self, way: Way) -> tuple[Event, list[Effect]]:
        """The next record of a way, and what follows from it here."""
        event, sent = self.under_way[way].popleft()
        _, partition = way
        effects: list[Effect] = []
        for effect in reduce(self.ledgers[partition], event, self.policies, sent):
            if isinstance(effect, Forward):
                self._send((partition, self.homes[effect.key]), effect.event, effect.sent)
            else:
                effects.append(effect)
        return event, effects

    def restart(self) -> None:
        self.ledgers = {partition: reread(ledger) for partition, ledger in self.ledgers.items()}

    def figures(self) -> dict[str, ExposureChanged]:
        """Of every account, by customer; each is on one partition."""
        found: dict[str, ExposureChanged] = {}
        for ledger in self.ledgers.values():
            for customer in keys_of(ledger, state.account_key):
                assert customer not in found
                found[customer] = figures(ledger, customer, self.policies)
        return found

    def group_figures(self) -> dict[str, GroupExposureChanged]:
        return {
            group: group_figures(ledger, group, self.policies)
            for ledger in self.ledgers.values()
            for group in keys_of(ledger, state.group_key)
        }

    def documents(self) -> Iterator[tuple[str, Any]]:
        """Every document with its id, wherever it is, also under way."""
        for ledger in self.ledgers.values():
            for key, value in entries(ledger):
                account_id, _, own_key = key.partition(state.NUL)
                if account_id and own_key[0] in "oipc":
                    yield own_key[1:], value
        for records in self.under_way.values():
            for event, _ in records:
                for entry in event.entries if isinstance(event, AccountMoved) else []:
                    if entry.key[0] in "oipc":
                        yield entry.key[1:], state.from_json(entry.key, entry.value)

    def _send(self, way: Way, event: Event, sent: Sent) -> None:
        self.under_way.setdefault(way, deque()).append((event, sent))
