"""Who is told of what: every condition, and each recipient once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from alerts.told import AT, MINUTE, alert, decision, limit_alert, recipient, signal
from hypothesis import given
from hypothesis import strategies as st

from agents.alerts.alert import Customer, alert_of, ended_by
from agents.alerts.routes import ACCOUNT_MANAGER, Escalation, Route, Routes
from agents.alerts.timing import AT_ONCE, Digest

_CUSTOMER = Customer("Jansen", "key", "J.deVries@firm.example")
_PEOPLE = {
    one.name: one
    for one in (
        recipient("ann", digest=Digest(every=30)),
        recipient("ben", is_manager=("j.devries@firm.example", "jv")),
        recipient("desk", "chat", address="https://chat.example/"),
        recipient("erp", "webhook", address="https://erp.example/"),
    )
}


def told(route: Route, event: Any = None, customer: Customer = _CUSTOMER) -> list[str]:
    routes = Routes(_PEOPLE, (route,))
    return [one.recipient for one in routes.told(alert(event), customer)]


@pytest.mark.parametrize(
    ("event", "conditions", "matches"),
    [
        (decision(), {}, True),
        (decision(), {"kinds": ("hold",)}, True),
        (decision(), {"kinds": ("release", "limit_alert")}, False),
        (decision(status="released"), {"kinds": ("release",)}, True),
        (limit_alert("0.90"), {"thresholds": ("0.90", "1.00")}, True),
        (limit_alert("0.80"), {"thresholds": ("0.90", "1.00")}, False),
        (limit_alert(), {"directions": ("cleared",)}, False),
        (decision(), {"thresholds": ("0.80",)}, False),
        (decision(), {"reasons": ("credit_limit_exceeded",)}, True),
        (decision(), {"reasons": ("dunning_block", "manual_hold")}, False),
        (signal(), {"signals": ("forecast_breach",)}, True),
        (signal("promise_kept"), {"signals": ("forecast_breach",)}, False),
        (signal(), {"severities": ("critical",)}, False),
        (decision(), {"segments": ("key", "small")}, True),
        (decision(), {"segments": ("small",)}, False),
        (decision(), {"account_managers": ("j.devries@FIRM.example",)}, True),
        (decision(), {"account_managers": ("somebody",)}, False),
        (decision(), {"amount_from": Decimal("1250.00")}, True),
        (decision(), {"amount_from": Decimal("1250.01")}, False),
        (decision(), {"amount_to": Decimal(1250)}, True),
        (decision(), {"amount_to": Decimal("1249.99")}, False),
        (decision(), {"amount_from": Decimal(1), "currencies": ("USD",)}, False),
        (limit_alert(), {"amount_from": Decimal(850)}, True),
        (signal(), {"amount_to": Decimal(1_000_000)}, False),
    ],
)
def test_an_alert_meets_all_conditions_or_is_not_told(
    event: Any, conditions: dict[str, Any], matches: bool
) -> None:
    route = Route("any", ("ann",), **conditions)
    assert told(route, event) == (["ann"] if matches else [])


def test_an_order_that_is_approved_or_cancelled_is_nothing_to_be_told() -> None:
    for status in ("approved", "cancelled"):
        assert alert_of(decision(status=status), AT) is None
    assert [alert(one).type for one in (decision(), limit_alert(), signal())] == [
        "credit.order.held",
        "credit.limit_alert.raised",
        "credit.risk_signal.forecast_breach",
    ]


def test_what_ends_by_itself_is_what_was_to_be_seen_to() -> None:
    held, raised = alert(decision()), alert(limit_alert())
    assert ended_by(decision(status="released", decision_number=2)) == held.subject
    assert ended_by(decision(status="cancelled", decision_number=2)) == held.subject
    assert ended_by(limit_alert(direction="cleared")) == raised.subject
    assert ended_by(decision(status="approved")) == ended_by(decision()) == ""
    assert alert(decision(status="released")).subject == alert(signal()).subject == ""
    assert alert(limit_alert(group_id="C-1")).subject != raised.subject


@pytest.mark.parametrize(
    ("manager", "who"),
    [("J.deVries@firm.example", "ben"), ("jv", "ben"), ("ann", "ann"), ("x", "desk"), ("", "desk")],
)
def test_the_account_manager_is_told_or_who_stands_in(manager: str, who: str) -> None:
    route = Route("any", (ACCOUNT_MANAGER,), without_manager=("desk",))
    assert told(route, customer=Customer("", "", manager)) == [who]


def test_a_program_is_nobodys_account_manager() -> None:
    route = Route("any", (ACCOUNT_MANAGER,), without_manager=("desk",))
    assert told(route, customer=Customer("", "", "erp")) == ["desk"]


def test_who_is_reached_several_ways_is_told_once_the_soonest() -> None:
    later = Escalation(30, ("ann", "desk"))
    routes = Routes(
        _PEOPLE,
        (
            Route("first", ("ben",), escalate=(later,)),
            Route("all", ("ann",), digest=Digest(daily=480)),
            Route("now", ("ann",), urgent=True),
        ),
    )
    found = {one.recipient: one for one in routes.told(alert(), _CUSTOMER)}
    assert {name: (one.route, one.level) for name, one in found.items()} == {
        "ben": ("first", 0),
        "ann": ("now", 0),
        "desk": ("first", 1),
    }
    assert found["desk"].not_before == AT + 30 * MINUTE
    assert found["ann"].digest == found["desk"].digest == AT_ONCE
    assert routes.escalates


def test_a_route_may_say_how_often() -> None:
    routes = Routes(_PEOPLE, (Route("a", ("ann", "erp")), Route("b", ("ben",), digest=AT_ONCE)))
    digests = {one.recipient: one.digest for one in routes.told(alert(), _CUSTOMER)}
    assert digests == {"ann": Digest(every=30), "erp": AT_ONCE, "ben": AT_ONCE}


_NAMES = st.sampled_from([*_PEOPLE, ACCOUNT_MANAGER])
_TO = st.lists(_NAMES, min_size=1, max_size=4).map(tuple)
_ROUTES = st.lists(
    st.builds(
        Route,
        name=st.just("r"),
        to=_TO,
        kinds=st.sets(st.sampled_from(["hold", "release"])).map(tuple),
        segments=st.sets(st.sampled_from(["key", "small"])).map(tuple),
        without_manager=st.just(("desk",)),
        urgent=st.booleans(),
        escalate=st.lists(st.builds(Escalation, st.integers(1, 90), _TO), max_size=2).map(tuple),
    ),
    max_size=5,
).map(tuple)


@given(_ROUTES, st.sampled_from(["held", "released"]), st.sampled_from(["ben", "jv", "", "who"]))
def test_all_whom_a_matching_route_names_are_told_once_and_nobody_else(
    routes: tuple[Route, ...], status: str, manager: str
) -> None:
    customer, what = Customer("", "key", manager), alert(decision(status=status))
    found = Routes(_PEOPLE, routes).told(what, customer)
    standing = "ben" if manager in ("ben", "jv") else "desk"
    named = {
        standing if name == ACCOUNT_MANAGER else name: None
        for route in routes
        if route.matches(what, customer)
        for step in (Escalation(0, route.to), *route.escalate)
        for name in step.to
    }
    assert sorted(one.recipient for one in found) == sorted(named)
    turned = Routes(_PEOPLE, routes[::-1]).told(what, customer)
    assert {(one.recipient, one[:3]) for one in turned} == {
        (one.recipient, one[:3]) for one in found
    }
