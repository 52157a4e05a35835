"""Payments through Mollie, by its Payments API (v2).

A payment is made when somebody wants to pay: it is short-lived, the link in the letter is not. Its
webhook only names it, so it is fetched with our key.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from mollie.api.client import Client
from mollie.api.error import Error, NotFoundError, ResponseError

from agents.portal.providers import Bill, ProviderError, Standing
from schemas.dates import day_of
from schemas.events import Instant, Minor
from schemas.money import exponent, format_amount
from streams.logs import shown

_LOCALES = {
    ("nl", "BE"): "nl_BE", ("fr", "BE"): "fr_BE", ("nl", ""): "nl_NL", ("fr", ""): "fr_FR",
    ("de", "AT"): "de_AT", ("de", ""): "de_DE", ("en", ""): "en_GB",
}  # fmt: skip
_ID = re.compile(r"tr_[A-Za-z0-9]{1,64}")
_METADATA_CHARACTERS = 900
"""Mollie takes about a kilobyte."""
_FAILED = {"failed": "failed", "expired": "failed", "canceled": "given_up"}


class MolliePayments:
    """Mollie as a way to pay.

    Args:
        key: of the API, `live_...` or `test_...`.
        endpoint: of the API; empty: Mollie's own.
        zone: by whose calendar a payment has its day.

    Raises:
        ValueError: it is no key.
    """

    name = "mollie"
    origin = "https://*.mollie.com"

    def __init__(self, key: str, endpoint: str, zone: ZoneInfo) -> None:
        self._client = Client(endpoint)
        try:
            self._client.set_api_key(key)
        except Error as error:
            raise ValueError("a key begins with live_ or test_") from error
        self._zone = zone
        if endpoint:
            self.origin = endpoint

    def begin(self, bill: Bill, notices: str, key: str) -> str:
        wanted = {
            "amount": _money(bill.amount, bill.currency),
            "description": bill.reference,
            "redirectUrl": bill.back_to,
            "webhookUrl": notices,
            "locale": _locale(bill.language, bill.country),
            "metadata": {"customer_id": bill.customer_id, "shares": _fitting(bill.shares)},
        }
        try:
            url = self._client.payments.create(wanted, idempotency_key=key).checkout_url
        except (Error, ValueError) as error:
            raise ProviderError(_why(error)) from error
        if not url:
            raise ProviderError("there is no page to pay on")
        return str(url)

    def standing(self, notice: str) -> Standing | None:
        if _ID.fullmatch(notice) is None:
            return None
        try:
            payment = self._client.payments.get(notice)
            back_at = _charge_back(payment)
        except NotFoundError:
            return None
        except (Error, ValueError) as error:
            raise ProviderError(_why(error)) from error
        metadata = payment.metadata
        if not isinstance(metadata, dict) or not isinstance(metadata.get("customer_id"), str):
            return None  # of something else that has the same key
        status, at = self._status(payment)
        if back_at is not None:
            status = "charged_back"
        currency = str(payment.amount["currency"])
        return Standing(
            payment_id=f"{self.name}-{payment.id}",
            customer_id=metadata["customer_id"],
            status=status,
            amount=_minor(payment.amount["value"], currency),
            currency=currency,
            shares=[(str(name), int(part)) for name, part in metadata.get("shares", [])],
            at=at,
            on=day_of(datetime.fromtimestamp(at / 1_000_000, self._zone).date()),
            back_at=back_at or 0,
        )

    def _status(self, payment: Any) -> tuple[str, Instant]:
        if payment.paid_at:
            return "paid", _instant(payment.paid_at)
        ended = payment.failed_at or payment.expired_at or payment.canceled_at
        since = _instant(ended or payment.created_at)
        return _FAILED.get(payment.status, "waiting"), since


def _why(error: Exception) -> str:
    """Without Mollie's words: they may quote what was sent."""
    if isinstance(error, ResponseError):
        return f"Mollie answers {error.status}{f' for {error.field}' if error.field else ''}"
    return f"Mollie cannot be asked: {shown(error)}"


def _charge_back(payment: Any) -> Instant | None:
    """When the money went back, if it did."""
    back = payment.amount_chargedback
    if not back or Decimal(back["value"]) <= 0:
        return None
    went = [one.created_at for one in payment.chargebacks.list() if not one.reversed_at]
    return max(map(_instant, went), default=None)


def _money(amount: Minor, currency: str) -> dict[str, str]:
    return {"currency": currency, "value": format_amount(amount, currency)}


def _minor(value: str, currency: str) -> Minor:
    return int(Decimal(value).scaleb(exponent(currency)))


def _instant(text: str) -> Instant:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


def _locale(language: str, country: str) -> str:
    return _LOCALES.get((language, country)) or _LOCALES.get((language, ""), "en_GB")


def _fitting(shares: list[tuple[str, Minor]]) -> list[list[object]]:
    """As many as Mollie keeps; what is for the others is unapplied until somebody says."""
    kept: list[list[object]] = []
    used = 0
    for invoice_id, amount in shares:
        used += len(invoice_id) + len(str(amount)) + 8
        if used > _METADATA_CHARACTERS:
            break
        kept.append([invoice_id, amount])
    return kept
