"""Some months of real receivables that end yesterday, dunned, promised, contested and held: what a
firm's dashboards have to show.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from dunning.dunned_year import DunnedCourse, moved

from agents.core.policy import PolicyBook
from agents.demo.history import ORDER_LEAD_DAYS, SettledInvoice, events_of, read_settled_invoices
from agents.dunning.book import DunningBook
from agents.law_files import load_laws
from agents.policy_file import load_policy
from agents.portal.answers import REASONS
from agents.procedure_files import load_procedures
from agents.working_days import known_holidays
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, day_of
from schemas.events import Day, Event

PROCEDURE = """
kind = "b2b"
min_days_between = 5

[[steps]]
days = 2
channels = ["email"]
template = "friendly_reminder"

[[steps]]
days = 12
channels = ["email"]
template = "second_reminder"

[[steps]]
days = 22
channels = ["phone"]
template = "call"
proposed = true

[[steps]]
days = 32
channels = ["email", "letter"]
template = "final_notice"
blocks_orders = true
"""
_LAST_DAY = day_of(dt.date(2013, 9, 30))
"""Of the file, on which much is going on."""
_MONTHS_DAYS = 170
_LATENESS = 5
_GROUPS = 2
_RELEASED = 0.2
"""Share of held orders that a person releases."""
_LAST_DAYS = 25
_PROMISED = 0.5
"""Share of the steps of the last days upon which a customer promises to pay."""
_NEW = {"N-0": 2, "N-1": 2, "N-2": 2, "N-3": 28, "N-4": 28}
"""New customers, and for how many days their invoice has been due: a first reminder is due today,
or a call was proposed some days ago.
"""
_HOUR = MICROSECONDS_PER_DAY // 24


class RecentMonths(DunnedCourse):
    """What came in until yesterday, and what went out.

    Args:
        today: the day after the last one.
        procedures: the directory with `PROCEDURE`.
    """

    def __init__(self, today: Day, procedures: Path) -> None:
        book = DunningBook(load_procedures(procedures), load_laws(None), known_holidays)
        history = [
            *_groups(today),
            *map(_dressed, events_of(_invoices(today))),
            *_new(today),
        ]
        history.sort(key=lambda event: event.occurred_at)
        first = history[0].occurred_at // MICROSECONDS_PER_DAY
        self._late = (today - _LAST_DAYS) * MICROSECONDS_PER_DAY
        policy: PolicyBook = load_policy(None).with_dunning(book)
        super().__init__(11, history, policy, today - first)

    def answers_to(self, effect: Event) -> Iterator[Event]:
        """Besides, somebody releases orders on hold; in the last days nobody decides about steps
        any more, and customers promise for days that are still to come.
        """
        match effect:
            case ev.DunningStep(proposed=True) if effect.occurred_at > self._late:
                return
            case ev.DunningStep() if effect.occurred_at > self._late:
                yield _sent(effect)
                if effect.customer_id not in _NEW and self._chance.random() < _PROMISED:
                    yield _promise(effect)
            case ev.OrderDecision(decision="held") if self._chance.random() < _RELEASED:
                yield ev.OrderReleased(
                    event_id=f"released-{effect.event_id}",
                    occurred_at=effect.occurred_at + self._chance.randint(3, 60) * _HOUR,
                    customer_id=effect.customer_id,
                    order_id=effect.order_id,
                    by=self._chance.choice(["ann", "bob"]),
                    reason="knows them well",
                )
            case _:
                yield from super().answers_to(effect)


def _sent(step: ev.DunningStep) -> Event:
    return ev.DunningStepReported(
        event_id=f"reported-{step.event_id}",
        occurred_at=step.occurred_at + _HOUR,
        customer_id=step.customer_id,
        step_id=step.step_id,
        attempt=step.attempt or 1,
        channel=step.channel,
        result="sent",
        on=step.occurred_at // MICROSECONDS_PER_DAY,
    )


def _promise(step: ev.DunningStep) -> Event:
    one = step.invoices[0]
    return ev.PromiseToPayMade(
        event_id=f"said-{step.event_id}",
        occurred_at=step.occurred_at + 5 * _HOUR,
        customer_id=step.customer_id,
        promise_id=f"R-{step.event_id}",
        invoice_ids=[one.invoice_id],
        amount=one.open_amount,
        promised_on=step.occurred_at // MICROSECONDS_PER_DAY + 30,
    )


def _invoices(today: Day) -> list[SettledInvoice]:
    found = [one for one in read_settled_invoices() if one.issued_on > _LAST_DAY - _MONTHS_DAYS]
    return [moved(one, today - 1 - _LAST_DAY, _LATENESS) for one in found]


def _groups(today: Day) -> list[Event]:
    """Customers whose number ends so belong to one, with a limit over all of them."""
    at = (today - _MONTHS_DAYS - ORDER_LEAD_DAYS) * MICROSECONDS_PER_DAY
    return [
        ev.CreditGroupUpserted(
            event_id=f"group-{number}",
            occurred_at=at,
            group_id=f"G-{number}",
            currency="EUR",
            credit_limit=1_000_00,
        )
        for number in range(_GROUPS)
    ]


def _new(today: Day) -> Iterator[Event]:
    for customer_id, days_due in _NEW.items():
        said: dict[str, Any] = {
            "customer_id": customer_id,
            "currency": "EUR",
            "occurred_at": (today - 60) * MICROSECONDS_PER_DAY,
        }
        yield ev.CustomerUpserted(
            **said,
            event_id=f"new-{customer_id}",
            credit_limit=1_000_00,
            kind="b2b",
            country="NL",
            email=f"{customer_id}@customers.example".lower(),
        )
        yield ev.InvoiceIssued(
            **said,
            event_id=f"due-{customer_id}",
            invoice_id=f"{customer_id}-1",
            amount=80_00,
            issued_on=today - 60,
            due_on=today - days_due,
        )


def _dressed(event: Event) -> Event:
    """In euros; customers of three segments, some in groups; disputes for all kinds of reasons."""
    changes: dict[str, object] = {}
    if "currency" in event.__struct_fields__:
        changes["currency"] = "EUR"
    chance = random.Random(event.event_id)
    match event:
        case ev.CustomerUpserted():
            group = chance.choice([*(f"G-{n}" for n in range(_GROUPS)), *[None] * 18])
            changes |= {
                # What a member owes goes by way of the group's partition, so when a day begins
                # there is not decided here; no procedure is for them: no step depends on it.
                "kind": "b2b" if group is None else "b2c",
                "country": "NL",
                "segment": chance.choice(["retail", "wholesale", None]),
                "group_id": group,
                "email": f"{event.customer_id}@customers.example".lower(),
                "phone": "+31205550100",
            }
        case ev.InvoiceDisputed():
            changes["reason"] = chance.choice(REASONS)
    replaced: Event = msgspec.structs.replace(event, **changes)
    return replaced
