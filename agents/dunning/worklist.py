"""The steps that are under way in a partition, and what each of them waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from agents.core.ledger import Ledger
from agents.credit import state
from agents.dunning import records
from agents.dunning.records import Debtor, Message
from schemas.events import Day, Minor

Task = Literal["approve", "call", "hand over", "find out", "find a contact", "none"]
_OF_CHANNEL: dict[str, Task] = {"phone": "call", "agency": "hand over", "legal": "hand over"}


HANDED_OVER = "handed over"
"""State of a step by which somebody else has the claim."""


class OpenStep(msgspec.Struct, frozen=True):
    """A step that is under way.

    Attributes:
        task: what a person has to do: approve it, call, hand the claim over, find out whether it
            was sent, or find out how the customer can be reached, for which there is no step;
            `none` while it is on its way, or goes as soon as a message may.
        state: `proposed`, `queued` or `issued`; `handed over` when somebody else collects it.
        amount: what is open of its invoices, in minor units of `currency`.
        since: the day on which it was proposed or issued.
    """

    customer_id: str
    name: str
    task: Task
    step_id: str
    attempt: int
    state: str
    level: int
    template: str
    channel: str
    invoice_ids: list[str]
    amount: Minor
    currency: str
    since: Day


def open_steps(ledger: Ledger) -> Iterator[OpenStep]:
    """All of them by customer, what was handed over, and a customer whom nothing reaches."""
    for account_id in state.accounts(ledger):
        debtor: Debtor | None = ledger.get(records.debtor_key(account_id))
        if debtor is None:
            continue
        for step_id in debtor.under_way:
            message: Message | None = ledger.get(records.message_key(account_id, step_id))
            if message is not None:
                yield _open(account_id, debtor, step_id, message)
        for step_id in dict.fromkeys(one.step_id for one in debtor.handed):
            yield _handed(account_id, debtor, step_id)
        if debtor.unreachable:
            yield OpenStep(
                account_id, debtor.name or "", "find a contact", "", 0, "", 0, "", "", [], 0, "",
                debtor.attempted_on or 0,
            )  # fmt: skip


def _open(account_id: str, debtor: Debtor, step_id: str, message: Message) -> OpenStep:
    return OpenStep(
        customer_id=account_id,
        name=debtor.name or "",
        task=_task(message),
        step_id=step_id,
        attempt=message.attempt,
        state=message.state,
        level=message.level,
        template=message.template,
        channel=message.channel,
        invoice_ids=[item.invoice_id for item in message.items],
        amount=sum(item.amount for item in message.items),
        currency=message.currency,
        since=message.issued_on,
    )


def _handed(account_id: str, debtor: Debtor, step_id: str) -> OpenStep:
    of_step = [one for one in debtor.handed if one.step_id == step_id]
    first = of_step[0]
    return OpenStep(
        customer_id=account_id,
        name=debtor.name or "",
        task="none",
        step_id=step_id,
        attempt=first.attempt,
        state=HANDED_OVER,
        level=max(one.level for one in of_step),
        template="",
        channel=first.channel,
        invoice_ids=[one.invoice_id for one in of_step],
        amount=sum(one.open for one in of_step),
        currency=first.currency,
        since=first.on,
    )


def _task(message: Message) -> Task:
    match message.state:
        case records.PROPOSED:
            return "approve"
        case records.ISSUED if message.uncertain:
            return "find out"
        case records.ISSUED:
            return _OF_CHANNEL.get(message.channel, "none")
        case _:
            return "none"
