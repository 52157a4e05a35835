"""What people have to do about steps, and what coming days would bring."""

from __future__ import annotations

import pytest
from credit.journals import DAY, Journal

from agents.dunning.book import DunningBook
from agents.dunning.procedure_text import parse_procedures
from agents.dunning.rehearsal import PastDayError, arrived, goes_by_itself, rehearse
from agents.dunning.worklist import OpenStep, open_steps
from agents.law_files import load_laws
from agents.policy_file import load_policy
from agents.simulate import Simulation, business_day
from agents.working_days import known_holidays
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import Day, DunningStep

_PROCEDURE = """
kind = "b2b"
min_days_between = 1

[[steps]]
days = 3
channels = ["email"]
template = "friendly_reminder"

[[steps]]
days = 10
channels = ["phone"]
template = "call"

[[steps]]
days = 20
channels = ["letter"]
template = "final_notice"
proposed = true
"""
POLICIES = load_policy(None).with_dunning(
    DunningBook(parse_procedures({"own": _PROCEDURE}), load_laws(None), known_holidays)
)


def owing() -> Journal:
    """An invoice that is due on the first day, a Friday."""
    journal = Journal()
    journal.customer(None, country="NL", email="ap@bakker.example", name="Bakkerij")
    journal.invoice("I-1", 121_00, 0)
    return journal


def played(journal: Journal, days: int, *, send: bool = True) -> Simulation:
    """The journal, and so many days after it; mails arrive."""
    simulation = Simulation(POLICIES)
    events = [*journal, *(business_day(journal.today + n) for n in range(1, days + 1))]
    for event in events:
        for effect in list(simulation.feed(event)):
            if send and isinstance(effect, DunningStep) and goes_by_itself(effect):
                list(simulation.feed(arrived(effect)))
    return simulation


def tasks(simulation: Simulation) -> list[tuple[str, str, str]]:
    return [(one.task, one.state, one.channel) for one in open_steps(simulation.ledger)]


def report(simulation: Simulation, step: OpenStep, result: str, on: Day) -> None:
    list(
        simulation.feed(
            ev.DunningStepReported(
                event_id=f"{result} on {on}",
                occurred_at=on * MICROSECONDS_PER_DAY,
                customer_id=step.customer_id,
                step_id=step.step_id,
                attempt=step.attempt,
                channel=step.channel,
                result=result,
                on=on,
            )
        )
    )


def test_nobody_has_to_do_anything_about_what_goes_by_itself() -> None:
    assert tasks(played(owing(), 2)) == []
    assert tasks(played(owing(), 3, send=False)) == [("none", "issued", "email")]


def test_a_call_is_for_a_person_until_it_was_made_and_a_proposal_until_it_is_approved() -> None:
    simulation = played(owing(), 12)
    (call,) = open_steps(simulation.ledger)
    assert call == OpenStep(
        customer_id="C-1",
        name="Bakkerij",
        task="call",
        step_id=f"C-1/{format_day(DAY + 10)}/1",
        attempt=1,
        state="issued",
        level=2,
        template="call",
        channel="phone",
        invoice_ids=["I-1"],
        amount=121_00,
        currency="EUR",
        since=DAY + 10,
    )
    report(simulation, call, "sent", DAY + 12)
    assert tasks(simulation) == []
    for day in range(DAY + 13, DAY + 22):
        list(simulation.feed(business_day(day)))
    assert tasks(simulation) == [("approve", "proposed", "letter")]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("uncertain", [("find out", "issued", "email")]),
        ("unsent", [("none", "queued", "email")]),
        ("bounced", [("find a contact", "", "")]),
    ],
)
def test_what_is_not_known_or_does_not_arrive_is_for_a_person(
    result: str, expected: list[tuple[str, str, str]]
) -> None:
    simulation = played(owing(), 3, send=False)
    (step,) = open_steps(simulation.ledger)
    report(simulation, step, result, DAY + 3)
    assert tasks(simulation) == expected


def test_a_rehearsal_says_what_the_days_then_say() -> None:
    journal = owing()
    said = []
    simulation = Simulation(POLICIES)
    for event in [*journal, *(business_day(DAY + n) for n in range(1, 12))]:
        for effect in list(simulation.feed(event)):
            if isinstance(effect, DunningStep):
                said.append(effect)
                if goes_by_itself(effect):
                    list(simulation.feed(arrived(effect)))
    assert [step.template for step in said] == ["friendly_reminder", "call"]
    assert list(rehearse(played(journal, 0).ledger, POLICIES, DAY + 11)) == said


def test_a_day_that_has_begun_is_not_rehearsed() -> None:
    with pytest.raises(PastDayError, match=f"{format_day(DAY)} has begun already"):
        list(rehearse(played(owing(), 0).ledger, POLICIES, DAY))
    assert list(rehearse(played(owing(), 0).ledger, POLICIES, DAY + 1)) == []
