"""What people do over HTTP is an event of its own type, with what they may not say themselves."""

from __future__ import annotations

from typing import Any

import pytest

from agents.gateway.acts import ACTS, event_of
from agents.gateway.callers import Caller
from agents.gateway.problems import Problem
from schemas.currencies import Currencies
from schemas.dates import parse_instant
from schemas.events import AlertAcknowledged, AlertSnoozed, Event

_ANN = Caller("ann", ("controller",), 1.0)
_STAMP = {"event_id": "act-1", "occurred_at": "2026-03-02T09:30:00Z"}
_AT = parse_instant("2026-03-02T09:30:00Z")
_FIVE = "2026-03-02T17:00:00Z"


def done(path: str, named: dict[str, str], body: dict[str, Any]) -> Event:
    (act,) = (one for one in ACTS if one.path == path)
    return event_of(act, _ANN, named, body, _STAMP, Currencies())


def test_an_alert_is_acknowledged() -> None:
    body = {"customer_id": "C-1", "reason": "called"}
    assert done(
        "/v1/alerts/{alert_id}/acknowledge", {"alert_id": "a-1"}, body
    ) == AlertAcknowledged(
        event_id="act-1",
        occurred_at=_AT,
        customer_id="C-1",
        alert_id="a-1",
        by="ann",
        reason="called",
    )


def test_an_alert_or_a_customer_is_snoozed() -> None:
    one = AlertSnoozed(
        event_id="act-1",
        occurred_at=_AT,
        customer_id="C-1",
        by="ann",
        until=parse_instant(_FIVE),
        alert_id="a-1",
    )
    body = {"customer_id": "C-1", "until": _FIVE}
    assert done("/v1/alerts/{alert_id}/snooze", {"alert_id": "a-1"}, body) == one
    whole = done("/v1/customers/{customer_id}/snooze", {"customer_id": "C-1"}, {"until": _FIVE})
    assert isinstance(whole, AlertSnoozed)
    assert (whole.customer_id, whole.alert_id, whole.until) == ("C-1", None, one.until)


@pytest.mark.parametrize(
    "body",
    [{}, {"until": "tomorrow"}, {"until": _FIVE, "by": "ben"}, {"until": "9999-01-01T00:00:00Z"}],
)
def test_who_snoozes_says_until_when_and_for_nobody_else(body: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        done("/v1/customers/{customer_id}/snooze", {"customer_id": "C-1"}, body)
    assert refused.value.status == 422
