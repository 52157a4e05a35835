"""What people do in the console: a form becomes an event, validated as over HTTP. Pure but for the
ids it makes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from agents.console.kept import ACT, Proposal
from agents.gateway.acts import ACTS, event_of, valid_event
from agents.gateway.callers import Action, Caller
from agents.gateway.problems import Problem, invalid
from schemas.currencies import Currencies
from schemas.dates import format_instant
from schemas.events import CustomerUpserted, Event, Instant
from schemas.money import exponent, is_known

RELEASE_REASONS = (
    "payment_announced",
    "payment_seen",
    "secured",
    "agreed_with_sales",
    "good_customer",
    "small_excess",
)
"""Why orders are released, one click each; the order's page takes words besides."""
SNOOZE_MINUTES: Mapping[str, int] = {"1h": 60, "4h": 240, "1d": 1_440, "7d": 10_080}
"""How long nobody may be told of something, as the pages offer it."""
_MINUTE: Instant = 60_000_000
_TEXT_MAX = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_GATEWAY_ACTS = {act.event: act for act in ACTS}

ACTIONS: Mapping[str, Action] = {
    "release": Action.RELEASE_ORDERS,
    "propose": Action.RELEASE_ORDERS,
    "confirm": Action.RELEASE_ORDERS,
    "decline": Action.RELEASE_ORDERS,
    "hold": Action.HOLD_ORDERS,
    "block": Action.BLOCK_CUSTOMERS,
    "unblock": Action.BLOCK_CUSTOMERS,
    "limit": Action.CHANGE_LIMITS,
    "dispute": Action.DISPUTE,
    "promise": Action.PROMISE,
    "note": Action.HOLD_ORDERS,
    "acknowledge": Action.ANSWER_ALERTS,
    "snooze": Action.ANSWER_ALERTS,
}
"""What there is to do, and what it takes: notes and proposals are of those who work on holds."""


@dataclass(frozen=True)
class Doing:
    """Somebody sends a form.

    Attributes:
        caller: who.
        at: when.
        currency: of the customer's account.
        owed: what is open of invoices, minor units, for a promise that names no amount.
        proposal: that is confirmed.
        decision_number: of the order, for one that is proposed.
        swapped: the one who confirms has the authority, and the one who proposed is the second.
    """

    caller: Caller
    at: Instant
    currency: str
    owed: Callable[[list[str]], int]
    proposal: Proposal | None = None
    decision_number: int | None = None
    swapped: bool = False


def event_for(did: str, form: Mapping[str, str], invoices: list[str], doing: Doing) -> Event:
    """The event.

    Args:
        did: of `ACTIONS`.
        form: its fields.
        invoices: that are ticked.
        doing: who does it, and what it is done to.

    Raises `Problem` 409 or 422.
    """
    return _MADE_BY[did](form, invoices, doing)


def amount_text(text: str, currency: str) -> str:
    """An amount as people write it, with points, commas, spaces or apostrophes, as events have it.

    A single separator before exactly three digits parts thousands, but in a currency that has
    three digits behind the point. Raises `Problem` 422.
    """
    plain = re.sub(r"[\s'’\u00a0\u202f]", "", text)
    digits = exponent(currency) if is_known(currency) else 2
    marks = [mark for mark in plain if mark in ".,"]
    point = ""
    if len(set(marks)) == 2:  # noqa: PLR2004  both: the last one is the point
        point = marks[-1]
    elif len(marks) == 1 and (digits == 3 or not re.search(r"[.,]\d{3}$", plain)):  # noqa: PLR2004
        point = marks[0]
    for mark in {".", ","} - {point}:
        plain = plain.replace(mark, "")
    plain = plain.replace(point, ".") if point else plain
    if not re.fullmatch(rf"[0-9]{{1,15}}(\.[0-9]{{0,{digits}}})?", plain):
        raise invalid("amount", {"amount": "is no amount"})
    return format(Decimal(plain), "f")


def words(form: Mapping[str, str], name: str = "text") -> str:
    """Text that somebody wrote, without what cannot be seen. Raises `Problem` 422."""
    text = _CONTROL.sub(" ", form.get(name, "").replace("\r\n", "\n")).strip()
    if len(text) > _TEXT_MAX:
        raise invalid("text", {"text": f"at most {_TEXT_MAX} characters"})
    return text


# ── one per thing to do ─────────────────────────────────────────────────────────────────────────


def _release(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    return _act("OrderReleased", form, doing, {"reason": _why(form)})


def _hold(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    return _act("OrderHeld", form, doing, {"reason": _needed(form), **_until(form, "valid_until")})


def _block(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    return _act("CustomerBlocked", form, doing, {"reason": _needed(form)})


def _unblock(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    return _act("CustomerUnblocked", form, doing, {"reason": _needed(form)})


def _limit(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    amount = amount_text(form.get("amount", ""), doing.currency)
    body = {"credit_limit": amount, **_until(form, "valid_until")}
    return _act("CreditLimitChanged", form, doing, body)


def _dispute(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    body: dict[str, Any] = {"reason": _needed(form), "dispute_id": f"console-{uuid4()}"}
    if form.get("amount", "").strip():
        body["amount"] = amount_text(form["amount"], doing.currency)
    return _act("InvoiceDisputed", form, doing, body)


def _promise(form: Mapping[str, str], invoices: list[str], doing: Doing) -> Event:
    if not invoices:
        raise invalid("invoice", {"invoice": "none is ticked"})
    amount = form.get("amount", "").strip()
    if amount:
        text = amount_text(amount, doing.currency)
    else:
        digits = exponent(doing.currency)
        text = format(Decimal(doing.owed(invoices)).scaleb(-digits), f".{digits}f")
    body = {"invoice_ids": invoices, "amount": text, "promised_on": form.get("on", "")}
    named = {**form, "promise_id": f"console-{uuid4()}"}
    return _act("PromiseToPayMade", named, doing, body)


def _note(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    return _said("CustomerNoteAdded", doing, _customer(form) | {"text": _needed(form)})


def _acknowledge(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    return _act("AlertAcknowledged", form, doing, {"reason": words(form) or None})


def _snooze(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    """Of an alert; of everything about the customer where none is named."""
    minutes = SNOOZE_MINUTES.get(form.get("for", ""))
    if minutes is None:
        raise invalid("for", {"for": "is none of the spans"})
    until = format_instant(doing.at + minutes * _MINUTE)
    body = {"until": until, "reason": words(form) or None}
    alert_id = form.get("alert_id", "")
    return _act("AlertSnoozed", form, doing, body | ({"alert_id": alert_id} if alert_id else {}))


def _propose(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    fields = _customer(form) | {"order_id": form.get("order_id", ""), "reason": _why(form)}
    return _said("OrderReleaseProposed", doing, fields | {"decision_number": doing.decision_number})


def _decline(form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    fields = {"order_id": form.get("order_id", ""), "reason": words(form) or "declined"}
    return _said("OrderReleaseDeclined", doing, _customer(form) | fields)


def _confirm(_form: Mapping[str, str], _invoices: list[str], doing: Doing) -> Event:
    """The release that was proposed: by whom of the two has the authority, with the other as the
    second person.
    """
    proposal, caller = doing.proposal, doing.caller
    if proposal is None:
        raise Problem(409, "not_proposed", "Nothing waits", "nothing is proposed for this order")
    if proposal.who == caller.name:
        raise Problem(409, "same_person", "Somebody else", "a second person is another one")
    mine = {"by": caller.name, "role": caller.role, "confirmed_by": proposal.who}
    theirs = {"by": proposal.who, "role": proposal.role or None, "confirmed_by": caller.name}
    return valid_event(
        {
            "type": "OrderReleased",
            **_stamp(doing.at),
            "customer_id": proposal.customer_id,
            "order_id": proposal.order_id,
            "reason": proposal.why,
            **(mine if doing.swapped else theirs),
        }
    )


_MADE_BY: Mapping[str, Callable[[Mapping[str, str], list[str], Doing], Event]] = {
    "release": _release,
    "propose": _propose,
    "confirm": _confirm,
    "decline": _decline,
    "hold": _hold,
    "block": _block,
    "unblock": _unblock,
    "limit": _limit,
    "dispute": _dispute,
    "promise": _promise,
    "note": _note,
    "acknowledge": _acknowledge,
    "snooze": _snooze,
}


def _act(kind: str, form: Mapping[str, str], doing: Doing, body: Mapping[str, Any]) -> Event:
    """As the route of the gateway makes it of a path and a body."""
    act = _GATEWAY_ACTS[kind]
    in_path = re.findall(r"{(\w+)}", act.path)
    path = {name: form.get(name, "") for name in in_path}
    more = {} if "customer_id" in in_path else _customer(form)
    known = Currencies()
    if is_known(doing.currency):
        known.learn(
            CustomerUpserted(
                event_id="", occurred_at=0, customer_id=form.get("customer_id", ""),
                currency=doing.currency, credit_limit=None,
            )
        )  # fmt: skip
    return event_of(act, doing.caller, path, {**body, **more}, _stamp(doing.at), known)


def _said(kind: str, doing: Doing, fields: Mapping[str, Any]) -> Event:
    by = {"by": doing.caller.name, "role": doing.caller.role}
    return valid_event({"type": kind, **_stamp(doing.at), **fields, **by})


def _stamp(at: Instant) -> dict[str, str]:
    return {"event_id": f"{ACT}{uuid4()}", "occurred_at": format_instant(at)}


def _customer(form: Mapping[str, str]) -> dict[str, str]:
    return {"customer_id": form.get("customer_id", "")}


def _why(form: Mapping[str, str]) -> str:
    """The reason that was chosen, and words to it."""
    code, text = form.get("why", ""), words(form)
    if code not in RELEASE_REASONS:
        raise invalid("why", {"why": "is none of the reasons"})
    return f"{code}: {text}" if text else code


def _needed(form: Mapping[str, str]) -> str:
    text = words(form)
    if not text:
        raise invalid("text", {"text": "is missing"})
    return text


def _until(form: Mapping[str, str], name: str) -> dict[str, str]:
    day = form.get("until", "").strip()
    return {name: day} if day else {}
