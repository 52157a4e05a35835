"""Events as JSON, one object a line: what the command line, the HTTP interface and tests speak.

Amounts are decimal strings in the digits of their currency (whole numbers are read too, fractions
of JSON are refused), days `YYYY-MM-DD`, instants RFC 3339 in UTC. A line that is no event is a
`BadLine`, a value like any other, and the other lines go on.

Some events have amounts and no currency of their own, e.g. `OrderChanged`. In JSON they may carry a
key `currency`; else their document's counts, else their customer's, as far as `Currencies` has
seen it; else two digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias

import msgspec

from schemas import dates, money
from schemas.currencies import CUSTOMER, DOCUMENTS, Currencies
from schemas.events import BY_NAME, Event
from schemas.fields import Field, Kind, field_names, fields_of, holds_money

_INT_MAX = 2**31 - 1
_SHOWN_MAX = 40

# Where an event's own amounts are in different currencies: field of the amount to field of the
# currency. Everything else has one currency, in `currency`.
_ACCOUNT_CURRENCY = "account_currency"
_GROUP_CURRENCY = "group_currency"
_CURRENCY_FIELDS = {
    "OrderDecision": dict.fromkeys(
        ("exposure_before", "exposure_after", "credit_limit", "headroom"), _ACCOUNT_CURRENCY
    )
    | dict.fromkeys(("group_exposure", "group_limit"), _GROUP_CURRENCY)
}

# The contract names the subject of these before the customer.
_LEADING_KEYS = {
    "DunningStepSettled": ("step_id",),
    "OrderDecision": ("order_id",),
    "DunningStep": ("step_id",),
    "RiskSignal": ("kind",),
}


class BadLine(msgspec.Struct, frozen=True):
    """A line that is no event: where it is and what is wrong with it, for the person who wrote it.

    `type` and `field` are None where the line has not come that far.
    """

    line: int
    type: str | None
    field: str | None
    problem: str

    def __str__(self) -> str:
        place = ".".join(part for part in (self.type, self.field) if part is not None)
        return f"line {self.line}: {place}: {self.problem}" if place else self._bare()

    def _bare(self) -> str:
        return f"line {self.line}: {self.problem}"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def read(lines: Iterable[str]) -> Iterator[Event | BadLine]:
    """Every line of a whole file, in order; blank lines are passed over.

    The file is looked through for currencies first, so it does not matter whether an order comes
    before or after what changes it.
    """
    lines = list(lines)
    currencies = Currencies()
    for event in _events_in((line for line in lines if '"currency"' in line), currencies):
        if isinstance(event, Event):
            currencies.expect(event)
    yield from _events_in(lines, currencies)


def follow(lines: Iterable[str]) -> Iterator[Event | BadLine]:
    """Every line of a stream as it comes; what a line says of currencies holds for those after."""
    yield from _events_in(lines, Currencies())


def parse_line(text: str, currencies: Currencies, line: int = 1) -> Event | BadLine:
    """The event in one line.

    Args:
        text: a JSON object.
        currencies: asked for the currency of an event that has none of its own.
        line: number of the line, for the message.
    """
    try:
        payload = json_object(text)
    except ValueError as fault:
        return BadLine(line, None, None, str(fault))
    return parse_payload(payload, currencies, line)


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in a text; fractions in it are kept from becoming floating-point numbers.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        payload = _DECODER.decode(text)
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"not JSON: {_json_fault(fault)}") from fault
    if not isinstance(payload, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  of what was read, not of an argument
    return payload


def parse_payload(
    payload: Mapping[str, Any], currencies: Currencies, line: int = 1
) -> Event | BadLine:
    """The event in a JSON object that was parsed already, `type` and all."""
    name = payload.get("type")
    kind = BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        problem = "no type" if name is None else f"unknown type {_shown(name)}"
        return BadLine(line, None, "type", problem)
    try:
        return _event(kind, payload, currencies)
    except _FieldError as fault:
        return BadLine(line, kind.__name__, fault.field, fault.problem)


def _events_in(lines: Iterable[str], currencies: Currencies) -> Iterator[Event | BadLine]:
    for number, text in enumerate(lines, 1):
        stripped = text.strip(_BLANK)
        if stripped:
            event = parse_line(stripped, currencies, number)
            if isinstance(event, Event):
                currencies.learn(event)
            yield event


def _json_fault(fault: Exception) -> str:
    if isinstance(fault, json.JSONDecodeError):
        return f"{fault.msg} at character {fault.pos + 1}"
    return "nested too deeply" if isinstance(fault, RecursionError) else str(fault)


class _FieldError(Exception):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field
        self.problem = problem


class _ValueError(ValueError):
    """A value that the field cannot have."""


class _Fraction:
    """A number with a point or an exponent: never money, never a count."""


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key that is there twice")
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=lambda _: _Fraction(), parse_constant=_no_constant
)
_BLANK = " \t\r\n\ufeff"  # a byte order mark opens many a file


def _event(kind: type[Event], payload: Mapping[str, Any], currencies: Currencies) -> Event:
    may_name_currency = _lacks_currency(kind)
    for key in payload:
        known = key in field_names(kind) or key == "type"
        if not known and not (may_name_currency and key == "currency"):
            raise _FieldError(_shown_key(key), "unknown field")
    return kind(**_values(kind, payload, _currency_of(kind, payload, currencies)))


def _values(
    kind: type[msgspec.Struct], payload: Mapping[str, Any], currency_of: _CurrencyOf, path: str = ""
) -> dict[str, Any]:
    values = {}
    for field in fields_of(kind):
        if field.name in payload:
            place = path + field.name
            values[field.name] = _field_value(field, payload[field.name], currency_of, place)
        elif not field.has_default:
            raise _FieldError(path + field.name, "missing")
    return values


def _field_value(field: Field, value: Any, currency_of: _CurrencyOf, place: str) -> Any:
    if value is None and field.nullable:
        return None
    if not field.is_list:
        return _value(field, value, currency_of, place)
    if not isinstance(value, list):
        raise _FieldError(place, f"{_shown(value)} is not a list")
    return [
        _value(field, item, currency_of, f"{place}[{index}]") for index, item in enumerate(value)
    ]


def _value(field: Field, value: Any, currency_of: _CurrencyOf, place: str) -> Any:
    if field.record is not None:
        if not isinstance(value, dict):
            raise _FieldError(place, f"{_shown(value)} is not an object")
        for key in value:
            if key not in field_names(field.record):
                raise _FieldError(f"{place}.{_shown_key(key)}", "unknown field")
        nested = _values(field.record, value, lambda _: currency_of(field.name), f"{place}.")
        return field.record(**nested)
    try:
        if field.kind == "minor":
            return _minor(value, currency_of(field.name))
        return _PARSERS[field.kind](value)
    except ValueError as fault:
        raise _FieldError(place, str(fault)) from None


def _minor(value: Any, currency: str | None) -> int:
    if isinstance(value, _Fraction):
        raise _ValueError("a fraction of JSON is not exact: write the amount as a string")
    if not isinstance(value, (str, int)):
        raise _ValueError(f"{_shown(value)} is not an amount")
    return money.parse_amount(value, currency)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _ValueError(f"{_shown(value)} is not a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _ValueError("half of a surrogate pair is no text") from None
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _ValueError(f"{_shown(value)} is not a whole number")
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise _ValueError("does not fit 32 bits")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _ValueError(f"{_shown(value)} is neither true nor false")
    return value


_PARSERS: dict[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "boolean": _boolean,
    "day": lambda value: dates.parse_day(_text(value)),
    "instant": lambda value: dates.parse_instant(_text(value)),
}


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def to_line(event: Event, currency: str | None = None) -> str:
    """The event as one line of compact JSON, without the line's end; equal events, equal lines.

    Args:
        event: any event of ours.
        currency: what the amounts are in when the event has no currency of its own; the line then
            says so in a key `currency`. None: unknown, two digits.

    Raises:
        UnknownCurrencyError: the event's own currency is none of ISO 4217.
        MalformedDateError: a day or instant outside the years 1 to 9999.
    """
    return msgspec.json.encode(to_payload(event, currency)).decode()


def to_payload(event: Event, currency: str | None = None) -> dict[str, Any]:
    """The event as a JSON object; see `to_line`. What was left out of the event stays left out."""
    kind = type(event)
    payload: dict[str, Any] = {"type": kind.__name__}
    for field in _writing_order(kind):
        value = getattr(event, field.name)
        if not (field.has_default and (value is None or value == [])):
            payload[field.name] = _written(field, value, _currency_in(event, field.name, currency))
    if currency is not None and _lacks_currency(kind):
        payload["currency"] = currency
    return payload


def _written(field: Field, value: Any, currency: str | None) -> Any:
    if value is None:
        return None
    if field.is_list:
        return [_written_item(field, item, currency) for item in value]
    return _written_item(field, value, currency)


def _written_item(field: Field, value: Any, currency: str | None) -> Any:
    match field.kind:
        case "minor":
            return money.format_amount(value, currency)
        case "day":
            return dates.format_day(value)
        case "instant":
            return dates.format_instant(value)
        case "record" if field.record is not None:
            return {
                inner.name: _written(inner, own, currency)
                for inner in fields_of(field.record)
                if (own := getattr(value, inner.name)) is not None or not inner.has_default
            }
        case _:
            return value


@cache
def _writing_order(kind: type[Event]) -> tuple[Field, ...]:
    leading = ("event_id", "occurred_at", *_LEADING_KEYS.get(kind.__name__, ()))
    named = {field.name: field for field in fields_of(kind)}
    return tuple(
        [named[name] for name in leading]
        + [field for field in fields_of(kind) if field.name not in leading]
    )


# ── which currency an amount is in ──────────────────────────────────────────────────────────────

_CurrencyOf: TypeAlias = Callable[[str], str | None]
"""From the name of an event's field to the currency of the amounts in it."""


@cache
def _lacks_currency(kind: type[Event]) -> bool:
    """Whether the event has amounts and no field that says in what."""
    return holds_money(kind) and "currency" not in field_names(kind)


def _currency_in(event: Event, field: str, currency: str | None) -> str | None:
    source = _CURRENCY_FIELDS.get(type(event).__name__, {}).get(field, "currency")
    own: str | None = getattr(event, source, None)
    return currency if own is None else own


def _currency_of(
    kind: type[Event], payload: Mapping[str, Any], currencies: Currencies
) -> _CurrencyOf:
    if not holds_money(kind):
        return lambda _: None
    if _lacks_currency(kind):
        found = _agreed_currency(kind, payload, currencies)
        return lambda _: found
    sources = _CURRENCY_FIELDS.get(kind.__name__, {})
    for field in fields_of(kind):
        if field.name in ("currency", _ACCOUNT_CURRENCY, _GROUP_CURRENCY):
            _check_currency(field, payload)

    def own(name: str) -> str | None:
        named: str | None = payload.get(sources.get(name, "currency"))
        return currencies.of_subject(CUSTOMER, payload.get) if named is None else named

    return own


def _check_currency(field: Field, payload: Mapping[str, Any]) -> None:
    """That the field which says the currency says one; absence where it may be absent is fine."""
    if field.name not in payload and not field.has_default:
        raise _FieldError(field.name, "missing")
    value = payload.get(field.name)
    if value is None and field.nullable:
        return
    if not isinstance(value, str):
        raise _FieldError(field.name, f"{_shown(value)} is not a string")
    if not money.is_known(value):
        raise _FieldError(field.name, f"unknown currency {_shown(value)}")


def _agreed_currency(
    kind: type[Event], payload: Mapping[str, Any], currencies: Currencies
) -> str | None:
    """The currency that the line names, which must not contradict what is known; or what is."""
    named = payload.get("currency")
    if named is None:
        return currencies.of_payload(payload)
    if not isinstance(named, str) or not money.is_known(named):
        raise _FieldError("currency", f"unknown currency {_shown(named)}")
    subject = next((name for name in DOCUMENTS if name in field_names(kind)), CUSTOMER)
    known = currencies.of_subject(subject, payload.get)
    if known is not None and known != named:
        raise _FieldError("currency", f"{named}, but {subject} is in {known}")
    return named


def _shown(value: Any) -> str:
    text = "a fraction" if isinstance(value, _Fraction) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def _shown_key(key: str) -> str:
    return key if len(key) <= _SHOWN_MAX else key[:_SHOWN_MAX] + "…"
