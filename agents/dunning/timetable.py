"""When each step is due, for an invoice that nobody pays and nobody disputes.

Laws, each held by a property test:

* a step is due on a working day of the customer's country, and never before its own day;
* two steps have at least `min_days_between` between them, also when an outage delayed the first;
* the days hang on the due date, so a delay is made up for as far as that gap allows; no level is
  skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.dunning.law import is_working_day
from agents.dunning.procedure import Procedure, Step
from schemas.events import Day


def due_day(
    procedure: Procedure, step: Step, due_on: Day, before: Day | None, holidays: frozenset[Day]
) -> Day:
    """The first day on which a step may be taken.

    Args:
        procedure: that the step is of.
        step: the next one.
        due_on: when the invoice was to be paid.
        before: the day on which the step before was taken; None for the first.
        holidays: of the customer's country, Saturdays and Sundays aside.
    """
    if before is None:
        day = due_on + step.days
    elif step.from_sent:
        day = before + step.days
    else:
        day = max(due_on + step.days, before + procedure.min_days_between)
    while not is_working_day(day, holidays):
        day += 1
    return day


def timetable(
    procedure: Procedure, due_on: Day, holidays: frozenset[Day]
) -> Iterator[tuple[Step, Day]]:
    """Every step with its day, each taken on the day on which it is due."""
    before: Day | None = None
    for step in procedure.steps:
        before = due_day(procedure, step, due_on, before, holidays)
        yield step, before
