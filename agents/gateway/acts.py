"""What people do over HTTP, as events: who, in which role, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.gateway.callers import Action, Caller
from agents.gateway.problems import invalid
from agents.intake.rules import check
from schemas.currencies import Currencies
from schemas.events import BY_NAME, Event
from schemas.fields import field_names
from schemas.json_lines import BadLine, parse_payload


@dataclass(frozen=True)
class Act:
    """A path under which something is done.

    Attributes:
        path: of the route; what it names in braces are fields of the event.
        event: type of the event that comes of it.
        action: what the caller must be allowed to do.
        summary: for the description of the interface.
    """

    path: str
    event: str
    action: Action
    summary: str


ACTS = (
    Act(
        "/v1/orders/{order_id}/release", "OrderReleased", Action.RELEASE_ORDERS,
        "Release an order that is held, within one's authority",
    ),
    Act("/v1/orders/{order_id}/hold", "OrderHeld", Action.HOLD_ORDERS, "Hold an order"),
    Act(
        "/v1/customers/{customer_id}/block", "CustomerBlocked", Action.BLOCK_CUSTOMERS,
        "Hold all new orders of a customer",
    ),
    Act(
        "/v1/customers/{customer_id}/unblock", "CustomerUnblocked", Action.BLOCK_CUSTOMERS,
        "End that",
    ),
    Act(
        "/v1/customers/{customer_id}/limit", "CreditLimitChanged", Action.CHANGE_LIMITS,
        "Change the credit limit, for good or until a day",
    ),
    Act(
        "/v1/invoices/{invoice_id}/dispute", "InvoiceDisputed", Action.DISPUTE,
        "Note that a customer contests an invoice",
    ),
    Act(
        "/v1/promises/{promise_id}", "PromiseToPayMade", Action.PROMISE,
        "Note that a customer promised to pay",
    ),
    Act(
        "/v1/alerts/{alert_id}/acknowledge", "AlertAcknowledged", Action.ANSWER_ALERTS,
        "Say that one sees to an alert, so that nobody else is told of it",
    ),
    Act(
        "/v1/alerts/{alert_id}/snooze", "AlertSnoozed", Action.ANSWER_ALERTS,
        "Have nobody told of an alert for a while",
    ),
    Act(
        "/v1/customers/{customer_id}/snooze", "AlertSnoozed", Action.ANSWER_ALERTS,
        "Have nobody told of anything about a customer for a while",
    ),
)  # fmt: skip


def event_of(
    act: Act,
    caller: Caller,
    path: Mapping[str, str],
    body: Mapping[str, Any],
    stamp: Mapping[str, str],
    currencies: Currencies,
) -> Event:
    """The event, validated as intake does.

    Args:
        act: what is done.
        caller: by whom; `by` and `role` are theirs to have, not to say.
        path: fields from the path.
        body: the other fields.
        stamp: `event_id` and `occurred_at`, where the body has none.
        currencies: of the customer, for amounts without one.

    Raises `Problem` 422.
    """
    fields = field_names(BY_NAME[act.event])
    theirs = dict.fromkeys(("type", "by", "role"), "is known from the key and the path")
    wrong = {name: why for name, why in theirs.items() if name in body}
    wrong |= {name: "is in the path" for name in path if name in body}
    if wrong:
        raise invalid(f"not to be said: {', '.join(wrong)}", wrong)
    payload: dict[str, Any] = {"type": act.event, **stamp, **body, **path}
    if "by" in fields:
        payload["by"] = caller.name
    if "role" in fields:
        payload["role"] = caller.role
    return valid_event(payload, currencies)


def valid_event(payload: Mapping[str, Any], currencies: Currencies | None = None) -> Event:
    """The event in a JSON object, as intake would accept it. Raises `Problem` 422."""
    event = parse_payload(payload, currencies or Currencies())
    if isinstance(event, BadLine):
        field = event.field or "type"
        raise invalid(f"{field}: {event.problem}", {field: event.problem})
    refusal = check(event)
    if refusal is not None:
        raise invalid(f"{refusal.field}: {refusal.detail}", {refusal.field: refusal.detail})
    return event
