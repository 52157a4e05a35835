"""What the fields of the events are: read from the classes' annotations, which name the units.

`events.py` writes `amount: Minor`, `due_on: Day | None = None`; the annotation's words are the
specification that JSON lines, the checks at intake, the wire and the documentation all follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Literal, TypeAlias, cast

import msgspec

from schemas import events

Kind: TypeAlias = Literal["text", "integer", "boolean", "minor", "day", "instant", "record"]

_KINDS: dict[str, Kind] = {
    "str": "text",
    "int": "integer",
    "bool": "boolean",
    "Minor": "minor",
    "Day": "day",
    "Instant": "instant",
}
_ANNOTATION = re.compile(r"(?:list\[(?P<item>\w+)\]|(?P<plain>\w+))(?P<optional> \| None)?")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a record.

    Attributes:
        name: the same in Avro, JSON, ClickHouse and Python.
        kind: what one value is; for a list, what one item is.
        is_list: a list of such values.
        nullable: None is a value.
        has_default: a sender may leave it out.
        record: the class of a nested record.
    """

    name: str
    kind: Kind
    is_list: bool
    nullable: bool
    has_default: bool
    record: type[msgspec.Struct] | None = None


@cache
def fields_of(record: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of an event or of a record in one, in the order of the wire."""
    annotations: dict[str, str] = {}
    for base in reversed(record.__mro__):
        annotations |= cast("Mapping[str, str]", vars(base).get("__annotations__", {}))
    specified = {field.name: field for field in msgspec.structs.fields(record)}
    return tuple(
        _field(name, annotations[name], not specified[name].required)
        for name in record.__struct_fields__
    )


@cache
def field_names(record: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(record.__struct_fields__)


def holds_money(record: type[msgspec.Struct]) -> bool:
    """Whether any field, at any depth, is an amount of minor units."""
    return any(
        field.kind == "minor" or (field.record is not None and holds_money(field.record))
        for field in fields_of(record)
    )


def _field(name: str, annotation: str, has_default: bool) -> Field:
    match = _ANNOTATION.fullmatch(annotation)
    if match is None:
        raise TypeError(f"no field of an event can be {annotation!r} ({name})")
    word = match["item"] or match["plain"]
    kind = _KINDS.get(word)
    record = getattr(events, word) if kind is None else None
    return Field(
        name=name,
        kind=kind or "record",
        is_list=match["item"] is not None,
        nullable=match["optional"] is not None,
        has_default=has_default,
        record=record,
    )
