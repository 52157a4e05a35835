"""A message on its way: proposed, queued, issued, and what becomes of it.

Laws, each held by a property test:

* no account gets two messages on a day;
* the level of an invoice rises only when a message was sent, and by one;
* a message that says what is no longer so is withdrawn.
"""

from __future__ import annotations

from hashlib import blake2b

from agents.credit import state
from agents.credit.case import Case, outgoing_id
from agents.dunning import records
from agents.dunning.agenda import look_on
from agents.dunning.handovers import handed_over
from agents.dunning.law import LawMissingError
from agents.dunning.letter import compose, step_of
from agents.dunning.procedure import Step
from agents.dunning.records import (
    CLOSED,
    ISSUED,
    PROPOSED,
    QUEUED,
    SENT,
    UNDER_WAY,
    WITHDRAWN,
    Debtor,
    Item,
    Message,
    Taken,
)
from agents.dunning.terms import (
    Terms,
    debtor_of,
    followed_of,
    put_debtor,
    put_followed,
    terms_of,
)
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import Day, DunningStepSettled, Instant

_ACCOUNT_CHARACTERS = 170
_REMEMBER_DAYS = 90
"""How long after it was issued a message is remembered that is no longer under way: a bounce may
still come.
"""


def message_of(case: Case, step_id: str) -> Message | None:
    message: Message | None = case.ledger.get(records.message_key(case.account_id, step_id))
    return message


def start_of(day: Day) -> Instant:
    """The instant at which what the run of a day says arose."""
    return day * MICROSECONDS_PER_DAY


def _short(account_id: str) -> str:
    """The id as it stands in a step's, which comes back and may be no longer than any other."""
    if len(account_id) <= _ACCOUNT_CHARACTERS:
        return account_id
    digest = blake2b(account_id.encode(), digest_size=16).hexdigest()
    return f"{account_id[: _ACCOUNT_CHARACTERS - 33]}~{digest}"


def begin(
    case: Case,
    terms: Terms,
    currency: str,
    items: list[Item],
    template: str,
    level: int,
    *,
    proposed: bool = False,
) -> tuple[str, Message]:
    """A new step under way, not issued yet."""
    debtor, today = terms.debtor, case.today
    _forget(case)
    if debtor.steps_on != today:
        debtor.steps_on, debtor.steps = today, 0
    debtor.steps += 1
    step_id = f"{_short(case.account_id)}/{format_day(today)}/{debtor.steps}"
    message = Message(
        state=PROPOSED if proposed else QUEUED,
        level=level,
        procedure=terms.procedure.name,
        template=template,
        currency=currency,
        items=items,
        channel="",
        attempt=1,
        issued_on=today,
    )
    debtor.under_way.append(step_id)
    case.account.messages += 1
    for item in message.items:
        followed = followed_of(case, item.invoice_id)
        followed.under_way = step_id
        put_followed(case, item.invoice_id, followed)
    return step_id, message


def issue(case: Case, terms: Terms, step_id: str, message: Message, at: Instant) -> None:
    """Send the message on its way by the first channel that can work, or propose it."""
    debtor = terms.debtor
    procedure = terms.book.procedures.named(message.procedure)
    if procedure is None:
        withdraw(case, debtor, step_id, message, "its procedure is gone", at)
        return
    step = step_of(procedure, message.level)
    channel = message.chosen_channel or _channel(terms, step, message)
    if not channel:
        debtor.unreachable = True
        if step is not None and not message.channel:
            message.channel = step.channels[0]
        _close(case, debtor, step_id, message, "undeliverable", "no channel is left", at)
        return
    message.channel = channel
    proposed = message.state == PROPOSED
    message.state = PROPOSED if proposed else ISSUED
    try:
        said = compose(case, terms, procedure, step_id, message, at)
    except LawMissingError as error:
        _close(case, debtor, step_id, message, "impossible", str(error), at)
        look_on(case, case.today + terms.procedure.min_days_between)
        return
    if not proposed:
        message.uncertain = False
        message.issued_on = debtor.attempted_on = case.today
        message.reminded_before = debtor.reminded_on
        if message.level:
            debtor.reminded_on = case.today
    _put(case, debtor, step_id, message)
    case.effects.append(said)


def take(
    case: Case, step_id: str, message: Message, on: Day, channel: str, skipped_by: str = ""
) -> None:
    """Have the items of a step reach its level, since it was sent, or a person skipped it."""
    book = case.policies.dunning
    procedure = None if book is None else book.procedures.named(message.procedure)
    for item in message.items:
        followed = followed_of(case, item.invoice_id)
        followed.taken.append(Taken(item.level, on, channel, step_id, skipped_by))
        if followed.under_way == step_id:
            followed.under_way = ""
        step = None if procedure is None else step_of(procedure, item.level)
        if item.level > followed.level:
            followed.level, followed.on = item.level, on
            if not skipped_by:
                if step is not None and step.notice:
                    followed.noticed_on, followed.noticed_by = on, channel
                _mark_invoice(case, item.invoice_id, item.level, step)
        put_followed(case, item.invoice_id, followed)


def withdraw(
    case: Case, debtor: Debtor, step_id: str, message: Message, why: str, at: Instant
) -> None:
    """A message is not to be sent: what it says is no longer so."""
    if message.state == ISSUED and message.level:
        debtor.reminded_on = message.reminded_before
    message.state = WITHDRAWN
    _end(case, debtor, step_id, message)
    tell(case, step_id, message, "withdrawn", at, why)
    look_on(case, case.today + 1)


def tell(
    case: Case,
    step_id: str,
    message: Message,
    outcome: str,
    at: Instant,
    detail: str | None = None,
    by: str | None = None,
    on: Day | None = None,
) -> None:
    """Say what became of a step."""
    case.effects.append(
        DunningStepSettled(
            event_id=outgoing_id(case.account_id, message.attempt, step_id, outcome),
            occurred_at=at,
            customer_id=case.account_id,
            step_id=step_id,
            level=message.level,
            outcome=outcome,
            channel=message.channel,
            attempt=message.attempt,
            on=case.today if on is None else on,
            detail=detail,
            by=by,
        )
    )


def sent(case: Case, debtor: Debtor, step_id: str, message: Message, on: Day) -> None:
    """It was sent: its items reach their level."""
    if message.level:
        debtor.reminded_on = max(on, debtor.reminded_on or on)
    debtor.attempted_on = max(on, debtor.attempted_on or on)
    take(case, step_id, message, on, message.channel)
    handed_over(case, debtor, step_id, message)
    message.state = SENT
    _end(case, debtor, step_id, message)
    look_on(case, case.today + 1)


def did_not_arrive(case: Case, debtor: Debtor, step_id: str, message: Message, at: Instant) -> None:
    """It goes again, by the next channel, as soon as a message may; a person has to know when there
    is none.
    """
    if debtor.reminded_on == message.issued_on:
        debtor.reminded_on = message.reminded_before
    if step_id not in debtor.under_way:  # it was thought to be sent
        debtor.under_way.append(step_id)
        case.account.messages += 1
    message.tried.append(message.channel)
    message.chosen_channel = ""
    terms = terms_of(case, debtor)
    procedure = None if terms is None else terms.book.procedures.named(message.procedure)
    if terms is not None and procedure is not None:
        step = step_of(procedure, message.level)
        if _channel(terms, step, message) is None:
            debtor.unreachable = True
            _close(case, debtor, step_id, message, "undeliverable", "no channel is left", at)
            return
    was_not_sent(case, debtor, step_id, message)


def was_not_sent(case: Case, debtor: Debtor, step_id: str, message: Message) -> None:
    """It never left: it goes again, the same way, as soon as a message may."""
    if debtor.reminded_on == message.issued_on:
        debtor.reminded_on = message.reminded_before
    message.attempt += 1
    message.state = QUEUED
    _put(case, debtor, step_id, message)
    look_on(case, case.today + 1)


def skip(case: Case, debtor: Debtor, step_id: str, message: Message, by: str) -> None:
    """A person does not want it sent; what follows it goes on from its level."""
    take(case, step_id, message, case.today, message.channel, skipped_by=by)
    message.state = CLOSED
    _end(case, debtor, step_id, message)
    look_on(case, case.today + 1)


def review(case: Case, at: Instant) -> None:
    """Withdraw what is under way and says what is no longer so: paid, contested, promised, paused,
    on its way to be paid.
    """
    debtor = debtor_of(case)
    for step_id in list(debtor.under_way):
        message = message_of(case, step_id)
        if message is None:
            continue
        why = _untrue(case, debtor, message)
        if why:
            withdraw(case, debtor, step_id, message, why, at)


def _untrue(case: Case, debtor: Debtor, message: Message) -> str:
    if debtor.is_paused(case.today):
        return "dunning is paused"
    for item in message.items:
        key = state.due_key(case.account_id, item.due_on, item.invoice_id)
        due: state.Due | None = case.ledger.get(key)
        if due is None or due.amount != item.amount:
            return f"what is due of invoice {item.invoice_id} is another amount now"
        if followed_of(case, item.invoice_id).is_deferred(case.today):
            return f"invoice {item.invoice_id} is paused, promised, or about to be collected"
    return ""


def _mark_invoice(case: Case, invoice_id: str, level: int, step: Step | None) -> None:
    """Have the order check see the level."""
    invoice: state.Invoice | None = case.ledger.get(state.invoice_key(case.account_id, invoice_id))
    if invoice is None:
        return
    case.begin()
    invoice.dunning_level = max(invoice.dunning_level, level)
    invoice.dunning_blocks = invoice.dunning_blocks or (step is not None and step.blocks_orders)
    case.rebook_invoice(invoice_id, invoice)


def _channel(terms: Terms, step: Step | None, message: Message) -> str | None:
    if step is not None:
        return terms.channel_for(step, message.tried)
    return "email" if terms.reaches("email") and "email" not in message.tried else None


def _close(
    case: Case,
    debtor: Debtor,
    step_id: str,
    message: Message,
    outcome: str,
    detail: str,
    at: Instant,
) -> None:
    message.state = CLOSED
    _end(case, debtor, step_id, message)
    tell(case, step_id, message, outcome, at, detail)


def _end(case: Case, debtor: Debtor, step_id: str, message: Message) -> None:
    """It is no longer under way; its items are free for another."""
    if step_id in debtor.under_way:
        debtor.under_way.remove(step_id)
        case.account.messages -= 1
    for item in message.items:
        followed = followed_of(case, item.invoice_id)
        if followed.under_way == step_id:
            followed.under_way = ""
            put_followed(case, item.invoice_id, followed)
    _put(case, debtor, step_id, message)


def _put(case: Case, debtor: Debtor, step_id: str, message: Message) -> None:
    case.ledger.put(records.message_key(case.account_id, step_id), message)
    put_debtor(case, debtor)


def _forget(case: Case) -> None:
    """Drop messages of long ago."""
    for key, message in list(case.ledger.scan(*records.message_range(case.account_id))):
        if message.state not in UNDER_WAY and message.issued_on < case.today - _REMEMBER_DAYS:
            case.ledger.delete(key)
