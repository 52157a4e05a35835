"""A slow and obvious second opinion: what accounts and groups are worth, recomputed from the whole
history, without looking at the rules.

It knows documents and facts only. Which orders have their credit is taken from the decisions that
were published; whether those were right is asked in `check_oracle`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from agents.core.policy import Policy, PolicyBook, in_minor
from schemas import events as ev
from schemas.events import Day, Event, OrderDecision
from schemas.money import exponent

E = TypeVar("E", bound=Event)
Asked = TypeVar("Asked", bound="Oracle")
P = ParamSpec("P")
R = TypeVar("R")


def remembered(
    method: Callable[Concatenate[Asked, P], R],
) -> Callable[Concatenate[Asked, P], R]:
    """An oracle's history does not change, so nothing has to be worked out twice."""

    @wraps(method)
    def once(self: Asked, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (method.__name__, *args)
        if key not in self.worked_out:
            self.worked_out[key] = method(self, *args, **kwargs)
        found: R = self.worked_out[key]
        return found

    return once  # type: ignore[return-value]  # `self` is positional either way


@dataclass
class Parts:
    """What is open in one currency, or all of it valued in one."""

    receivables: int = 0
    delivered: int = 0
    orders: int = 0
    unapplied: int = 0
    overdue: int = 0
    held: int = 0

    @property
    def exposure(self) -> int:
        return self.receivables + self.delivered + self.orders - self.unapplied

    def add(self, other: Parts) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass
class Order:
    """An order that was placed, as all facts of it make it."""

    order_id: str
    placed: ev.OrderPlaced
    total: int
    rest: int
    """Undelivered and uninvoiced."""
    delivered: int
    """And not invoiced."""
    is_invoiced: bool
    status: str


@dataclass
class Invoice:
    """The latest revision of an invoice, as all facts of it make it."""

    issued: ev.InvoiceIssued
    open: int
    contested: int
    original_due_on: Day
    dunned_to: int


class Oracle:
    """What follows from a history, and from the decisions that were made on it.

    `currencies`: of accounts and groups whose own record has not come, as published.
    """

    def __init__(
        self,
        history: Iterable[Event],
        decisions: Iterable[OrderDecision],
        policies: PolicyBook,
        currencies: Mapping[str, str],
    ) -> None:
        self.worked_out: dict[tuple[Any, ...], Any] = {}
        self._policies = policies
        self._currencies = currencies
        self.events = list({(type(event), event.event_id): event for event in history}.values())
        self.decisions: dict[str, list[OrderDecision]] = defaultdict(list)
        for decision in decisions:
            self.decisions[decision.order_id].append(decision)
        self._facts: dict[tuple[type[Event], str], list[Event]] = defaultdict(list)
        self._owner: dict[str, str] = {}
        for event in self.events:
            for field in ("customer_id", "order_id", "invoice_id", "payment_id", "credit_note_id"):
                about = getattr(event, field, None)
                if about is not None:
                    self._facts[type(event), about].append(event)
                    if field != "customer_id":
                        self._owner.setdefault(about, event.customer_id)  # type: ignore[attr-defined]
        self.today: Day = max(day.date for day in self.all(ev.BusinessDayStarted))

    # ── facts ─────────────────────────────────────────────────────────────────────────────────────

    @remembered
    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if type(event) is kind]

    def about(self, kind: type[E], document_id: str) -> list[E]:
        """What was said of a customer or document, in the order of arrival."""
        return self._facts.get((kind, document_id), [])  # type: ignore[return-value]

    @remembered
    def latest(self, of: str, *kinds: type[Event]) -> Event | None:
        """Of facts that replace each other the one that arose last; of one instant the later one
        to arrive.
        """
        found = [event for event in self.events if type(event) in kinds and _concerns(event, of)]
        return max(reversed(found), key=lambda event: event.occurred_at, default=None)

    @cached_property
    def merged_into(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for event in self.all(ev.CustomersMerged):
            gone, survivor = event.merged_customer_id, event.customer_id
            while survivor in merged:
                survivor = merged[survivor]
            if gone not in merged and survivor != gone:
                merged[gone] = survivor
        return merged

    @remembered
    def account_of(self, customer_id: str) -> str:
        while customer_id in self.merged_into:
            customer_id = self.merged_into[customer_id]
        return customer_id

    def owner(self, document_id: str) -> str:
        return self.account_of(self._owner[document_id])

    @remembered
    def master(self, account_id: str) -> ev.CustomerUpserted | None:
        found = self.latest(account_id, ev.CustomerUpserted)
        assert found is None or isinstance(found, ev.CustomerUpserted)
        return found

    @remembered
    def group_record(self, group_id: str) -> ev.CreditGroupUpserted | None:
        found = self.latest(group_id, ev.CreditGroupUpserted)
        assert found is None or isinstance(found, ev.CreditGroupUpserted)
        return found

    @remembered
    def group_of(self, account_id: str) -> str | None:
        master = self.master(account_id)
        return None if master is None else master.group_id

    @remembered
    def members(self, group_id: str) -> list[str]:
        customers = {event.customer_id for event in self.all(ev.CustomerUpserted)}
        return sorted(
            one for one in customers - set(self.merged_into) if self.group_of(one) == group_id
        )

    @remembered
    def terms(self, account_id: str) -> Policy:
        master = self.master(account_id)
        segment = "" if master is None else master.segment or ""
        return self._policies.at(self.today).of(segment)

    def group_terms(self) -> Policy:
        return self._policies.at(self.today).base

    @remembered
    def currency(self, account_or_group_id: str) -> str:
        record = self.master(account_or_group_id) or self.group_record(account_or_group_id)
        if record is not None:
            return record.currency
        return self._currencies.get(account_or_group_id, "")

    # ── documents ─────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def orders(self) -> dict[str, Order]:
        placed: dict[str, ev.OrderPlaced] = {}
        for event in self.all(ev.OrderPlaced):
            placed.setdefault(event.order_id, event)
        return {order_id: self._order(order_id, first) for order_id, first in placed.items()}

    def _order(self, order_id: str, placed: ev.OrderPlaced) -> Order:
        total, changed_at, arrived = placed.amount, 0, -1
        change = self.latest(order_id, ev.OrderChanged)
        if isinstance(change, ev.OrderChanged):
            total, changed_at, arrived = (
                change.amount,
                change.occurred_at,
                self.events.index(change),
            )
        cancels = self.about(ev.OrderCancelled, order_id)
        for cancel in cancels:
            since = (cancel.occurred_at, self.events.index(cancel))
            if cancel.amount is not None and (change is None or since > (changed_at, arrived)):
                total = max(total - cancel.amount, 0)
        deliveries = self.about(ev.OrderDelivered, order_id)
        out = sum(one.amount or 0 for one in deliveries)
        if any(one.amount is None for one in deliveries):
            out = max(out, total)
        invoiced, is_invoiced, final = 0, False, False
        for invoice in self.revisions.values():
            parts = _parts(invoice)
            if order_id in parts and not self.about(ev.InvoiceCancelled, invoice.invoice_id):
                is_invoiced = True
                invoiced += parts[order_id] if invoice.currency == placed.currency else 0
                final = final or bool(invoice.final_for_order)
        ended = final or any(one.amount is None for one in cancels)
        told = self.decisions.get(order_id)
        return Order(
            order_id,
            placed,
            total,
            rest=0 if ended else max(total - max(out, invoiced), 0),
            delivered=0 if final else max(out - invoiced, 0),
            is_invoiced=is_invoiced,
            status=told[-1].decision if told else "",
        )

    @cached_property
    def revisions(self) -> dict[str, ev.InvoiceIssued]:
        """The latest revision of every invoice."""
        latest: dict[str, ev.InvoiceIssued] = {}
        for event in self.all(ev.InvoiceIssued):
            known = latest.get(event.invoice_id)
            if known is None or (event.revision or 0) > (known.revision or 0):
                latest[event.invoice_id] = event
        return latest

    @cached_property
    def invoices(self) -> dict[str, Invoice]:
        return {
            invoice_id: Invoice(
                issued,
                left := self._left(issued),
                self._contested(issued, left),
                min(one.due_on for one in self.about(ev.InvoiceIssued, invoice_id)),
                max((step.level for step in self._dunning(invoice_id)), default=0),
            )
            for invoice_id, issued in self.revisions.items()
        }

    def _left(self, invoice: ev.InvoiceIssued) -> int:
        """What is unpaid of it."""
        if self.about(ev.InvoiceCancelled, invoice.invoice_id):
            return 0
        paid = self.money[invoice.invoice_id].get(invoice.currency, 0)
        left = max(invoice.amount - paid, 0)
        small = in_minor(self.terms(self.owner(invoice.invoice_id)).small_balance, invoice.currency)
        if self.about(ev.InvoiceWrittenOff, invoice.invoice_id) or (paid and left <= small):
            return 0
        return left

    def _contested(self, invoice: ev.InvoiceIssued, left: int) -> int:
        """What of it is in dispute, or agreed to and not credited yet."""
        contested = agreed = 0
        disputed = self.about(ev.InvoiceDisputed, invoice.invoice_id)
        resolved = self.about(ev.DisputeResolved, invoice.invoice_id)
        named = {one.dispute_id for one in disputed} | {one.dispute_id for one in resolved}
        for dispute_id in named:
            amount = next((one.amount for one in disputed if one.dispute_id == dispute_id), None)
            ends = [one for one in resolved if one.dispute_id == dispute_id]
            end = max(reversed(ends), key=lambda one: one.occurred_at, default=None)
            if end is None:
                contested += left if amount is None else amount
            elif end.outcome != "rejected":
                given = amount if end.credited_amount is None else end.credited_amount
                agreed += invoice.amount if given is None else given
        credited = sum(
            note.amount
            for note in self.credit_notes.values()
            if note.invoice_id == invoice.invoice_id and note.currency == invoice.currency
        )
        return min(contested + max(agreed - credited, 0), left)

    def _dunning(self, invoice_id: str) -> list[ev.DunningStep]:
        return [
            step
            for step in self.all(ev.DunningStep)
            if any(dunned.invoice_id == invoice_id for dunned in step.invoices)
        ]

    @cached_property
    def credit_notes(self) -> dict[str, ev.CreditNoteIssued]:
        return {event.credit_note_id: event for event in self.all(ev.CreditNoteIssued)}

    @cached_property
    def payments(self) -> dict[str, ev.PaymentReceived]:
        """The payments that count: received, cleared, not taken back."""
        return {
            event.payment_id: event
            for event in self.all(ev.PaymentReceived)
            if (event.cleared is not False or self.about(ev.PaymentCleared, event.payment_id))
            and not self.about(ev.PaymentReversed, event.payment_id)
        }

    @cached_property
    def money(self) -> dict[str, dict[str, int]]:
        """By invoice and currency what is meant for it, by payments and credit notes."""
        meant: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for payment_id, payment in self.payments.items():
            left = payment.amount
            shares = [(part.invoice_id, part.amount) for part in payment.allocations]
            shares += [
                (later.invoice_id, later.amount)
                for later in self.about(ev.PaymentAllocated, payment_id)
            ]
            for invoice_id, amount in shares:
                if amount <= left:
                    meant[invoice_id][payment.currency] += amount
                    left -= amount
        for note in self.credit_notes.values():
            if note.invoice_id is not None:
                meant[note.invoice_id][note.currency] += note.amount
        return meant

    # ── accounts ──────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _books(self) -> dict[str, dict[str, Parts]]:
        books: dict[str, dict[str, Parts]] = defaultdict(lambda: defaultdict(Parts))
        for order_id, order in self.orders.items():
            parts = books[self.owner(order_id)][order.placed.currency]
            parts.delivered += self.counted(order, order.delivered)
            if order.status in ("approved", "released"):
                parts.orders += self.asked(order)
            elif order.status == "held":
                parts.held += self.asked(order)
        for invoice_id, invoice in self.invoices.items():
            issued = invoice.issued
            parts = books[self.owner(invoice_id)][issued.currency]
            parts.receivables += self._as_counted(
                self.owner(invoice_id), invoice.open, issued.amount, issued.net_amount
            )
            if issued.due_on < self.today:
                parts.overdue += invoice.open - invoice.contested
        # Money lowers what an invoice owes, and what it does not take is unapplied.
        documents: list[ev.PaymentReceived | ev.CreditNoteIssued] = [
            *self.payments.values(),
            *self.credit_notes.values(),
        ]
        for document in documents:
            document_id = _own_id(document)
            books[self.owner(document_id)][document.currency].unapplied += document.amount
        for invoice_id, meant in self.money.items():
            issued_or_none = self.revisions.get(invoice_id)
            if issued_or_none is None or self.about(ev.InvoiceCancelled, invoice_id):
                continue
            currency = issued_or_none.currency
            taken = min(meant.get(currency, 0), issued_or_none.amount)
            books[self.owner(invoice_id)][currency].unapplied -= taken
        return books

    @remembered
    def books(self, account_or_group_id: str) -> dict[str, Parts]:
        """What is open, by currency."""
        if account_or_group_id in self._books:
            return self._books[account_or_group_id]
        total: dict[str, Parts] = defaultdict(Parts)
        for member in self.members(account_or_group_id):
            for currency, parts in self._books.get(member, {}).items():
                total[currency].add(parts)
        return total

    def asked(self, order: Order) -> int:
        """What the order reserves if it has its credit, in its own currency."""
        horizon = self.terms(self.owner(order.order_id)).shipping_horizon_days
        deliver_on = order.placed.deliver_on
        if horizon is not None and deliver_on is not None and deliver_on > self.today + horizon:
            return 0
        return self.counted(order, order.rest)

    def counted(self, order: Order, amount: int) -> int:
        placed = order.placed
        return self._as_counted(
            self.owner(order.order_id), amount, placed.amount, placed.net_amount
        )

    def _as_counted(self, account_id: str, amount: int, gross: int, net: int | None) -> int:
        if net is None or not self.terms(account_id).net_of_vat:
            return amount
        return round(Fraction(amount * net, gross))

    @remembered
    def valued(self, account_or_group_id: str) -> Parts:
        """What is open in the own currency, every subtotal rounded once."""
        own = self.currency(account_or_group_id)
        total = Parts()
        for currency, parts in self.books(account_or_group_id).items():
            by, _ = self.rate(currency, own)
            for field in fields(Parts):
                if part := getattr(parts, field.name):
                    setattr(total, field.name, getattr(total, field.name) + round(part * by))
        return total

    @remembered
    def exact_exposure(self, account_or_group_id: str) -> Fraction:
        own = self.currency(account_or_group_id)
        books = self.books(account_or_group_id).items()
        return sum((self.exact(one.exposure, currency, own) for currency, one in books), Fraction())

    def exact(self, amount: int, currency: str, into: str) -> Fraction:
        return amount * self.rate(currency, into)[0]

    # ── rates ─────────────────────────────────────────────────────────────────────────────────────

    @remembered
    def rate(self, currency: str, into: str) -> tuple[Fraction, bool]:
        """(minor units per minor unit, whether it is fresh); zero when no rate says it."""
        if currency == into:
            return Fraction(1), True
        pivot = self.group_terms().fx_pivot
        direct = self._rate_of_pair(currency, into)
        if direct is None and pivot not in (currency, into):
            first = self._rate_of_pair(currency, pivot)
            second = self._rate_of_pair(pivot, into)
            if first is not None and second is not None:
                direct = first[0] * second[0], first[1] and second[1]
        return (Fraction(), False) if direct is None else direct

    @remembered
    def _rate_of_pair(self, base: str, quote: str) -> tuple[Fraction, bool] | None:
        if not base or not quote:
            return None
        found = [
            (one.valid_on, one.base == base, one.occurred_at, one.event_id, one)
            for one in self.all(ev.FxRatePublished)
            if {one.base, one.quote} == {base, quote} and one.valid_on <= self.today
        ]
        if not found:
            return None
        *_, latest = max(found, key=lambda one: one[:-1])
        price = Fraction(latest.rate) if latest.base == base else 1 / Fraction(latest.rate)
        fresh = self.today - latest.valid_on <= self.group_terms().fx_max_age_days
        return price * Fraction(10) ** (exponent(quote) - exponent(base)), fresh


def _parts(invoice: ev.InvoiceIssued) -> dict[str, int]:
    """What the invoice is for, by order."""
    if invoice.order_id is not None:
        return {invoice.order_id: invoice.amount}
    return {part.order_id: part.amount for part in invoice.orders}


def _own_id(document: ev.PaymentReceived | ev.CreditNoteIssued) -> str:
    if isinstance(document, ev.PaymentReceived):
        return document.payment_id
    return document.credit_note_id


def _concerns(event: Event, whom: str) -> bool:
    """Whether the event is of this customer, or of this document or group."""
    if isinstance(event, ev.CreditGroupUpserted):
        return event.group_id == whom
    return whom in (getattr(event, "customer_id", None), getattr(event, "order_id", None))
