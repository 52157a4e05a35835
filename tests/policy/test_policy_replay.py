"""A replay decides as it was decided then, also under a policy that has gained a version since."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import hypothesis
from credit.one_customer import DAY, START, histories
from hypothesis import given
from hypothesis import strategies as st
from policy.policy_texts import documents, policy, toml_of

from agents.core.policy import PolicyBook
from agents.simulate import Simulation
from schemas.dates import format_day
from schemas.events import BusinessDayStarted, CreditLimitAlert, Day, Event, OrderDecision

FIRST_DAY = START // DAY


def decided(book: PolicyBook, history: list[Event]) -> list[Event]:
    simulation = Simulation(book)
    return [
        effect
        for event in history
        for effect in simulation.feed(event)
        if isinstance(effect, OrderDecision | CreditLimitAlert)
    ]


@hypothesis.settings(max_examples=50)
@given(documents(), documents(), histories(), st.integers(FIRST_DAY + 1, FIRST_DAY + 12))
def test_a_version_that_is_added_changes_nothing_before_its_day(
    document: dict[str, Any], added: dict[str, Any], history: list[Event], valid_from: Day
) -> None:
    document.pop("versions", None)
    added.pop("versions", None)
    first_of_added = dt.date.fromisoformat(format_day(valid_from))
    more = document | {
        "versions": [added | {"version": "added", "valid_from": first_of_added}],
    }
    before = until(valid_from, history)
    then = decided(policy(toml_of(document)), before)
    assert decided(policy(toml_of(more)), before) == then
    assert {one.policy_version for one in then if isinstance(one, OrderDecision)} <= {"v1"}


@hypothesis.settings(max_examples=50)
@given(documents(), histories(), st.integers(FIRST_DAY + 1, FIRST_DAY + 12))
def test_a_decision_names_the_version_of_its_business_day(
    document: dict[str, Any], history: list[Event], valid_from: Day
) -> None:
    start = dt.date.fromisoformat(format_day(valid_from))
    document["versions"] = [{"version": "v2", "valid_from": start}]
    simulation = Simulation(policy(toml_of(document)))
    for event, day in zip(history, days_of(history), strict=True):
        for effect in simulation.feed(event):
            if isinstance(effect, OrderDecision):
                assert effect.policy_version == ("v1" if day < valid_from else "v2")


def until(valid_from: Day, history: list[Event]) -> list[Event]:
    """The events that are applied before the day, up to the first that is not."""
    for at, day in enumerate(days_of(history)):
        if day >= valid_from:
            return history[:at]
    return history


def days_of(history: list[Event]) -> Iterator[Day]:
    """The day on which each event is applied: the business day; before any has started the event's
    own, or a later one to which its customer has come already.
    """
    today: Day | None = None
    latest: dict[str, Day] = {}
    for event in history:
        today = after(today, event)
        if today is not None:
            yield today
            continue
        customer_id = getattr(event, "customer_id", "")
        latest[customer_id] = max(event.occurred_at // DAY, latest.get(customer_id, 0))
        yield latest[customer_id]


def after(today: Day | None, event: Event) -> Day | None:
    """The business day once the event was applied; None: none has begun."""
    if isinstance(event, BusinessDayStarted):
        return event.date if today is None else max(today, event.date)
    return today
