"""One course of events under two policies: what was decided under the one, and under the other.

Pure. Until the day on which they part there is one course; from then on each policy has its own
ledger, the same at first. What happened stays as it happened: an order that the new policy holds is
still invoiced and paid on the days on which it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.day_run import continued
from agents.credit.effects import Continuation, Forward, Sent
from agents.credit.rules import reduce
from agents.credit.today import today_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import (
    BusinessDayStarted,
    CreditLimitAlert,
    Day,
    Event,
    Instant,
    InvoiceIssued,
    Minor,
    OrderDecision,
    RiskSignal,
)

_DIRECT = Sent()
OrderName = tuple[str, str]
"""Customer and order id."""


class Stay(msgspec.Struct):
    """How long an order was held, and what was said of it.

    Attributes:
        segment: of the customer when the order was first decided here.
        amount: the highest that was decided on, minor units of `currency`.
        currency: the order's.
        first_at: when it was first decided here.
        said: every decision with its reasons, in order.
        held_for: ended holds, microseconds.
        held_since: since when it is held; None: it is not.
    """

    segment: str
    amount: Minor
    currency: str
    first_at: Instant
    said: list[tuple[str, tuple[str, ...]]] = []
    held_for: int = 0
    held_since: Instant | None = None

    def held_until(self, end: Instant) -> int:
        """Microseconds on hold up to `end`."""
        return self.held_for + (0 if self.held_since is None else max(end - self.held_since, 0))

    @property
    def was_held(self) -> bool:
        return any(decision == "held" for decision, _ in self.said)


class Course:
    """What follows from the events under one policy."""

    def __init__(self, policies: PolicyBook, ledger: _Archive) -> None:
        self.policies = policies
        self.ledger = ledger
        self.orders: dict[OrderName, Stay] = {}
        self.raised: Counter[tuple[str, str, str]] = Counter()
        """Alerts by segment, customer and threshold; `forecast_breach` counts as one."""

    def feed(self, event: Event, *, record: bool) -> None:
        """Apply an event; `record` says whether what follows counts for the comparison."""
        for effect in self._apply(event, _DIRECT):
            if not record:
                continue
            match effect:
                case OrderDecision():
                    self._decided(effect)
                case CreditLimitAlert(direction="raised"):
                    segment = "" if effect.group_id else self._segment(effect.customer_id)
                    self.raised[segment, effect.customer_id, effect.threshold] += 1
                case RiskSignal():
                    segment = self._segment(effect.customer_id)
                    self.raised[segment, effect.customer_id, effect.kind] += 1

    def part(self, policies: PolicyBook, at: Instant) -> Course:
        """Another course that goes on from here under other policies."""
        other = Course(policies, self.ledger.copy())
        for course in (self, other):
            course._take_over_held(at)  # noqa: SLF001  its own class
        return other

    def _take_over_held(self, at: Instant) -> None:
        """Orders on hold when the courses part have been held since then, for the comparison."""
        for key, value in self.ledger.scan("\1", "\U0010ffff"):
            if isinstance(value, state.Order) and value.status == "held":
                customer_id, _, own_key = key.partition(state.NUL)
                self.orders[customer_id, own_key[1:]] = Stay(
                    segment=self._segment(customer_id),
                    amount=value.total,
                    currency=value.currency,
                    first_at=at,
                    said=[("held", ())],
                    held_since=at,
                )

    def _apply(self, event: Event, sent: Sent) -> Iterator[Any]:
        following: Event | None = event
        while following is not None:
            event, following = following, None
            for effect in reduce(self.ledger, event, self.policies, sent):
                if isinstance(effect, Forward):
                    yield from self._apply(effect.event, effect.sent)
                elif isinstance(effect, Continuation):
                    following = continued(effect)
                else:
                    yield effect

    def _decided(self, decision: OrderDecision) -> None:
        name = (decision.customer_id, decision.order_id)
        stay = self.orders.get(name)
        if stay is None:
            segment = self._segment(decision.customer_id)
            stay = Stay(segment, decision.amount, decision.currency, decision.occurred_at, [])
            self.orders[name] = stay
        stay.amount = max(stay.amount, decision.amount)
        stay.said.append((decision.decision, tuple(decision.reasons)))
        if decision.decision == "held":
            if stay.held_since is None:
                stay.held_since = decision.occurred_at
        elif stay.held_since is not None:
            stay.held_for += max(decision.occurred_at - stay.held_since, 0)
            stay.held_since = None

    def _segment(self, customer_id: str) -> str:
        account: state.Account | None = self.ledger.get(state.account_key(customer_id))
        return "" if account is None else account.segment


class _Archive(MemoryLedger):
    """A ledger that still knows invoices which the rules have forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._forgotten: dict[str, state.Invoice] = {}

    def delete(self, key: str) -> None:
        value = self.get(key)
        if isinstance(value, state.Invoice):
            self._forgotten[key] = value
        super().delete(key)

    def invoice(self, customer_id: str, invoice_id: str) -> state.Invoice | None:
        key = state.invoice_key(customer_id, invoice_id)
        found: state.Invoice | None = self.get(key) or self._forgotten.get(key)
        return found

    def copy(self) -> _Archive:
        """Another ledger with the same content, nothing of it shared."""
        other = _Archive()
        for key, value in self.scan("", "\U0010ffff"):
            other.put(key, state.decode(key, state.encode(key, value)))
        return other


class TwoCourses:
    """The same events under two policies.

    Args:
        current: the policy that is in force.
        proposed: the one to compare with it.
        since: the day from which the proposed one counts; None: from the first event.
    """

    def __init__(self, current: PolicyBook, proposed: PolicyBook, since: Day | None) -> None:
        self._since = since
        self._proposed = proposed if since is None else current.followed_by(proposed, since)
        self.current = Course(current, _Archive())
        self.proposed: Course | None = None
        self.end: Instant = 0
        self._invoices: dict[OrderName, list[str]] = {}

    def feed(self, event: Event) -> None:
        """Apply one event to both courses, or to the one while they are one."""
        self.end = max(self.end, event.occurred_at)
        if isinstance(event, InvoiceIssued):
            self._note_invoice(event)
        if self.proposed is None and self._parts_at(event):
            self.proposed = self.current.part(self._proposed, event.occurred_at)
        self.current.feed(event, record=self.proposed is not None)
        if self.proposed is not None:
            self.proposed.feed(event, record=True)

    def went_bad(self, name: OrderName, days: int) -> bool:
        """Whether an invoice of the order was written off, or paid later than so many days after it
        was due, or is open and as late when the events end.
        """
        last_day = self.end // MICROSECONDS_PER_DAY
        for invoice_id in self._invoices.get(name, ()):
            invoice = self.current.ledger.invoice(name[0], invoice_id)
            if invoice is None or invoice.cancelled:
                continue
            late = invoice.paid_late
            if late is None:
                late = last_day - invoice.due_on if invoice.booked_open else 0
            if invoice.written_off or late > days:
                return True
        return False

    def _parts_at(self, event: Event) -> bool:
        if self._since is None:
            return True
        if isinstance(event, BusinessDayStarted):
            return event.date >= self._since
        return today_of(self.current.ledger, event) >= self._since

    def _note_invoice(self, event: InvoiceIssued) -> None:
        named = [part.order_id for part in event.orders or ()]
        if event.order_id is not None:
            named.append(event.order_id)
        for order_id in named:
            invoices = self._invoices.setdefault((event.customer_id, order_id), [])
            if event.invoice_id not in invoices:
                invoices.append(event.invoice_id)
