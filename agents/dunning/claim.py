"""All that may be asked on a day for invoices that are paid late, and why."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agents.dunning.law import (
    CostClaim,
    InterestClaim,
    Law,
    LawMissingError,
    costs,
    days_to_pay,
    interest,
)
from schemas.dates import format_day
from schemas.events import Day, Minor


class LateInvoice(msgspec.Struct, frozen=True):
    """An invoice, or what is left of one: what is owed, and the day by which it was to be paid."""

    principal: Minor
    due_on: Day


class SentNotice(msgspec.Struct, frozen=True):
    """The notice without costs that was sent, and over which channel."""

    sent_on: Day
    channel: str


class Claim(msgspec.Struct, frozen=True):
    """What may be asked: principal, interest of each late invoice, and costs."""

    currency: str
    principal: Minor
    interest: tuple[InterestClaim, ...]
    """In the order of the invoices."""
    costs: CostClaim | None
    without_costs: str
    """Why no costs may be asked; empty when they may."""

    @property
    def total(self) -> Minor:
        """Principal, interest and costs."""
        of_costs = 0 if self.costs is None else self.costs.amount
        return self.principal + sum(one.amount for one in self.interest) + of_costs


def claim(
    law: Law,
    currency: str,
    invoices: Sequence[LateInvoice],
    on: Day,
    notice: SentNotice | None,
    holidays: frozenset[Day],
) -> Claim:
    """What one letter may ask on a day, for invoices of one debtor that are all in one currency.

    Args:
        law: what holds for the debtor.
        currency: of the invoices, ISO 4217.
        invoices: what is owed; one that is not late bears no interest and no costs.
        on: the day of the letter; interest runs up to and including it.
        notice: the notice without costs, if one was sent.
        holidays: of the debtor's country, from the notice on.

    Raises:
        LawMissingError: no table says what holds.
    """
    late = [one for one in invoices if one.due_on < on]
    why = _why_no_costs(law, on, notice, holidays) if late else "nothing is late"
    if not why and law.costs_on(on).currency != currency:
        raise LawMissingError(
            f"collection costs in {law.country} are in {law.costs_on(on).currency}: no table says"
            f" what they are in {currency}"
        )
    return Claim(
        currency=currency,
        principal=sum(one.principal for one in invoices),
        interest=tuple(interest(law.interest, one.principal, one.due_on, on) for one in invoices),
        costs=None if why else costs(law.costs_on(on), [one.principal for one in late]),
        without_costs=why,
    )


def _why_no_costs(law: Law, on: Day, notice: SentNotice | None, holidays: frozenset[Day]) -> str:
    asked = law.costs_on(on).notice
    if asked is None:
        return ""
    if notice is None:
        return f"a notice without costs has to come first, with {asked.days} days to pay"
    first, last = days_to_pay(asked, notice.channel, notice.sent_on, holidays)
    if on > last:
        return ""
    return (
        f"the notice of {format_day(notice.sent_on)} leaves from {format_day(first)} to"
        f" {format_day(last)} to pay without costs"
    )
