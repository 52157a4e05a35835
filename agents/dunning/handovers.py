"""A claim that somebody else collects: what is paid on it since is told to them, and a person may
call it back.

Laws, each held by a property test:

* what was told last of an invoice is what is open of it, after every event;
* nothing is told of what was called back.
"""

from __future__ import annotations

from agents.credit import state
from agents.credit.case import Case
from agents.credit.stamps import supersedes
from agents.dunning.procedure import HANDOVERS
from agents.dunning.promises import open_of
from agents.dunning.records import Debtor, Followed, Handed, Message
from agents.dunning.terms import debtor_of, followed_of, put_debtor, put_followed
from schemas.events import (
    DunningStepDecided,
    DunningStepSettled,
    HandedInvoice,
    HandoverChanged,
)


def handed_over(case: Case, debtor: Debtor, step_id: str, message: Message) -> None:
    """The claim went to whoever the step hands it to, if it does."""
    if message.channel not in HANDOVERS:
        return
    for item in message.items:
        debtor.handed.append(
            Handed(
                item.invoice_id,
                step_id,
                message.attempt,
                item.level,
                message.procedure,
                message.channel,
                message.currency,
                item.amount,
                case.today,
            )
        )
    case.account.handed = len(debtor.handed)


def follow_handed(case: Case) -> None:
    """Tell what has changed of the amounts that were handed over."""
    debtor = debtor_of(case)
    changed: dict[tuple[str, str, str], list[HandedInvoice]] = {}
    for one in debtor.handed:
        now = open_of(case, one.invoice_id)
        if now != one.open:
            told = HandedInvoice(invoice_id=one.invoice_id, open_before=one.open, open_after=now)
            changed.setdefault((one.step_id, one.channel, one.currency), []).append(told)
            one.open = now
    if not changed:
        return
    for (step_id, channel, currency), invoices in changed.items():
        case.effects.append(
            HandoverChanged(
                event_id=case.next_id(),
                occurred_at=case.at,
                customer_id=case.account_id,
                step_id=step_id,
                channel=channel,
                kind="amounts",
                currency=currency,
                invoices=invoices,
                on=case.today,
                cause_event_id=case.cause,
            )
        )
    debtor.handed = [one for one in debtor.handed if one.open or _is_remembered(case, one)]
    case.account.handed = len(debtor.handed)
    put_debtor(case, debtor)


def recall(case: Case, event: DunningStepDecided) -> None:
    """Take a claim back. Its invoices are one level lower again, and nothing is sent about them
    until a person resumes that.
    """
    debtor = debtor_of(case)
    recalled = [one for one in debtor.handed if one.step_id == event.step_id]
    if not recalled:
        case.refuse(
            "step_not_handed_over", "step_id", f"step {event.step_id} has handed nothing over"
        )
        return
    debtor.handed = [one for one in debtor.handed if one.step_id != event.step_id]
    case.account.handed = len(debtor.handed)
    put_debtor(case, debtor)
    for one in recalled:
        _step_back(case, one, event)
    first = recalled[0]
    case.effects.append(
        HandoverChanged(
            event_id=case.next_id(),
            occurred_at=event.occurred_at,
            customer_id=case.account_id,
            step_id=event.step_id,
            channel=first.channel,
            kind="recalled",
            currency=first.currency,
            invoices=[
                HandedInvoice(invoice_id=one.invoice_id, open_before=one.open, open_after=one.open)
                for one in recalled
            ],
            on=case.today,
            by=event.by,
            reason=event.reason,
            cause_event_id=case.cause,
        )
    )
    case.effects.append(
        DunningStepSettled(
            event_id=case.next_id(),
            occurred_at=event.occurred_at,
            customer_id=case.account_id,
            step_id=event.step_id,
            level=max(one.level for one in recalled),
            outcome="recalled",
            channel=first.channel,
            attempt=first.attempt,
            on=case.today,
            detail=event.reason,
            by=event.by,
        )
    )


def _step_back(case: Case, handed: Handed, event: DunningStepDecided) -> None:
    followed = followed_of(case, handed.invoice_id)
    before = [one for one in followed.taken if one.level < handed.level]
    followed.level, followed.on = (before[-1].level, before[-1].on) if before else (0, None)
    if supersedes(followed.pause, event):
        followed.paused, followed.paused_until = True, None
    put_followed(case, handed.invoice_id, followed)
    invoice: state.Invoice | None = case.ledger.get(
        state.invoice_key(case.account_id, handed.invoice_id)
    )
    if invoice is not None:
        invoice.dunning_level = followed.level
        invoice.dunning_blocks = _blocks(case, handed, followed)
        case.rebook_invoice(handed.invoice_id, invoice)


def _blocks(case: Case, handed: Handed, followed: Followed) -> bool:
    """Whether a step that still counts holds orders."""
    book = case.policies.dunning
    procedure = None if book is None else book.procedures.named(handed.procedure)
    steps = () if procedure is None else procedure.steps[: followed.level]
    skipped = {one.level for one in followed.taken if one.skipped_by}
    return any(step.blocks_orders and step.level not in skipped for step in steps)


def _is_remembered(case: Case, handed: Handed) -> bool:
    """Whether the invoice may still be opened again, since a payment for it is taken back."""
    key = state.invoice_key(case.account_id, handed.invoice_id)
    return case.ledger.get(key) is not None
