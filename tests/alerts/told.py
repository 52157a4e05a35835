"""Alerts, recipients and notices for tests."""

from __future__ import annotations

from typing import Any

from agents.alerts.alert import Alert, alert_of
from agents.alerts.notice import Notice
from agents.alerts.routes import Recipient
from agents.alerts.timing import AT_ONCE, Digest, Quiet
from schemas.dates import parse_instant
from schemas.events import CreditLimitAlert, Instant, OrderDecision, RiskSignal

AT = parse_instant("2026-03-02T09:30:00Z")
MINUTE = 60_000_000
HOUR = 60 * MINUTE
AMSTERDAM = "Europe/Amsterdam"


def decision(order_id: str = "O-9", status: str = "held", **changes: Any) -> OrderDecision:
    said: dict[str, Any] = {
        "event_id": f"d-{order_id}-{status}",
        "occurred_at": AT,
        "customer_id": "C-1",
        "order_id": order_id,
        "decision": status,
        "reasons": ["overdue", "credit_limit_exceeded"] if status == "held" else [],
        "amount": 1_250_00,
        "currency": "EUR",
        "exposure_before": 900_00,
        "exposure_after": 900_00,
        "credit_limit": 1_000_00,
        "headroom": 100_00,
        "utilisation": "0.9000",
        "decision_number": 1,
        "cause_event_id": "e-1",
        "policy_version": "default-1",
        "account_currency": "EUR",
    }
    return OrderDecision(**(said | changes))


def limit_alert(threshold: str = "0.80", direction: str = "raised", **changes: Any) -> Any:
    said: dict[str, Any] = {
        "event_id": f"a-{threshold}-{direction}",
        "occurred_at": AT,
        "customer_id": "C-1",
        "threshold": threshold,
        "direction": direction,
        "exposure": 850_00,
        "credit_limit": 1_000_00,
        "utilisation": "0.8500",
        "cause_event_id": "e-1",
        "currency": "EUR",
    }
    return CreditLimitAlert(**(said | changes))


def signal(kind: str = "forecast_breach", **changes: Any) -> RiskSignal:
    said: dict[str, Any] = {
        "event_id": f"s-{kind}",
        "occurred_at": AT,
        "customer_id": "C-1",
        "kind": kind,
        "severity": "warning",
        "detail": "headroom of 100.00 EUR is expected to run out on 2026-03-20",
    }
    return RiskSignal(**(said | changes))


def alert(event: Any = None, at: Instant = AT) -> Alert:
    found = alert_of(decision() if event is None else event, at)
    assert found is not None
    return found


def recipient(
    name: str = "ann",
    channel: str = "email",
    *,
    digest: Digest = AT_ONCE,
    quiet: Quiet | None = None,
    address: str = "",
    **changes: Any,
) -> Recipient:
    return Recipient(
        name=name,
        channel=channel,
        address=address or f"{name}@firm.example",
        digest=digest,
        quiet=quiet,
        **changes,
    )


def notice(to: Recipient, about: Alert | None = None, **changes: Any) -> Notice:
    what = alert() if about is None else about
    said: dict[str, Any] = {
        "name": "Bakkerij Jansen",
        "level": 0,
        "not_before": what.at,
        "urgent": False,
        "route": "holds",
        "digest": to.digest,
    }
    return Notice(alert=what, recipient=to.name, **(said | changes))
