"""Procedures: which steps follow an invoice that is not paid, and when. None of it stands in code.

A procedure belongs to a kind of customer and, if it says so, to segments and countries. Its steps
are levels 1, 2, 3 and so on; each is due so many days from the invoice's due date, or from the day
on which the step before it was sent. The days are counted from the due date of the invoice, not
from the day on which somebody looked.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from agents.dunning.law import Kind
from schemas.events import Day

ALWAYS: Day = -(2**31)
"""The day from which a procedure holds that does not say since when."""
Channel: TypeAlias = Literal["email", "sms", "letter", "phone", "agency", "legal"]
"""`phone` is a task for a person; `agency` and `legal` hand the claim over, to a collection agency
or to a legal department of one's own.
"""
HANDOVERS = ("agency", "legal")
"""Channels by which somebody else takes the claim over."""
TO_NOBODY = ("phone", *HANDOVERS)
"""Channels on which nothing is written to the customer."""


class Step(msgspec.Struct, frozen=True):
    """One level.

    Attributes:
        level: from 1.
        days: from the due date, before it when negative; after the step before when `from_sent`.
        from_sent: count from the day on which the step before was sent.
        channels: the first one that works is used.
        template: what is said, by its name.
        minimum: what the items must come to, in major units of the account's currency.
        interest: whether the interest that the law gives is asked for.
        costs: whether the collection costs that the law gives are asked for.
        notice: it is the notice that the law wants before costs may be asked.
        blocks_orders: whether orders are held from here on.
        proposed: a person has to approve it.
        pay_within_days: how long the debtor is given.
    """

    level: int
    days: int
    from_sent: bool
    channels: tuple[Channel, ...]
    template: str
    minimum: str
    interest: bool
    costs: bool
    notice: bool
    blocks_orders: bool
    proposed: bool
    pay_within_days: int


class Procedure(msgspec.Struct, frozen=True):
    """The steps for some customers.

    Attributes:
        name: stands in every step that is taken by it.
        kind: of customer.
        segments: none: all.
        countries: none: all.
        min_days_between: of two reminders to one account.
        valid_from: the day from which it holds, until the next one for the same customers.
        second_chance: whether a payment that failed is answered at once, with another way to pay.
        plan_tolerance_days: how long after its day an instalment or a promised payment may come.
        steps: level 1 first.
    """

    name: str
    kind: Kind
    segments: frozenset[str]
    countries: frozenset[str]
    min_days_between: int
    valid_from: Day
    second_chance: bool
    plan_tolerance_days: int
    steps: tuple[Step, ...]

    @property
    def earliest(self) -> int:
        """Days from the due date to the first step."""
        return self.steps[0].days

    def after(self, level: int) -> Step | None:
        """The step that follows a level; None behind the last."""
        return self.steps[level] if level < len(self.steps) else None


class ProcedureBook(msgspec.Struct, frozen=True):
    """All procedures, the more special ones first, of those the later ones."""

    procedures: tuple[Procedure, ...]

    def of(self, kind: str, segment: str, country: str, day: Day) -> Procedure | None:
        """The one for such a customer on a day: that of its segment before that of its country
        before that of its kind; None when there is none.
        """
        for one in self.procedures:
            if (
                one.kind == kind
                and one.valid_from <= day
                and (not one.segments or segment in one.segments)
                and (not one.countries or country in one.countries)
            ):
                return one
        return None

    def named(self, name: str) -> Procedure | None:
        """The one of that name."""
        return next((one for one in self.procedures if one.name == name), None)
