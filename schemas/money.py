"""Money as text and as an integer of minor units, by the digits of its own currency.

The currencies are those of ISO 4217 that have a minor-unit definition: EUR has two digits, JPY
none, KWD three. What has none by definition (gold, the test and "no currency" codes) is no currency
to keep accounts in and counts as unknown.
"""

from __future__ import annotations

import re

import iso4217

AMOUNT_MAX = 2**63 - 1
"""Most minor units that fit the `long` of the wire; the least is one below its negative."""

DIGITS_UNKNOWN = 2
"""Digits of an amount whose currency nobody named: most currencies have two."""

_EXPONENTS: dict[str, int] = {
    code: int(str(row["CcyMnrUnts"]))
    for code, row in iso4217.raw_table.items()
    if code is not None and str(row["CcyMnrUnts"]).isdecimal()
}

_AMOUNT = re.compile(r"(-?)([0-9]{1,30})(?:\.([0-9]{1,30}))?", re.ASCII)


class UnknownCurrencyError(ValueError):
    """No ISO 4217 currency with a minor-unit definition has this code."""


class MalformedAmountError(ValueError):
    """The text is no amount of the currency."""


def is_known(currency: str) -> bool:
    """Whether amounts can be kept in the currency. Codes are in capitals."""
    return currency in _EXPONENTS


def exponent(currency: str) -> int:
    """Digits behind the point.

    Raises:
        UnknownCurrencyError: the code is none of ISO 4217, or has no minor-unit definition.
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrencyError(f"unknown currency {currency[:20]!r}") from None


def parse_amount(text: str | int, currency: str | None) -> int:
    """Minor units of a decimal text or a whole number of major units.

    Args:
        text: `"1250.00"`, `"-3"` or `1250`. Fewer digits than the currency's are filled up; more
            are refused, even zeros, because they say that the sender thinks of another currency.
        currency: ISO 4217 code; None: nobody named one, two digits.

    Raises:
        UnknownCurrencyError: see `exponent`.
        MalformedAmountError: not a decimal number, too many digits, or beyond 64 bits.
    """
    digits = DIGITS_UNKNOWN if currency is None else exponent(currency)
    if isinstance(text, int):
        if isinstance(text, bool):
            raise MalformedAmountError("an amount is a decimal string or a whole number")
        minor: int = text * 10**digits
    else:
        match = _AMOUNT.fullmatch(text)
        if match is None:
            raise MalformedAmountError(f"{text[:40]!r} is not a decimal number")
        sign, whole, fraction = match.groups(default="")
        if len(fraction) > digits:
            raise MalformedAmountError(
                f"{text[:40]!r} has more digits behind the point than"
                f" {currency or 'an amount without a known currency'}: {digits}"
            )
        minor = int(sign + whole + fraction.ljust(digits, "0"))
    if not -AMOUNT_MAX - 1 <= minor <= AMOUNT_MAX:
        raise MalformedAmountError("the amount does not fit 64 bits of minor units")
    return minor


def format_amount(minor: int, currency: str | None) -> str:
    """The decimal text of minor units with exactly the currency's digits (None: two).

    Raises:
        UnknownCurrencyError: see `exponent`.
    """
    digits = DIGITS_UNKNOWN if currency is None else exponent(currency)
    if digits == 0:
        return str(minor)
    whole, fraction = divmod(abs(minor), 10**digits)
    return f"{'-' if minor < 0 else ''}{whole}.{fraction:0{digits}d}"
