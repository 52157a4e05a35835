"""A year of dunning: real invoices paid later than they were, four kinds of customers, carriers
that lose letters, people who promise and break it. What happens is decided by one seed.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections.abc import Iterator

import msgspec

from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.demo.history import SettledInvoice, events_of, read_settled_invoices
from agents.dunning.book import DunningBook
from agents.law_files import load_laws
from agents.policy_file import load_policy
from agents.procedure_files import load_procedures
from agents.simulate import Simulation, business_day
from agents.working_days import known_holidays
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, DunningStep, Event

SHIFT = 4_749
"""Days from the file's first year to 2025, for which the tables of laws know the rates."""
DAYS = 400
_HOUR = 3_600_000_000
KINDS = (
    {"kind": "b2b", "country": "NL"},
    {"kind": "b2b", "country": "NL", "segment": "strict"},
    {"kind": "b2c", "country": "NL"},
    {"kind": "b2c", "country": "BE"},
)


def rules() -> PolicyBook:
    """The policy and the procedures that ship."""
    return load_policy(None).with_dunning(
        DunningBook(load_procedures(None), load_laws(None), known_holidays)
    )


class DunnedCourse:
    """What came in and what went out, in order.

    Args:
        seed: of all that happens by chance.
        history: what happens anyway, in order.
        policy: what decides.
        days: for how many days from the first one on it is followed.
    """

    def __init__(self, seed: int, history: list[Event], policy: PolicyBook, days: int) -> None:
        self._chance = random.Random(seed)
        self._simulation = Simulation(policy)
        self._answers: list[tuple[int, int, Event]] = []
        self._count = 0
        self.course: list[Event] = []
        """Everything, what came in before what followed from it."""
        self.inputs: list[Event] = []
        """What came in."""
        first = history[0].occurred_at // MICROSECONDS_PER_DAY
        coming = iter(history)
        following = next(coming, None)
        for day in range(first, first + days):
            self._feed(business_day(day))
            end = (day + 1) * MICROSECONDS_PER_DAY
            while True:
                answer = self._answers[0][0] if self._answers else end
                at = end if following is None else following.occurred_at
                if min(answer, at) >= end:
                    break
                if answer <= at:
                    self._feed(heapq.heappop(self._answers)[2])
                elif following is not None:
                    self._feed(following)
                    following = next(coming, None)

    def _feed(self, event: Event) -> None:
        self.course.append(event)
        self.inputs.append(event)
        for effect in self._simulation.feed(event):
            if isinstance(effect, Refusal):
                # A person may answer to what was withdrawn meanwhile; nothing else is refused.
                assert effect.reason == "step_not_proposed", effect
                continue
            self.course.append(effect)
            for answer in self.answers_to(effect):
                self._count += 1
                heapq.heappush(self._answers, (answer.occurred_at, self._count, answer))

    def answers_to(self, effect: Event) -> Iterator[Event]:
        """What people, and customers, do about what goes out."""
        if isinstance(effect, DunningStep):
            yield from self._answers_to(effect)

    def _answers_to(self, step: DunningStep) -> Iterator[Event]:
        """What a carrier, or a person, says of a step; and what the customer does about it."""
        chance, day = self._chance, step.occurred_at // MICROSECONDS_PER_DAY
        if step.proposed:
            later = day + chance.randint(0, 4)
            yield ev.DunningStepDecided(
                event_id=f"decided-{step.step_id}",
                occurred_at=later * MICROSECONDS_PER_DAY + 10 * _HOUR,
                customer_id=step.customer_id,
                step_id=step.step_id,
                decision=chance.choice(["approve", "approve", "skip"]),
                by="ann",
                reason="as every week",
            )
            return
        at = step.occurred_at % MICROSECONDS_PER_DAY + chance.choice([1, 1, 14]) * _HOUR
        when = day * MICROSECONDS_PER_DAY + at
        yield ev.DunningStepReported(
            event_id=f"reported-{step.event_id}",
            occurred_at=when,
            customer_id=step.customer_id,
            step_id=step.step_id,
            attempt=step.attempt or 1,
            channel=step.channel,
            result=chance.choices(["sent", "bounced", "failed"], [12, 1, 1])[0],
            on=when // MICROSECONDS_PER_DAY,
        )
        yield from self._customer_does(step, day)

    def _customer_does(self, step: DunningStep, day: Day) -> Iterator[Event]:
        chance = self._chance
        one = chance.choice(step.invoices)
        at = (day + chance.randint(0, 3)) * MICROSECONDS_PER_DAY + 15 * _HOUR
        said = {"event_id": f"said-{step.event_id}", "customer_id": step.customer_id}
        match chance.randint(0, 12):
            case 0:
                yield ev.PromiseToPayMade(
                    **said,
                    occurred_at=at,
                    promise_id=f"R-{step.event_id}",
                    invoice_ids=[one.invoice_id],
                    amount=one.open_amount,
                    promised_on=day + chance.randint(3, 20),
                )
            case 1:
                yield ev.DunningPaused(
                    **said, occurred_at=at, reason="ill", by="ann", until=day + 20
                )
            case 2 | 3:
                yield ev.PaymentFailed(
                    **said,
                    occurred_at=at,
                    payment_id=f"F-{step.event_id}",
                    reason="insufficient funds",
                    invoice_id=one.invoice_id,
                )
            case 4:
                half = one.open_amount // 2 or 1
                dues = [
                    ev.Instalment(due_on=day + 10, amount=half),
                    ev.Instalment(due_on=day + 30, amount=max(one.open_amount - half, 1)),
                ]
                yield ev.PaymentPlanAgreed(
                    **said,
                    occurred_at=at,
                    plan_id=f"L-{step.event_id}",
                    invoice_ids=[one.invoice_id],
                    instalments=dues,
                )


class DunnedYear(DunnedCourse):
    """All customers of the file, from its first day on.

    Args:
        seed: of all that happens by chance.
        lateness: by how many times later invoices are paid than they were.
    """

    def __init__(self, seed: int, lateness: int) -> None:
        invoices = [moved(one, SHIFT, lateness) for one in read_settled_invoices()]
        super().__init__(seed, [_euro(event) for event in events_of(invoices)], rules(), DAYS)


def moved(invoice: SettledInvoice, days: int, lateness: int) -> SettledInvoice:
    """The same invoice so many days later, paid by so many times later."""
    late = max(invoice.settled_on - invoice.due_on, 0) * lateness
    return dataclasses.replace(
        invoice,
        issued_on=invoice.issued_on + days,
        due_on=invoice.due_on + days,
        settled_on=(invoice.due_on + late if late else invoice.settled_on) + days,
    )


def _euro(event: Event) -> Event:
    """In the currency of the laws; customers of four kinds, whom everybody can write to."""
    changes: dict[str, object] = {}
    if "currency" in event.__struct_fields__:
        changes["currency"] = "EUR"
    if isinstance(event, ev.CustomerUpserted):
        number = sum(event.customer_id.encode())
        changes |= KINDS[number % len(KINDS)]
        changes |= {"email": f"{event.customer_id}@example.org", "phone": "+31205550100"}
    replaced: Event = msgspec.structs.replace(event, **changes)
    return replaced
