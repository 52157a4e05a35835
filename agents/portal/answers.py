"""What a customer does on the page, as events. Pure.

The same thing done twice is the same event: a page that is sent again says nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from hashlib import blake2b

from agents.portal.claim import ClaimNow, Item
from schemas.dates import MalformedDateError, parse_day
from schemas.events import Day, Instant, InvoiceDisputed, Minor, PromiseToPayMade
from schemas.money import exponent

REASONS = ("not_delivered", "damaged", "wrong_amount", "paid_already", "not_ordered", "other")
TEXT_CHARACTERS_MAX = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class WrongAnswerError(ValueError):
    """What was filled in cannot be; `field` is where."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def contested(claim: ClaimNow, form: Mapping[str, str], at: Instant) -> InvoiceDisputed:
    """An invoice is contested, whole or in part.

    Args:
        claim: as it is now.
        form: `invoice`, `reason` (one of `REASONS`), `text`, `amount` (empty: all of it).
        at: when.

    Raises:
        WrongAnswerError: a field cannot be.
    """
    item = _item_of(claim, form)
    reason, text = form.get("reason", ""), _CONTROL.sub(" ", form.get("text", "")).strip()
    if reason not in REASONS:
        raise WrongAnswerError("reason")
    if len(text) > TEXT_CHARACTERS_MAX or (reason == "other" and not text):
        raise WrongAnswerError("text")
    amount = _amount(form.get("amount", ""), claim.currency)
    if amount is not None and not 0 < amount <= item.due:
        raise WrongAnswerError("amount")
    whole = amount is None or amount == item.due
    name = _name("contested", claim.step_id, item.invoice_id, reason, text, str(amount))
    return InvoiceDisputed(
        event_id=name,
        occurred_at=at,
        customer_id=claim.customer_id,
        invoice_id=item.invoice_id,
        dispute_id=name,
        reason=f"{reason}: {text}" if text else reason,
        amount=None if whole else amount,
    )


def promised(
    claim: ClaimNow, form: Mapping[str, str], at: Instant, today: Day, days: int
) -> PromiseToPayMade:
    """All that is due and not promised yet is promised for a day.

    Args:
        claim: as it is now.
        form: `on`, as in 2026-03-31.
        at: when.
        today: the day at the creditor's.
        days: how far ahead that may be.

    Raises:
        WrongAnswerError: `on` is no such day, or nothing is left to be promised.
    """
    try:
        on = parse_day(form.get("on", ""))
    except MalformedDateError as error:
        raise WrongAnswerError("on") from error
    owed = [one for one in claim.items if one.due and not one.promised]
    if not today <= on <= today + days or not owed:
        raise WrongAnswerError("on")
    # One a letter: who breaks it gets the next letter.
    name = _name("promised", claim.step_id)
    return PromiseToPayMade(
        event_id=_name("promised", claim.step_id, str(on)),
        occurred_at=at,
        customer_id=claim.customer_id,
        promise_id=name,
        invoice_ids=[one.invoice_id for one in owed],
        amount=sum(one.due for one in owed),
        promised_on=on,
    )


def _item_of(claim: ClaimNow, form: Mapping[str, str]) -> Item:
    for item in claim.items:
        if item.invoice_id == form.get("invoice") and item.due:
            return item
    raise WrongAnswerError("invoice")


def _amount(text: str, currency: str) -> Minor | None:
    """An amount as people write it, with a comma or a point; None for nothing."""
    text = text.strip().replace(" ", "")
    if not text:
        return None
    try:
        minor = Decimal(text.replace(",", ".")).scaleb(exponent(currency))
    except InvalidOperation as error:
        raise WrongAnswerError("amount") from error
    if not minor.is_finite() or minor != minor.to_integral_value() or minor > 10**15:
        raise WrongAnswerError("amount")
    return int(minor)


def _name(*parts: str) -> str:
    return "portal-" + blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
