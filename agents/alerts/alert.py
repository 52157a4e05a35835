"""What somebody may be told of, from the events that say it. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from schemas.events import CreditLimitAlert, Event, Instant, OrderDecision, RiskSignal
from schemas.json_lines import to_payload

KINDS = ("limit_alert", "hold", "release", "risk_signal")
_OF_DECISION = {"held": "hold", "released": "release"}
_ENDS_A_HOLD = frozenset({"approved", "released", "cancelled"})


class Alert(msgspec.Struct, frozen=True):
    """An event that somebody may be told of.

    Attributes:
        alert_id: its `event_id`.
        kind: of `KINDS`.
        at: when it was published.
        subject: what is to be seen to, so that its end can be told from the end of others; empty
            for what only informs.
        amount: the order's, or the exposure; None: it has none.
        currency: of the amount.
        said: the event as JSON has it.
    """

    alert_id: str
    kind: str
    customer_id: str
    at: Instant
    subject: str
    amount: Decimal | None
    currency: str
    said: dict[str, Any]

    @property
    def type(self) -> str:
        """As receivers of a webhook know it."""
        match self.kind:
            case "limit_alert":
                return f"credit.limit_alert.{self.said['direction']}"
            case "risk_signal":
                return f"credit.risk_signal.{self.said['kind']}"
            case _:
                return f"credit.order.{self.said['decision']}"


class Customer(msgspec.Struct, frozen=True):
    """What routes ask of a customer; empty: nobody said."""

    name: str = ""
    segment: str = ""
    account_manager: str = ""


def alert_of(event: Event, at: Instant) -> Alert | None:
    """The alert that an event is, if it is one: an order that is approved or cancelled is none."""
    match event:
        case CreditLimitAlert():
            kind = "limit_alert"
        case OrderDecision(decision="held" | "released"):
            kind = _OF_DECISION[event.decision]
        case RiskSignal():
            kind = "risk_signal"
        case _:
            return None
    said = to_payload(event)
    amount = said.get("exposure" if kind == "limit_alert" else "amount")
    waits = kind == "hold" or said.get("direction") == "raised"
    return Alert(
        alert_id=event.event_id,
        kind=kind,
        customer_id=event.customer_id,
        at=at,
        subject=_subject(event) if waits else "",
        amount=None if amount is None else Decimal(amount),
        currency=said.get("currency") or "",
        said=said,
    )


def ended_by(event: Event) -> str:
    """The subject that nobody has to see to any more; empty: there is none."""
    match event:
        case CreditLimitAlert(direction="cleared"):
            return _subject(event)
        case OrderDecision() if event.decision in _ENDS_A_HOLD and event.decision_number > 1:
            return _subject(event)
        case _:
            return ""


def _subject(event: CreditLimitAlert | OrderDecision | RiskSignal) -> str:
    match event:
        case CreditLimitAlert():
            group = "group " if event.group_id else ""
            return f"limit of {group}{event.customer_id} at {event.threshold}"
        case OrderDecision():
            return f"order {event.order_id} of {event.customer_id}"
        case RiskSignal():
            return ""
