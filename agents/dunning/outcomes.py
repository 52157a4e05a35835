"""What carriers and people say of steps. One function per event."""

from __future__ import annotations

from agents.credit.case import Case
from agents.dunning import messages, records
from agents.dunning.agenda import look_on
from agents.dunning.handovers import recall
from agents.dunning.messages import message_of
from agents.dunning.records import CLOSED, ISSUED, PROPOSED, QUEUED, SENT, WITHDRAWN, Message
from agents.dunning.terms import debtor_of, put_debtor
from schemas.events import DunningStepDecided, DunningStepReported


def step_reported(case: Case, event: DunningStepReported) -> None:
    """Follow what became of an attempt. What was said of it already is passed over."""
    message = _known(case, event)
    if message is None or event.attempt != message.attempt:
        return
    debtor = debtor_of(case)
    if event.result == "sent":
        # It may have left just before it was withdrawn; then it was sent all the same.
        if message.state in (ISSUED, WITHDRAWN):
            message.channel = event.channel
            messages.sent(case, debtor, event.step_id, message, event.on)
            messages.tell(
                case, event.step_id, message, "sent", event.occurred_at, event.detail, on=event.on
            )
    elif event.result == "late":
        if message.state == ISSUED:
            messages.withdraw(
                case, debtor, event.step_id, message, "it could not be sent in time",
                event.occurred_at,
            )  # fmt: skip
    elif event.result == "uncertain":
        if message.state == ISSUED:
            message.uncertain = True
            case.ledger.put(records.message_key(case.account_id, event.step_id), message)
            messages.tell(
                case, event.step_id, message, "uncertain", event.occurred_at, event.detail,
                on=event.on,
            )  # fmt: skip
    elif event.result == "unsent":
        if message.state == ISSUED:
            messages.tell(
                case, event.step_id, message, "unsent", event.occurred_at, event.detail, on=event.on
            )
            messages.was_not_sent(case, debtor, event.step_id, message)
    elif message.state in (ISSUED, SENT):
        message.channel = event.channel
        messages.tell(
            case, event.step_id, message, event.result, event.occurred_at, event.detail,
            on=event.on,
        )  # fmt: skip
        messages.did_not_arrive(case, debtor, event.step_id, message, event.occurred_at)


def step_decided(case: Case, event: DunningStepDecided) -> None:
    """Queue a proposed step, or pass it over; or take back what a step handed over."""
    if event.decision == "recall":
        recall(case, event)
        return
    message = _known(case, event)
    if message is None:
        return
    if message.state != PROPOSED:
        if message.state in (WITHDRAWN, CLOSED):
            case.refuse(
                "step_not_proposed", "step_id", f"step {event.step_id} is no longer proposed"
            )
        return
    debtor = debtor_of(case)
    if event.decision == "skip":
        messages.skip(case, debtor, event.step_id, message, event.by)
        messages.tell(
            case, event.step_id, message, "skipped", event.occurred_at, event.reason, event.by
        )
        return
    message.state = QUEUED
    message.chosen_channel = event.channel or ""
    put_debtor(case, debtor)
    case.ledger.put(records.message_key(case.account_id, event.step_id), message)
    look_on(case, case.today + 1)


def _known(case: Case, event: DunningStepReported | DunningStepDecided) -> Message | None:
    message = message_of(case, event.step_id)
    if message is None:
        case.refuse("unknown_step", "step_id", f"step {event.step_id} is not known")
    return message
