"""The dossier of a claim: what is owed and why, and all that was done about it. Pure.

Every table is made of the events themselves; what is open of an invoice is what the rules say that
those events come to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.case import Case
from agents.credit.obstacles import look_at
from agents.dunning import records
from agents.dunning.claim import Claim
from agents.dunning.claim_shown import json_of
from agents.dunning.itemised import day_of_letter
from agents.dunning.promises import open_of
from agents.dunning.records import Promise
from agents.handover.history import History
from agents.journal.entries import Entry
from agents.journal.in_order import in_order
from agents.notify.creditor import Creditor
from agents.simulate import Simulation
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import Day, DunningStep, DunningStepSettled, Event, Minor
from schemas.json_lines import to_line
from schemas.money import format_amount

_ToldLater = ev.PaymentCleared | ev.PaymentAllocated | ev.PaymentReversed
"""What may be told of a payment after it was received."""


class ContactRow(msgspec.Struct, frozen=True):
    since: str
    name: str
    email: str
    phone: str
    country: str
    language: str


class InvoiceRow(msgspec.Struct, frozen=True):
    invoice_id: str
    order_ids: str
    issued_on: str
    due_on: str
    days_overdue: int
    currency: str
    amount: str
    credited: str
    paid: str
    open: str
    disputed: str


class PaymentRow(msgspec.Struct, frozen=True):
    payment_id: str
    value_on: str
    currency: str
    amount: str
    status: str
    invoice_id: str
    for_invoice: str
    """What of it was meant for the invoice; a row per invoice."""


class DisputeRow(msgspec.Struct, frozen=True):
    invoice_id: str
    dispute_id: str
    opened_on: str
    reason: str
    amount: str
    outcome: str
    resolved_on: str


class PromiseRow(msgspec.Struct, frozen=True):
    promise_id: str
    kind: str
    made_on: str
    invoice_ids: str
    instalments: str
    status: str


class StepRow(msgspec.Struct, frozen=True):
    step_id: str
    attempt: int
    on: str
    level: int
    template: str
    channel: str
    to: str
    invoice_ids: str
    currency: str
    principal: str
    interest: str
    costs: str
    pay_by: str
    legal_basis: str
    outcome: str
    outcome_on: str
    detail: str
    by: str
    letter: str
    """The file that has its words."""


class JournalRow(msgspec.Struct, frozen=True):
    partition: int
    offset: int
    occurred_on: str
    type: str
    event_id: str
    event: str


class Dossier(msgspec.Struct, frozen=True):
    """Amounts are texts in major units, days as in 2026-03-31; nothing is empty but for a reason.

    Attributes:
        claim: principal, interest and costs, line by line, with the laws behind them.
        letters: file name, subject and words of each letter that was written.
    """

    step_id: str
    made_on: str
    to: str
    customer_id: str
    kind: str
    currency: str
    principal: str
    interest: str
    costs: str
    total: str
    legal_basis: str
    creditor: Creditor
    claim: dict[str, Any]
    contacts: list[ContactRow]
    invoices: list[InvoiceRow]
    payments: list[PaymentRow]
    disputes: list[DisputeRow]
    promises: list[PromiseRow]
    steps: list[StepRow]
    journal: list[JournalRow]
    letters: list[ev.LetterWritten]

    @property
    def name(self) -> str:
        return self.contacts[-1].name if self.contacts else ""


def build(
    step: DunningStep, claim: Claim, history: History, policies: PolicyBook, creditor: Creditor
) -> Dossier:
    """The dossier of the claim that a step hands over.

    Args:
        step: the handover.
        claim: what it asks, itemised.
        history: of the customer, complete.
        policies: by which the history is counted.
        creditor: whose claim it is.
    """
    simulation = Simulation(policies)
    for event in in_order(iter(part) for part in history.partitions):
        for _ in simulation.feed(event):
            pass
    today = max(day_of_letter(step), simulation.ledger.get(state.BUSINESS_DAY) or 0)
    case = look_at(simulation.ledger, policies, step.customer_id, today)
    mine = _Mine(step)
    own = [entry for entry in history.own if mine.concerns(entry.event)]
    letters = _letters(history, mine)
    return Dossier(
        step_id=step.step_id,
        made_on=format_day(day_of_letter(step)),
        to=step.channel,
        customer_id=step.customer_id,
        kind=step.kind or "b2b",
        currency=step.currency,
        principal=_money(step.principal, step.currency),
        interest=_money(step.interest, step.currency),
        costs=_money(step.costs, step.currency),
        total=_money(step.principal + step.interest + step.costs, step.currency),
        legal_basis=step.legal_basis,
        creditor=creditor,
        claim=json_of(claim),
        contacts=list(_contacts(own, step.customer_id)),
        invoices=[_invoice(case, one.invoice_id, today) for one in step.invoices],
        payments=list(_payments(own, mine)),
        disputes=list(_disputes(own, mine, step.currency)),
        promises=list(_promises(own, mine, case, step.currency)),
        steps=list(_steps(history, mine, letters)),
        journal=[_journal(entry, step.currency) for entry in own],
        letters=list(letters.values()),
    )


def letter_file(letter: ev.LetterWritten, number: int) -> str:
    """The name of the file with a letter's words, without its ending."""
    day = format_day(letter.occurred_at // MICROSECONDS_PER_DAY)
    return f"letters/{number:02d}-{day}-{letter.channel}"


# ── which events belong to the claim ────────────────────────────────────────────────────────────


class _Mine:
    """The claimed invoices under the names that events have for them. After a merger the invoice
    `I-1` of customer `C-2` is kept as `C-2/I-1` where the other customer had an `I-1` too.
    """

    def __init__(self, step: DunningStep) -> None:
        self.claimed = {one.invoice_id for one in step.invoices}
        self._customer_id = step.customer_id

    def here(self, customer_id: str, invoice_id: str) -> str:
        """The name of an event's invoice in the account."""
        prefixed = f"{customer_id}/{invoice_id}"
        if customer_id != self._customer_id and prefixed in self.claimed:
            return prefixed
        return invoice_id

    def is_claimed(self, customer_id: str, invoice_id: str | None) -> bool:
        return invoice_id is not None and self.here(customer_id, invoice_id) in self.claimed

    def concerns(self, event: Event) -> bool:
        """Whether it is about a claimed invoice, about money, or about who the customer is."""
        match event:
            case ev.CustomerUpserted() | ev.CustomersMerged():
                return True
            case (
                ev.PaymentReceived() | ev.PaymentCleared() | ev.PaymentAllocated()
                | ev.PaymentReversed() | ev.PaymentFailed()
            ):  # fmt: skip
                return True
            case (
                ev.InvoiceIssued() | ev.InvoiceCancelled() | ev.InvoiceWrittenOff()
                | ev.InvoiceDisputed() | ev.DisputeResolved() | ev.CreditNoteIssued()
            ):  # fmt: skip
                return self.is_claimed(event.customer_id, event.invoice_id)
            case ev.DunningPaused() | ev.DunningResumed():
                return event.invoice_id is None or self.is_claimed(
                    event.customer_id, event.invoice_id
                )
            case ev.PromiseToPayMade() | ev.PaymentPlanAgreed() | ev.PaymentPlanCancelled():
                return not event.invoice_ids or any(
                    self.is_claimed(event.customer_id, one) for one in event.invoice_ids
                )
            case ev.DunningStepReported() | ev.DunningStepDecided():
                return True
            case _:
                return False


# ── the tables ──────────────────────────────────────────────────────────────────────────────────


def _contacts(own: Iterable[Entry], customer_id: str) -> Iterator[ContactRow]:
    last = None
    for entry in own:
        event = entry.event
        if not isinstance(event, ev.CustomerUpserted) or event.customer_id != customer_id:
            continue
        row = ContactRow(
            "",
            event.name or "",
            event.email or "",
            event.phone or "",
            event.country or "",
            event.language or "",
        )
        if row != last:
            yield msgspec.structs.replace(row, since=_day(event))
        last = row


def _invoice(case: Case, invoice_id: str, today: Day) -> InvoiceRow:
    invoice: state.Invoice = case.ledger.get(state.invoice_key(case.account_id, invoice_id))
    applied = invoice.applied.get(invoice.currency, state.Applied())
    rest = open_of(case, invoice_id)
    return InvoiceRow(
        invoice_id=invoice_id,
        order_ids=" ".join(part.order_id for part in invoice.parts),
        issued_on=format_day(invoice.issued_on),
        due_on=format_day(invoice.due_on),
        days_overdue=max(today - invoice.due_on, 0),
        currency=invoice.currency,
        amount=_money(invoice.amount, invoice.currency),
        credited=_money(applied.credited, invoice.currency),
        paid=_money(applied.amount - applied.credited, invoice.currency),
        open=_money(rest, invoice.currency),
        disputed=_money(rest - invoice.booked_due, invoice.currency),
    )


def _payments(own: list[Entry], mine: _Mine) -> Iterator[PaymentRow]:
    """Every payment of the customer; one that is for several invoices has a row for each."""
    received: dict[tuple[str, str], ev.PaymentReceived] = {}
    told_later: defaultdict[tuple[str, str], list[_ToldLater]] = defaultdict(list)
    for entry in own:
        event = entry.event
        if isinstance(event, ev.PaymentReceived):
            received.setdefault((event.customer_id, event.payment_id), event)
        elif isinstance(event, _ToldLater):
            told_later[event.customer_id, event.payment_id].append(event)
    for (customer_id, payment_id), payment in received.items():
        later = told_later[customer_id, payment_id]
        parts = [(part.invoice_id, part.amount) for part in payment.allocations]
        parts += [
            (one.invoice_id, one.amount) for one in later if isinstance(one, ev.PaymentAllocated)
        ]
        for invoice_id, amount in parts or [("", 0)]:
            yield PaymentRow(
                payment_id=payment_id,
                value_on=format_day(payment.value_on),
                currency=payment.currency,
                amount=_money(payment.amount, payment.currency),
                status=_status(payment, later),
                invoice_id=mine.here(customer_id, invoice_id),
                for_invoice=_money(amount, payment.currency) if invoice_id else "",
            )


def _status(payment: ev.PaymentReceived, later: Sequence[Event]) -> str:
    for one in later:
        if isinstance(one, ev.PaymentReversed):
            return f"reversed on {_day(one)}: {one.reason}"
    cleared = payment.cleared is not False or any(
        isinstance(one, ev.PaymentCleared) for one in later
    )
    return "cleared" if cleared else "not cleared"


def _disputes(own: list[Entry], mine: _Mine, currency: str) -> Iterator[DisputeRow]:
    resolved: dict[tuple[str, str], ev.DisputeResolved] = {}
    for entry in own:
        if isinstance(entry.event, ev.DisputeResolved):
            resolved[entry.event.invoice_id, entry.event.dispute_id] = entry.event
    for entry in own:
        event = entry.event
        if not isinstance(event, ev.InvoiceDisputed):
            continue
        end = resolved.get((event.invoice_id, event.dispute_id))
        yield DisputeRow(
            invoice_id=mine.here(event.customer_id, event.invoice_id),
            dispute_id=event.dispute_id,
            opened_on=_day(event),
            reason=event.reason,
            amount="all of it" if event.amount is None else _money(event.amount, currency),
            outcome="open" if end is None else end.outcome,
            resolved_on="" if end is None else _day(end),
        )


def _promises(own: list[Entry], mine: _Mine, case: Case, currency: str) -> Iterator[PromiseRow]:
    for entry in own:
        event = entry.event
        match event:
            case ev.PromiseToPayMade():
                name, kind, dues = event.promise_id, "promise", [(event.promised_on, event.amount)]
            case ev.PaymentPlanAgreed():
                name, kind = event.plan_id, "plan"
                dues = [(one.due_on, one.amount) for one in event.instalments]
            case _:
                continue
        kept: Promise | None = case.ledger.get(records.promise_key(case.account_id, name))
        yield PromiseRow(
            promise_id=name,
            kind=kind,
            made_on=_day(event),
            invoice_ids=" ".join(mine.here(event.customer_id, one) for one in event.invoice_ids),
            instalments="; ".join(
                f"{format_day(on)}: {_money(amount, currency)}" for on, amount in dues
            ),
            status="running" if kept is None or not kept.outcome else kept.outcome,
        )


def _steps(
    history: History, mine: _Mine, letters: dict[tuple[str, int], ev.LetterWritten]
) -> Iterator[StepRow]:
    outcomes: dict[tuple[str, int], DunningStepSettled] = {}
    for event in history.steps:
        if isinstance(event, DunningStepSettled):
            outcomes[event.step_id, event.attempt] = event
    files = {key: letter_file(one, number) for number, (key, one) in enumerate(letters.items(), 1)}
    for event in history.steps:
        if not isinstance(event, DunningStep) or event.proposed or not _is_about(event, mine):
            continue
        key = (event.step_id, event.attempt or 1)
        end = outcomes.get(key)
        letter = letters.get(key)
        yield StepRow(
            step_id=event.step_id,
            attempt=event.attempt or 1,
            on=_day(event),
            level=event.level,
            template=event.template,
            channel=event.channel,
            to="" if letter is None else letter.to,
            invoice_ids=" ".join(one.invoice_id for one in event.invoices),
            currency=event.currency,
            principal=_money(event.principal, event.currency),
            interest=_money(event.interest, event.currency),
            costs=_money(event.costs, event.currency),
            pay_by=format_day(event.pay_by),
            legal_basis=event.legal_basis,
            outcome="" if end is None else end.outcome,
            outcome_on="" if end is None else format_day(end.on),
            detail="" if end is None else end.detail or "",
            by="" if end is None else end.by or "",
            letter="" if letter is None else f"{files[key]}.txt",
        )


def _is_about(step: DunningStep, mine: _Mine) -> bool:
    return any(mine.is_claimed(step.customer_id, one.invoice_id) for one in step.invoices)


def _letters(history: History, mine: _Mine) -> dict[tuple[str, int], ev.LetterWritten]:
    """Those of steps about claimed invoices, the first one first."""
    about = {
        (one.step_id, one.attempt or 1)
        for one in history.steps
        if isinstance(one, DunningStep) and _is_about(one, mine)
    }
    found = [(key, one) for key, one in history.letters.items() if key in about]
    return dict(sorted(found, key=lambda pair: (pair[1].occurred_at, pair[0])))


def _journal(entry: Entry, currency: str) -> JournalRow:
    return JournalRow(
        partition=entry.partition,
        offset=entry.offset,
        occurred_on=_day(entry.event),
        type=type(entry.event).__name__,
        event_id=entry.event.event_id,
        event=to_line(entry.event, currency),
    )


def _day(event: Event) -> str:
    return format_day(event.occurred_at // MICROSECONDS_PER_DAY)


def _money(amount: Minor, currency: str) -> str:
    return format_amount(amount, currency)
