"""What became of what somebody did: refused by the pipeline, or seen in what it published or keeps.

Nothing is taken for done because it was sent. An act is looked up by the id of its event, or by its
time where the state notes that, so any gateway can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from agents.console.kept import Kept, Refused
from agents.console.telling import Telling
from agents.core.ledger import Ledger
from agents.credit import state
from agents.dunning.records import promise_key
from agents.live_copy import Place
from schemas.events import (
    CreditLimitChanged,
    CustomerBlocked,
    CustomerUnblocked,
    Event,
    Instant,
    InvoiceDisputed,
    OrderDecision,
    PromiseToPayMade,
)

_PATIENCE: Instant = 10 * 1_000_000
_SAID = ("note", "propose", "decline", "acknowledge", "snooze")
"""What nothing follows from: it is done when it is kept."""
_FIELDS = ("id", "did", "at", "customer", "name")


@dataclass(frozen=True)
class Act:
    """Something that somebody did, as an address can tell it.

    Attributes:
        id: of its event.
        did: one of `acts.ACTIONS`.
        at: when.
        customer: to whom.
        name: of the order, dispute (`invoice NUL dispute`) or promise.
    """

    id: str
    did: str
    at: Instant
    customer: str
    name: str

    @property
    def query(self) -> str:
        """As it stands in an address."""
        return urlencode({name: getattr(self, name) for name in _FIELDS})

    @property
    def said_name(self) -> str:
        """What it was done to, for people."""
        return self.name.partition("\n")[0] or self.customer


def act_of(event: Event, did: str) -> Act:
    """The act that an event is."""
    name = ""
    match event:
        case InvoiceDisputed():
            name = f"{event.invoice_id}\n{event.dispute_id}"
        case PromiseToPayMade():
            name = f"{', '.join(event.invoice_ids[:3])}\n{event.promise_id}"
        case CreditLimitChanged():
            name = f"\n{'' if event.valid_until is None else 'temporary'}"
        case CustomerBlocked() | CustomerUnblocked():
            name = ""
        case _:
            name = getattr(event, "order_id", "")
    customer_id: str = event.customer_id  # type: ignore[attr-defined]  # every act has one
    return Act(event.event_id, did, event.occurred_at, customer_id, name)


def act_asked(asked: Mapping[str, str]) -> Act | None:
    """The act that an address tells; None for one that tells none."""
    at = asked.get("at", "")
    if not asked.get("id") or not (at.isascii() and at.isdigit() and len(at) < 18):  # noqa: PLR2004
        return None
    return Act(
        asked["id"][:100], asked.get("did", ""), int(at), asked.get("customer", ""),
        asked.get("name", ""),
    )  # fmt: skip


State = Literal["pending", "done", "refused", "unchanged"]


@dataclass(frozen=True)
class Outcome:
    """How an act stands, and what to say about it."""

    state: State
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Witnesses:
    """Where it can be seen what became of acts."""

    place_of: Callable[[str], Place]
    latest_on: Callable[[str, str], list[OrderDecision]]
    refused: Callable[[str], Refused | None]
    kept: Kept

    def outcome(self, act: Act, telling: Telling, now: Instant) -> Outcome:
        """How an act stands."""
        w = telling.w
        what = w.get(f"did_{act.did}", act.did).format(name=act.said_name)
        refused = self.refused(act.id)
        if refused is not None:
            why = w.get(f"refused_{refused.reason}", refused.reason)
            return Outcome("refused", f"{what}: {w.refused}, {why}", refused.detail)
        followed = self._followed(act, telling)
        if followed is not None:
            return Outcome("done", f"{what}: {followed}")
        if now - act.at < _PATIENCE:
            return Outcome("pending", f"{what}: {w.pending}")
        return Outcome("unchanged", f"{what}: {w.unchanged}")

    def _followed(self, act: Act, telling: Telling) -> str | None:
        """What followed from it, if it can be seen."""
        if act.did in ("release", "confirm", "hold"):
            for decision in self.latest_on(act.name, act.customer):
                if decision.cause_event_id == act.id:
                    return telling.w.get(f"decision_{decision.decision}", decision.decision)
        elif act.did in _SAID:
            return telling.w.is_noted if self.kept.has(act.id) else None
        ledger, account_id = self.place_of(act.customer)
        account: state.Account | None = ledger.get(state.account_key(account_id))
        return telling.w.is_applied if account and self._applied(act, ledger, account_id) else None

    def _applied(self, act: Act, ledger: Ledger, account_id: str) -> bool:
        account: state.Account = ledger.get(state.account_key(account_id))
        first, _, second = act.name.partition("\n")
        match act.did:
            case "release" | "confirm" | "hold":
                order: state.Order | None = ledger.get(state.order_key(account_id, act.name))
                return order is not None and act.id in order.seen
            case "block" | "unblock":
                return account.block.at >= act.at
            case "limit":
                return (account.temporary if second else account.standing).at >= act.at
            case "dispute":
                invoice: state.Invoice | None = ledger.get(state.invoice_key(account_id, first))
                return invoice is not None and second in invoice.disputes
            case "promise":
                return ledger.get(promise_key(account_id, second)) is not None
        return False
