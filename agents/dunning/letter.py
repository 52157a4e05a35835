"""What a message says: its items, each at its level, with the interest and costs that are asked."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agents.core.policy import in_minor
from agents.credit.case import Case, outgoing_id
from agents.dunning.law import CostLaw, Law, costs, interest
from agents.dunning.procedure import HANDOVERS, Procedure, Step
from agents.dunning.records import PROPOSED, Debtor, Item, Message
from agents.dunning.terms import Terms, followed_of
from schemas.events import Day, DunnedInvoice, DunningStep, Instant, Minor

SECOND_CHANCE = "second_chance"
"""The template of the message after a payment that failed; it has no level."""
_LANGUAGES = {
    "NL": "nl", "BE": "nl", "FR": "fr", "LU": "fr", "MC": "fr", "DE": "de", "AT": "de", "LI": "de",
}  # fmt: skip
_OTHER_LANGUAGE = "en"


class Ready(msgspec.Struct, frozen=True):
    """An open invoice whose next step may be taken, and since when."""

    item: Item
    currency: str
    step: Step
    since: Day


class Chosen(msgspec.Struct, frozen=True):
    """Items that go into one message. The highest level among them sets the tone."""

    currency: str
    step: Step
    items: list[Item]
    since: Day

    @property
    def amount(self) -> Minor:
        return sum(item.amount for item in self.items)


def grouped(ready: list[Ready]) -> Iterator[Chosen]:
    """The messages that these items make, the one that has waited longest first.

    What is overdue goes together. A notice that the law wants, a handover, what is not due yet, and
    what a person has to approve each go by themselves: their words are for these items only.
    Amounts below what their step asks for stay where they are.
    """
    groups: dict[tuple[str, int], list[Ready]] = {}
    for one in ready:
        own = one.step.level if _goes_alone(one.step) else 0
        groups.setdefault((one.currency, own), []).append(one)
    found = []
    for (currency, _), of_group in groups.items():
        step = max((one.step for one in of_group), key=lambda one: one.level)
        items = [one.item for one in of_group]
        chosen = Chosen(currency, step, items, min(one.since for one in of_group))
        if chosen.amount >= in_minor(step.minimum, currency):
            found.append(chosen)
    found.sort(key=lambda one: (one.since, -one.step.level, one.currency))
    yield from found


def _goes_alone(step: Step) -> bool:
    return step.notice or step.proposed or step.days < 0 or bool({*HANDOVERS} & {*step.channels})


def language_of(debtor: Debtor) -> str:
    """The customer's language, or that of most people in the country."""
    return debtor.language or _LANGUAGES.get(debtor.country, _OTHER_LANGUAGE)


def compose(
    case: Case, terms: Terms, procedure: Procedure, step_id: str, message: Message, at: Instant
) -> DunningStep:
    """The message as it goes out today.

    Raises:
        LawMissingError: it is to ask for interest or costs, and no table says how much.
    """
    today, debtor = case.today, terms.debtor
    law = _law(terms, procedure, message)
    lines = [_line(case, procedure, law, item) for item in message.items]
    claimed, cost_law = _costs(case, terms, procedure, law, message)
    of_interest = sum(line.interest or 0 for line in lines)
    basis = [law.interest.name] if law is not None and of_interest else []
    basis += [cost_law.name] if cost_law is not None and claimed else []
    return DunningStep(
        event_id=outgoing_id(case.account_id, message.attempt, step_id, message.state),
        occurred_at=at,
        customer_id=case.account_id,
        step_id=step_id,
        level=message.level,
        procedure=procedure.name,
        channel=message.channel,
        template=message.template,
        language=language_of(terms.debtor),
        invoices=lines,
        principal=sum(item.amount for item in message.items),
        interest=of_interest,
        costs=claimed,
        currency=message.currency,
        legal_basis="; ".join(basis),
        pay_by=_pay_by(terms, procedure, message, today),
        attempt=message.attempt,
        proposed=message.state == PROPOSED or None,
        kind=debtor.kind,
        country=debtor.country or None,
        name=debtor.name,
        email=debtor.email,
        phone=debtor.phone,
        costs_to_come=_costs_to_come(procedure, law, message, today),
    )


def step_of(procedure: Procedure, level: int) -> Step | None:
    """The step of a level; None for a message that has none."""
    return procedure.steps[level - 1] if 0 < level <= len(procedure.steps) else None


def _law(terms: Terms, procedure: Procedure, message: Message) -> Law | None:
    """The law, if the message asks for something that stands on it."""
    steps = (step_of(procedure, item.level) for item in message.items)
    if not any(step is not None and (step.interest or step.costs or step.notice) for step in steps):
        return None
    return terms.book.law(terms.debtor.country, terms.debtor.kind)


def _line(case: Case, procedure: Procedure, law: Law | None, item: Item) -> DunnedInvoice:
    step, asked = step_of(procedure, item.level), None
    if law is not None and step is not None and step.interest and item.due_on < case.today:
        asked = interest(law.interest, item.amount, item.due_on, case.today).amount
    return DunnedInvoice(
        invoice_id=item.invoice_id,
        open_amount=item.amount,
        due_on=item.due_on,
        days_overdue=max(case.today - item.due_on, 0),
        level=item.level,
        interest=asked,
    )


def _costs(
    case: Case, terms: Terms, procedure: Procedure, law: Law | None, message: Message
) -> tuple[Minor, CostLaw | None]:
    """The costs of one message, on the items whose step asks for some and whose notice has run out.

    In another currency than that of the law's table none are asked.
    """
    if law is None:
        return 0, None
    asking = [
        item
        for item in message.items
        if (step := step_of(procedure, item.level)) is not None
        and step.costs
        and item.due_on < case.today
    ]
    if not asking:
        return 0, None
    of_today = law.costs_on(case.today)
    if of_today.currency != message.currency:
        return 0, None
    if of_today.notice is not None:
        asking = [item for item in asking if _has_run_out(case, terms, item)]
    return costs(of_today, [item.amount for item in asking]).amount, of_today


def _costs_to_come(
    procedure: Procedure, law: Law | None, message: Message, today: Day
) -> Minor | None:
    """What a notice says will be asked when its days have passed; None for any other message."""
    step = step_of(procedure, message.level)
    if law is None or step is None or not step.notice:
        return None
    of_today = law.costs_on(today)
    if of_today.currency != message.currency:
        return None
    return costs(of_today, [item.amount for item in message.items]).amount


def _has_run_out(case: Case, terms: Terms, item: Item) -> bool:
    last = terms.notice_ends(followed_of(case, item.invoice_id))
    return last is not None and case.today > last


def _pay_by(terms: Terms, procedure: Procedure, message: Message, today: Day) -> Day:
    latest = max((item.due_on for item in message.items), default=today)
    step = step_of(procedure, message.level)
    if step is None:
        return max(latest, today + procedure.steps[0].pay_within_days)
    return latest if step.days < 0 else terms.pay_by(step, message.channel)
