"""Events for property tests, made from the fields that the classes declare."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from schemas import money
from schemas.events import BY_NAME, Event
from schemas.fields import Field, fields_of

CURRENCIES = ["EUR", "JPY", "KWD", "USD", "CLF"]
LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
# The years that RFC 3339 can write.
DAYS = st.integers(-719_162, 2_932_896)
INSTANTS = st.integers(-719_162 * 86_400_000_000, 2_932_897 * 86_400_000_000 - 1)


def anything(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Whatever the wire can carry, true or not."""
    return _records(kind, {"day": INTS, "instant": LONGS, "text": TEXTS}, TEXTS)


def writable(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """What JSON can carry too: known currencies, days of the calendar."""
    return _records(
        kind, {"day": DAYS, "instant": INSTANTS, "text": TEXTS}, st.sampled_from(CURRENCIES)
    )


def any_event() -> st.SearchStrategy[Event]:
    return st.sampled_from(sorted(BY_NAME)).flatmap(lambda name: anything(BY_NAME[name]))


def writable_event() -> st.SearchStrategy[Event]:
    return st.sampled_from(sorted(BY_NAME)).flatmap(lambda name: writable(BY_NAME[name]))


def example(kind: type[msgspec.Struct]) -> Any:
    """One plain event of the type, every optional field given; always the same."""
    return kind(**{field.name: _example(field) for field in fields_of(kind)})


def _records(
    kind: type[msgspec.Struct], by_kind: dict[str, Any], currency: st.SearchStrategy[str]
) -> st.SearchStrategy[Any]:
    own = {"integer": INTS, "boolean": st.booleans(), "minor": LONGS} | by_kind

    def values(field: Field) -> st.SearchStrategy[Any]:
        if field.record is not None:
            each: st.SearchStrategy[Any] = _records(field.record, by_kind, currency)
        else:
            each = currency if field.name.endswith("currency") else own[field.kind]
        if field.is_list:
            each = st.lists(each, max_size=4)
        return st.none() | each if field.nullable else each

    return st.builds(kind, **{field.name: values(field) for field in fields_of(kind)})


def _example(field: Field) -> Any:
    if field.record is not None:
        value: Any = example(field.record)
    elif field.name.endswith("currency") or field.name == "base":
        value = "EUR"
    elif field.name in _WORDS:
        value = _WORDS[field.name]
    else:
        value = _PLAIN[field.kind]
    return [value] if field.is_list else value


_WORDS = {"quote": "USD", "rate": "1.0825", "kind": "b2b", "outcome": "partly"}
_PLAIN = {
    "text": "X-1",
    "integer": 3,
    "boolean": True,
    "minor": 1_250,
    "day": 20_514,
    "instant": 1_772_443_800_000_000,
}
assert all(money.is_known(code) for code in CURRENCIES)
