"""What counts as late under a policy that defers promises: against a slow recomputation."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from credit.journals import Journal
from credit.office import Office
from hypothesis import given
from hypothesis import strategies as st

from agents.core.policy_text import parse_policy
from agents.credit.lateness import is_overdue, late_invoices, total
from agents.credit.obstacles import look_at
from agents.simulate import Simulation, business_day
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY

_TODAY = 20_000
_MAX_DAYS = 30
_MINIMUM = 500

_SHIPPED = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")
_POLICY = '[overdue]\nmin_overdue_amount = "5.00"\ndefer_promised = {}\n'


@pytest.mark.parametrize(("days", "holds"), [(10, False), (30, False), (31, True)])
def test_what_is_promised_does_not_make_the_rest_too_late(days: int, *, holds: bool) -> None:
    """The oldest is promised; the other one counts from its own due day."""
    policies = parse_policy(_POLICY.format("true"), _SHIPPED)
    simulation = Simulation(policies)
    stamp: dict[str, Any] = {"occurred_at": _TODAY * MICROSECONDS_PER_DAY, "customer_id": "C-1"}
    for event in (
        business_day(_TODAY),
        ev.CustomerUpserted(event_id="1", **stamp, currency="EUR", credit_limit=10**6),
        *(
            ev.InvoiceIssued(
                event_id=invoice_id, **stamp, invoice_id=invoice_id, amount=600, currency="EUR",
                issued_on=_TODAY - late, due_on=_TODAY - late,
            )
            for invoice_id, late in (("I-1", 50), ("I-2", days))
        ),
        ev.PromiseToPayMade(
            event_id="4", **stamp, promise_id="R", invoice_ids=["I-1"], amount=600,
            promised_on=_TODAY + 5,
        ),
    ):  # fmt: skip
        list(simulation.feed(event))
    case = look_at(simulation.ledger, policies, "C-1", _TODAY)
    case.age()
    assert is_overdue(case) is holds
    assert total(case, late_invoices(case)) == 600


def test_a_promise_stands_for_its_invoice_under_the_name_that_a_merger_gives_it() -> None:
    policies = parse_policy(_POLICY.format("true"), _SHIPPED)
    history = Journal()
    for customer_id, late in (("C-1", -20), ("C-2", 50)):
        history.customer(10**6, customer_id)
        history.say(
            ev.InvoiceIssued, customer_id, invoice_id="I-1", amount=600, currency="EUR",
            issued_on=history.today - 60, due_on=history.today - late,
        )  # fmt: skip
    history.say(
        ev.PromiseToPayMade, "C-2", promise_id="R", invoice_ids=["I-1"], amount=600,
        promised_on=history.today + 5,
    )  # fmt: skip
    history.say(ev.CustomersMerged, merged_customer_id="C-2", by="ann", reason="one firm")
    office = Office(policies)
    office.run(history)
    case = look_at(office.ledger, policies, "C-1", history.today)
    case.age()
    assert [late_invoices(case), is_overdue(case)] == [[], False]
    history.wait(6)
    office.apply(history[-1])
    case = look_at(office.ledger, policies, "C-1", history.today)
    assert [one.invoice_id for one in late_invoices(case)] == ["C-2/I-1"]
    assert is_overdue(case)


@given(
    invoices=st.lists(st.tuples(st.integers(1, 400), st.integers(-5, 50)), max_size=5),
    promises=st.lists(
        st.tuples(st.sets(st.integers(0, 4), min_size=1), st.integers(-3, 20)), max_size=3
    ),
    ends=st.integers(0, 25),
    defers=st.booleans(),
)
def test_what_is_promised_is_late_only_when_the_policy_says_so(
    invoices: list[tuple[int, int]],
    promises: list[tuple[set[int], int]],
    ends: int,
    *,
    defers: bool,
) -> None:
    policies = parse_policy(_POLICY.format("true" if defers else "false"), _SHIPPED)
    simulation = Simulation(policies)

    def say(event: ev.Event) -> None:
        list(simulation.feed(event))

    def facts(number: int) -> dict[str, Any]:
        at = _TODAY * MICROSECONDS_PER_DAY + number
        return {"event_id": f"e-{number}", "occurred_at": at, "customer_id": "C-1"}

    say(business_day(_TODAY))
    say(ev.CustomerUpserted(**facts(0), currency="EUR", credit_limit=10**6))
    for number, (amount, days) in enumerate(invoices):
        due_on = _TODAY - days
        say(
            ev.InvoiceIssued(
                **facts(10 + number), invoice_id=f"I-{number}", amount=amount, currency="EUR",
                issued_on=min(due_on, _TODAY), due_on=due_on,
            )
        )  # fmt: skip
    for number, (about, days) in enumerate(promises):
        say(
            ev.PromiseToPayMade(
                **facts(20 + number), promise_id=f"R-{number}",
                invoice_ids=[f"I-{one}" for one in sorted(about)], amount=10**6,
                promised_on=_TODAY + days,
            )
        )  # fmt: skip
    today = _TODAY + ends
    for day in range(_TODAY + 1, today + 1):
        say(business_day(day))

    promised = {
        f"I-{one}"
        for about, days in promises
        for one in about
        # Found broken on the first day after it on which the account is looked at.
        if today <= max(_TODAY, _TODAY + days)
    }
    late = [
        (today - _TODAY + days, f"I-{number}", amount)
        for number, (amount, days) in enumerate(invoices)
        if today > _TODAY - days and not (defers and f"I-{number}" in promised)
    ]
    case = look_at(simulation.ledger, policies, "C-1", today)
    case.age()
    assert sorted(one.invoice_id for one in late_invoices(case)) == sorted(
        one for _, one, _ in late
    )
    assert is_overdue(case) is (
        any(days > _MAX_DAYS for days, _, _ in late)
        and sum(amount for _, _, amount in late) >= _MINIMUM
    )
