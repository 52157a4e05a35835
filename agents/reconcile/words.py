"""State in the words of the field: what a key is about, and in which fields two values differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from agents.credit.state import NUL
from schemas.dates import MalformedDateError, format_day, format_instant
from schemas.money import format_amount, is_known

_OF_ACCOUNT = {
    "a": "account",
    "o": "order",
    "i": "invoice",
    "p": "payment",
    "c": "credit note",
    "d": "due index, invoice",
    "h": "index of held orders, order",
    "q": "index of orders that reserve, order",
    "n": "index of insured invoices, invoice",
    "t": "orders to look at again, order",
    "s": "where the account is kept",
    "w": "waiting event",
    "k": "event that waits with a parked account",
    "G": "group",
    "M": "index of members, customer",
    "H": "group's index of held orders, order",
    "Q": "group's index of orders that reserve, order",
}
_OF_PARTITION = {
    "d": "business day",
    "f": "feed",
    "r": "rates",
    "c": "index of accounts by currency",
    "C": "index of groups by currency",
    "g": "agenda",
    "x": "documents to forget",
    "p": "parked account",
    "h": "index of held orders",
    "j": "agenda of the dunning run",
    "m": "agenda of groups' members",
    "e": "run of the business day",
}
NOTHING = "nothing"


def subject(key: str) -> tuple[str, str]:
    """The account or group that a key belongs to, empty for the partition's own; and what it
    holds.
    """
    account_id, _, own = key.partition(NUL)
    kind, rest = own[:1], own[1:].replace(NUL, " ")
    if account_id:
        return account_id, f"{_OF_ACCOUNT.get(kind, kind)} {rest}".strip()
    if kind == "d":
        return "", _OF_PARTITION["d"]
    rest = rest.removeprefix("eed") if kind == "f" else rest
    return "", f"{_OF_PARTITION.get(kind, kind)} {rest}".strip()


def differing(found: Any, expected: Any) -> Iterator[tuple[str, str, str]]:
    """Field, found and expected text of whatever differs between two values of one key."""
    one, other = dict(_fields(found, "", "")), dict(_fields(expected, "", ""))
    for name in dict.fromkeys((*one, *other)):
        left, right = one.get(name, NOTHING), other.get(name, NOTHING)
        if left != right:
            yield name, left, right


def summary(value: Any) -> str:
    """A value in few words: its status and amounts, as far as it has any."""
    if not isinstance(value, msgspec.Struct):
        return "an entry" if value is True else str(value)
    told = [
        f"{name} {text}"
        for name, text in _fields(value, "", "")
        if name in {"status", "currency", "amount", "total", "held orders", "members"}
    ]
    return ", ".join(told) or "an entry"


def _fields(
    value: Any, name: str, currency: str, annotation: str = ""
) -> Iterator[tuple[str, str]]:
    """The leaves of a value, each with its name in words and its content as people write it."""
    match value:
        case msgspec.Struct():
            own = getattr(value, "currency", None) or currency
            hints = type(value).__annotations__
            for field in value.__struct_fields__:
                within = f"{name} {field.replace('_', ' ')}".strip()
                yield from _fields(getattr(value, field), within, own, str(hints.get(field, "")))
        case dict():
            for key, entry in value.items():
                named = key if isinstance(key, str) and is_known(key) else currency
                yield from _fields(entry, f"{name} {key}".strip(), named, annotation)
        case list() if value and isinstance(value[0], msgspec.Struct):
            for number, entry in enumerate(value, start=1):
                yield from _fields(entry, f"{name} {number}".strip(), currency, annotation)
        case _:
            yield name, _text(value, annotation, currency)


def _text(value: Any, annotation: str, currency: str) -> str:
    if value is None:
        return "none"
    if type(value) is int:
        if "Minor" in annotation and is_known(currency):
            return f"{format_amount(value, currency)} {currency}"
        with suppress(MalformedDateError):  # no date of the calendar stays a number
            if annotation.startswith("Day"):
                return format_day(value)
            if annotation.startswith("Instant"):
                return format_instant(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
