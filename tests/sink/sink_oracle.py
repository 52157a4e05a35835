"""A slow and obvious second opinion on the figures: one document and one day at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from schemas import events as ev
from schemas.events import Event

_E = TypeVar("_E", bound=Event)
Open = dict[tuple[str, str], int]
"""By (customer, currency), minor units."""


def day_of(event: Event) -> int:
    return event.occurred_at // 86_400_000_000


@dataclass(frozen=True)
class Part:
    """Money of a payment for an invoice, from `paid_on` until before `reversed_on`."""

    customer_id: str
    invoice_id: str
    currency: str
    amount: int
    paid_on: int
    reversed_on: int | None


class Books:
    """The documents of a journal, each event once, in the journal's order."""

    def __init__(self, journal: Iterable[Event], small_balance: dict[str, int]) -> None:
        self._small_balance = small_balance
        seen: set[str] = set()
        self.events = [e for e in journal if not (e.event_id in seen or seen.add(e.event_id))]  # type: ignore[func-returns-value]
        self.revisions: dict[tuple[str, str], dict[int, ev.InvoiceIssued]] = defaultdict(dict)
        for event in self._all(ev.InvoiceIssued):
            found = self.revisions[event.customer_id, event.invoice_id]
            found.setdefault(event.revision or 0, event)
        self.notes: dict[tuple[str, str], ev.CreditNoteIssued] = {}
        for note in self._all(ev.CreditNoteIssued):
            self.notes.setdefault((note.customer_id, note.credit_note_id), note)
        self.payments: dict[tuple[str, str], ev.PaymentReceived] = {}
        for payment in self._all(ev.PaymentReceived):
            self.payments.setdefault((payment.customer_id, payment.payment_id), payment)
        self.parts = [
            part for payment in self.payments.values() for part in self._parts_of(payment)
        ]

    def _all(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    def allocations(self, payment: ev.PaymentReceived) -> list[tuple[str, int, int]]:
        """(invoice, amount, day said) of what the payment is meant for."""
        parts = [(part.invoice_id, part.amount, payment.value_on) for part in payment.allocations]
        left = payment.amount - sum(amount for _, amount, _ in parts)
        for later in self._all(ev.PaymentAllocated):
            mine = (later.customer_id, later.payment_id) == (
                payment.customer_id,
                payment.payment_id,
            )
            if mine and later.amount <= left:
                left -= later.amount
                parts.append((later.invoice_id, later.amount, day_of(later)))
        return parts

    def cleared_on(self, payment: ev.PaymentReceived) -> int | None:
        if payment.cleared is not False:
            return payment.value_on
        days = [
            day_of(event)
            for event in self._all(ev.PaymentCleared)
            if (event.customer_id, event.payment_id) == (payment.customer_id, payment.payment_id)
        ]
        return max(min(days), payment.value_on) if days else None

    def reversed_on(self, payment: ev.PaymentReceived) -> int | None:
        days = [
            day_of(event)
            for event in self._all(ev.PaymentReversed)
            if (event.customer_id, event.payment_id) == (payment.customer_id, payment.payment_id)
        ]
        return min(days) if days else None

    def _parts_of(self, payment: ev.PaymentReceived) -> list[Part]:
        cleared_on = self.cleared_on(payment)
        if cleared_on is None:
            return []
        reversed_on = self.reversed_on(payment)
        return [
            Part(
                payment.customer_id,
                invoice_id,
                payment.currency,
                amount,
                max(cleared_on, said_on),
                reversed_on,
            )
            for invoice_id, amount, said_on in self.allocations(payment)
        ]

    def latest(self, place: tuple[str, str]) -> ev.InvoiceIssued:
        revisions = self.revisions[place]
        return revisions[max(revisions)]

    def closed_on(self, place: tuple[str, str], *kinds: type[Event]) -> int | None:
        days = [
            day_of(event)
            for event in self.events
            if isinstance(event, kinds or (ev.InvoiceCancelled, ev.InvoiceWrittenOff))
            and (event.customer_id, event.invoice_id) == place  # type: ignore[attr-defined]
        ]
        return min(days) if days else None

    def billed(self, place: tuple[str, str], day: int) -> int:
        """The amount of the highest revision that counts by `day`, in the latest one's currency."""
        currency = self.latest(place).currency
        same = {n: e for n, e in self.revisions[place].items() if e.currency == currency}
        amount = 0
        for place_in_line, number in enumerate(sorted(same)):
            event = same[number]
            counts = event.issued_on if place_in_line == 0 else max(event.issued_on, day_of(event))
            if counts <= day:
                amount = event.amount
        return amount

    def settled(self, place: tuple[str, str], day: int) -> int:
        currency = self.latest(place).currency
        noted = sum(
            note.amount
            for note in self.notes.values()
            if (note.customer_id, note.invoice_id) == place
            and note.currency == currency
            and day_of(note) <= day
        )
        paid = sum(
            part.amount
            for part in self.parts
            if (part.customer_id, part.invoice_id) == place
            and part.currency == currency
            and part.paid_on <= day
            and (part.reversed_on is None or day < max(part.paid_on, part.reversed_on))
        )
        return noted + paid

    def open_of(self, place: tuple[str, str], day: int) -> int:
        closed_on = self.closed_on(place)
        if closed_on is not None and closed_on <= day:
            return 0
        settled = self.settled(place, day)
        rest = self.billed(place, day) - settled
        small = self._small_balance[self.latest(place).currency]
        return 0 if rest <= 0 or (settled > 0 and rest <= small) else rest

    def open_on(self, day: int) -> Open:
        found: Open = defaultdict(int)
        for place in self.revisions:
            found[place[0], self.latest(place).currency] += self.open_of(place, day)
        return {key: amount for key, amount in found.items() if amount}

    def ageing_on(self, day: int) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 5)
        for place in self.revisions:
            invoice = self.latest(place)
            late = day - invoice.due_on
            bucket = sum(late > edge for edge in (0, 30, 60, 90))
            if rest := self.open_of(place, day):
                found[place[0], invoice.currency][bucket] += rest
        return dict(found)

    def promised_on(self, day: int) -> dict[tuple[str, str], int]:
        """What is open under a promise or a plan that runs on the day."""
        under = {
            (made.customer_id, invoice_id)
            for (customer, name), made in self.promises().items()
            for invoice_id in made.invoice_ids
            if day_of(made) <= day < self.promise_end(customer, name, day_of(made))[1]
        }
        found: dict[tuple[str, str], int] = defaultdict(int)
        for place in under & self.revisions.keys():
            found[place[0], self.latest(place).currency] += self.open_of(place, day)
        return found

    def promises(self) -> dict[tuple[str, str], ev.PromiseToPayMade | ev.PaymentPlanAgreed]:
        """The first word on each."""
        made: dict[tuple[str, str], ev.PromiseToPayMade | ev.PaymentPlanAgreed] = {}
        for event in self.events:
            match event:
                case ev.PromiseToPayMade():
                    made.setdefault((event.customer_id, event.promise_id), event)
                case ev.PaymentPlanAgreed():
                    made.setdefault((event.customer_id, event.plan_id), event)
        return made

    def promise_end(self, customer: str, name: str, made_on: int) -> tuple[str, float]:
        """What became of it, and on which day."""
        for told in self._all(ev.RiskSignal):
            if (told.customer_id, told.promise_id) == (customer, name):
                words = {"promise_partly_kept": "partly"}
                return words.get(told.kind, told.kind.removeprefix("promise_")), day_of(told)
        cancelled = [
            day_of(one)
            for one in self._all(ev.PaymentPlanCancelled)
            if (one.customer_id, one.plan_id) == (customer, name)
        ]
        return ("cancelled", max(min(cancelled), made_on)) if cancelled else ("running", inf)

    def sales_of(self, currency: str, first: int, last: int) -> int:
        """What was billed from `first` to `last`, less credit notes and cancellations."""
        total = 0
        for place in self.revisions:
            if self.latest(place).currency != currency:
                continue
            total += self.billed(place, last) - self.billed(place, first - 1)
            cancelled_on = self.closed_on(place, ev.InvoiceCancelled)
            if cancelled_on is not None:
                counts = max(self.closed_on(place) or 0, self.latest(place).issued_on)
                if first <= counts <= last:
                    total -= self.latest(place).amount
        for note in self.notes.values():
            if note.invoice_id is not None and note.currency == currency:
                total -= note.amount if first <= day_of(note) <= last else 0
        return total


def exposure_on(changes: Iterable[ev.ExposureChanged], day: int, today: int) -> dict[str, int]:
    """By customer, the last word about days up to `day`; `changes` in the order of their topic."""
    said: dict[str, int] = {}
    for change in changes:
        if min(day_of(change), today) <= day:
            said[change.customer_id] = change.exposure
    return said


def hold_rate(decisions: Iterable[ev.OrderDecision]) -> dict[int, tuple[int, int]]:
    """By day: orders first decided then, and those of them that were held."""
    found: dict[int, tuple[int, int]] = {}
    for decision in decisions:
        orders, held = found.get(day_of(decision), (0, 0))
        if decision.decision_number == 1:
            orders += 1
            held += decision.decision == "held"
        found[day_of(decision)] = orders, held
    return found
