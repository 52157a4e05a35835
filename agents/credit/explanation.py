"""Why an order was decided as it was, recomputed from the journal.

The journal is replayed into a ledger that tells when the order is decided. At that moment, and not
after the event, what counts is written down: every open document, the facts of the account, and
what stood against the order. So the amounts add up to the exposure that the decision says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.account_day import AccountDay
from agents.credit.case import Case
from agents.credit.day_run import continued
from agents.credit.effects import Continuation, Forward, Sent
from agents.credit.named_documents import named_documents
from agents.credit.obstacles import Obstacle, look_at, obstacles, obstacles_now
from agents.credit.order_check import hold_reasons
from agents.credit.rules import reduce
from agents.credit.today import day_of
from agents.journal.entries import Entry
from schemas.events import (
    BusinessDayStarted,
    CreditGroupUpserted,
    CreditLimitChanged,
    CustomerBlocked,
    CustomersMerged,
    CustomerUnblocked,
    CustomerUpserted,
    Day,
    Event,
    Instant,
    Minor,
    OrderDecision,
)

_OPEN_RECEIVABLE = "open_receivable"
_OF_THE_ACCOUNT = (
    CreditGroupUpserted,
    CreditLimitChanged,
    CustomerBlocked,
    CustomersMerged,
    CustomerUnblocked,
    CustomerUpserted,
)
"""They say something of a customer or group, not of documents; the last of each type counts."""


class Fact(msgspec.Struct, frozen=True):
    """An event of the journal that counted, and where it stands."""

    partition: int
    offset: int
    type: str
    event_id: str
    occurred_at: Instant


class Input(msgspec.Struct, frozen=True):
    """What one document, or one other member of the group, adds to the exposure.

    Attributes:
        what: `open_receivable`, `delivered_not_invoiced`, `open_order`, `unapplied_cash`,
            `unapplied_credit` (the last two below zero), or `group_member`.
        id: of the document, or of the customer.
        amount: minor units of `currency`.
        currency: of the document; of a member, that of its account.
        due_on: the due day of an invoice.
        facts: the events that made it what it is, oldest first.
    """

    what: str
    id: str
    amount: Minor
    currency: str
    due_on: Day | None
    facts: list[Fact]


class Ruling(msgspec.Struct, frozen=True):
    """One decision on the order, and all that it stands on.

    Attributes:
        decision: as it was published.
        cause: the event that it followed from.
        account_facts: what was said last of the customer, its limit, blocks and group.
        inputs: they add up to `decision.exposure_after`; members of the group besides.
        obstacles: what stood against the order; empty for one that passed.
    """

    decision: OrderDecision
    cause: Fact
    account_facts: list[Fact]
    inputs: list[Input]
    obstacles: list[Obstacle]


class Explanation(msgspec.Struct, frozen=True):
    """All decisions on an order, oldest first, and what holds it now."""

    order_id: str
    customer_id: str
    rulings: list[Ruling]
    held_now: list[Obstacle]
    looked_on: Day


class Witness:
    """Replays journals and writes down what is decided on one order.

    Args:
        order_id: the order.
        policies: what decided; decisions name its version.
        follow: whether what is forwarded is to be applied at once, because the journal is a file
            of what happened; from Kafka, what was forwarded comes as a record of its own.
    """

    def __init__(self, order_id: str, policies: PolicyBook, *, follow: bool) -> None:
        self._order_id = order_id
        self._policies = policies
        self._follow = follow
        self._facts: dict[tuple[str, str], dict[str, Fact]] = {}
        self._account_facts: dict[str, dict[str, Fact]] = {}
        self._rulings: dict[str, list[Ruling]] = {}
        self._held_now: dict[str, list[Obstacle]] = {}
        self._looked_on: dict[str, Day] = {}

    def replay(self, entries: Iterable[Entry]) -> None:
        """Go through a journal, or one partition of it, from its beginning."""
        ledger = _WatchedLedger(self._order_id)
        last: Event | None = None
        begun: Fact | None = None
        for entry in entries:
            self._remember(entry)
            if isinstance(entry.event, BusinessDayStarted):
                begun = _fact(entry)
            for decision, moment in self._apply(ledger, entry.event, entry.sent):
                self._rulings.setdefault(moment.order_key, []).append(
                    Ruling(
                        decision=decision,
                        cause=_cause(decision, entry, begun),
                        account_facts=moment.account_facts,
                        inputs=moment.inputs,
                        obstacles=[
                            one
                            for reason in decision.reasons
                            for one in moment.obstacles
                            if one.reason == reason
                        ],
                    )
                )
            last = entry.event
        for order_key in self._rulings:
            if last is not None and ledger.get(order_key) is not None:
                today = day_of(ledger, order_key.partition(state.NUL)[0], last)
                self._held_now[order_key] = obstacles_now(ledger, self._policies, order_key, today)
                self._looked_on[order_key] = today

    def explanations(self) -> list[Explanation]:
        """One per customer that has an order of this id."""
        return [
            Explanation(
                order_id=order_key.partition(state.NUL)[2][1:],
                customer_id=order_key.partition(state.NUL)[0],
                rulings=sorted(rulings, key=lambda ruling: ruling.decision.decision_number),
                held_now=self._held_now.get(order_key, []),
                looked_on=self._looked_on.get(order_key, 0),
            )
            for order_key, rulings in self._rulings.items()
        ]

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _apply(
        self, ledger: _WatchedLedger, event: Event, sent: Sent
    ) -> Iterator[tuple[OrderDecision, _Moment]]:
        """The decisions on the order that follow, each with the moment in which it was made."""
        moments: list[_Moment] = []
        ledger.tell = lambda order_key, order: moments.append(
            self._moment(ledger, order_key, order, event)
        )
        made = iter(moments)
        for effect in reduce(ledger, event, self._policies, sent):
            if isinstance(effect, Forward) and self._follow:
                yield from self._apply(ledger, effect.event, effect.sent)
            elif isinstance(effect, Continuation) and self._follow:
                yield from self._apply(ledger, continued(effect), sent)
            elif isinstance(effect, OrderDecision) and is_called(effect.order_id, self._order_id):
                yield effect, next(made)

    def _moment(
        self, ledger: _WatchedLedger, order_key: str, order: state.Order, event: Event
    ) -> _Moment:
        account_id = order_key.partition(state.NUL)[0]
        case = look_at(ledger, self._policies, account_id, day_of(ledger, account_id, event))
        names = [account_id, *case.account.absorbed]
        order_id = state.last_part(order_key)[1:]
        held_for = hold_reasons(case, order_id, order) if order.status == "held" else []
        return _Moment(
            order_key=order_key,
            account_facts=self._facts_about([*names, case.account.group_id]),
            inputs=[*self._documents(ledger, names), *_other_members(ledger, case)],
            obstacles=obstacles(case, order_id, order, held_for),
        )

    def _remember(self, entry: Entry) -> None:
        """Write down what the event is about."""
        event, fact = entry.event, _fact(entry)
        customer_id: str = getattr(event, "customer_id", "")
        if isinstance(event, _OF_THE_ACCOUNT):
            about = event.group_id if isinstance(event, CreditGroupUpserted) else customer_id
            self._account_facts.setdefault(about, {})[type(event).__name__] = fact
            return
        for document in named_documents(event):
            self._facts.setdefault((customer_id, document), {}).setdefault(fact.event_id, fact)

    def _facts_about(self, names: list[str]) -> list[Fact]:
        found = [fact for name in names for fact in self._account_facts.get(name, {}).values()]
        return sorted(found, key=lambda fact: fact.occurred_at)

    def _documents(self, ledger: MemoryLedger, names: list[str]) -> Iterator[Input]:
        """What every document of the account adds to the exposure."""
        for key, value in ledger.scan(*state.account_range(names[0])):
            document = key.partition(state.NUL)[2]
            for what, amount, currency in _parts(value):
                if amount:
                    due_on = value.due_on if what == _OPEN_RECEIVABLE else None
                    facts = self._facts_of(names, document)
                    yield Input(what, document[1:], amount, currency, due_on, facts)

    def _facts_of(self, names: list[str], document: str) -> list[Fact]:
        """The events that named the document, under this customer or one merged into it."""
        kind, document_id = document[0], document[1:]
        for name in names:
            own_id = document_id.removeprefix(f"{name}/")
            found = self._facts.get((name, kind + own_id))
            if found is not None:
                return list(found.values())
        return []


class _Moment(msgspec.Struct, frozen=True):
    """What counted when the order was decided; see `Ruling`."""

    order_key: str
    account_facts: list[Fact]
    inputs: list[Input]
    obstacles: list[Obstacle]


class _WatchedLedger(MemoryLedger):
    """Tells each time that a decision on the order is booked."""

    def __init__(self, order_id: str) -> None:
        super().__init__()
        self._order_id = order_id
        self._decided: dict[str, int] = {}
        self.tell: Callable[[str, state.Order], None] = _tell_nobody

    def put(self, key: str, value: Any) -> None:
        super().put(key, value)
        if (
            key.endswith(self._order_id)
            and isinstance(value, state.Order)
            and is_called(state.last_part(key)[1:], self._order_id)
        ):
            # A new order is put before it is decided; one that is decided already came from
            # where the account was kept before.
            before = self._decided.setdefault(key, value.decision_number)
            if value.decision_number > before:
                self._decided[key] = value.decision_number
                self.tell(key, value)


def is_called(kept_as: str, order_id: str) -> bool:
    """Whether an order is kept under this id: as it is, or behind that of a merged customer."""
    return kept_as == order_id or kept_as.endswith("/" + order_id)


def _tell_nobody(_order_key: str, _order: state.Order) -> None:
    """Until the first event there is nobody."""


def _cause(decision: OrderDecision, entry: Entry, begun: Fact | None) -> Fact:
    """What a decision that came with an entry followed from: an account whose turn on the day is
    still to come has it before its own event.
    """
    if begun is not None and decision.cause_event_id == begun.event_id:
        return begun
    return _fact(entry)


def _fact(entry: Entry) -> Fact:
    event = entry.event
    return Fact(
        entry.partition, entry.offset, type(event).__name__, event.event_id, event.occurred_at
    )


def _parts(document: Any) -> Iterator[tuple[str, Minor, str]]:
    """What a document has booked: what it is, how much, in which currency."""
    match document:
        case state.Order():
            yield "open_order", document.booked_open, document.currency
            yield "delivered_not_invoiced", document.booked_delivered, document.currency
        case state.Invoice():
            yield _OPEN_RECEIVABLE, document.booked_open, document.currency
            for currency, applied in document.applied.items():
                yield "unapplied_credit", -applied.booked_excess, currency
        case state.Payment():
            yield "unapplied_cash", -document.booked_unapplied, document.currency
        case state.CreditNote():
            yield "unapplied_credit", -document.booked_unapplied, document.currency


def _other_members(ledger: MemoryLedger, case: Case) -> Iterator[Input]:
    """What the other members of the account's group owe, each in its own currency."""
    group_id = case.account.group_id
    if not group_id:
        return
    for key, _ in ledger.scan(*state.member_range(group_id)):
        customer_id = key.partition(state.NUL)[2][1:]
        account: state.Account | None = ledger.get(state.account_key(customer_id))
        if customer_id != case.account_id and account is not None:
            member = AccountDay(ledger, case.policies, customer_id, account, case.today)
            yield Input("group_member", customer_id, member.exposure(), account.currency, None, [])
