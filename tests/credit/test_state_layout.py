"""State written by release 1 is read by today's code, and the other way round.

`state_1.json` is frozen: of every kind of value its bytes and, by name, what they mean; of every
record the order of its fields. A record is an array, so a field may only be added at the end, with
a default: an older release then passes over it, and a newer one finds the default.
"""

from __future__ import annotations

import json
import typing
from pathlib import Path
from types import UnionType
from typing import Any

import msgspec
import pytest

from agents.core.records import Record
from agents.credit import state

_FROZEN = json.loads((Path(__file__).parent / "state_1.json").read_text())
_KINDS = {f"X\0{kind}": decoder.type for kind, decoder in state._DECODERS.items()} | {
    f"\0{kind}": decoder.type for kind, decoder in state._PARTITION_DECODERS.items()
}


def filled(kind: Any) -> Any:
    """A value of a type in which no field has its default."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{name: filled(hints[name]) for name in kind.__struct_fields__})
    if origin in (typing.Union, UnionType):
        return filled(next(one for one in arguments if one is not type(None)))
    if origin is list:
        return [filled(arguments[0])]
    if origin is dict:
        return {filled(arguments[0]): filled(arguments[1])}
    if origin is tuple:
        return tuple(filled(one) for one in arguments)
    return {bool: True, int: 7, str: "x", Any: "any"}[kind]


def named(value: Any) -> Any:
    """A value with its fields by name, as JSON knows it."""
    match value:
        case msgspec.Struct():
            return {name: named(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {str(key): named(entry) for key, entry in value.items()}
        case list() | tuple():
            return [named(entry) for entry in value]
        case _:
            return value


def without_new(value: Any, frozen: Any) -> Any:
    """A named value without the fields that the frozen one does not have."""
    if isinstance(frozen, dict) and isinstance(value, dict):
        return {name: without_new(value[name], frozen[name]) for name in frozen}
    if isinstance(frozen, list) and isinstance(value, list) and len(frozen) == len(value):
        return [without_new(*pair) for pair in zip(value, frozen, strict=True)]
    return value


def records() -> dict[str, type[msgspec.Struct]]:
    """Every record that stands in the state."""
    return {one.__name__: one for one in Record.__subclasses__()}


@pytest.mark.parametrize("key", list(_FROZEN["values"]))
def test_bytes_of_release_1_mean_today_what_they_meant(key: str) -> None:
    frozen = _FROZEN["values"][key]
    read = named(state.decode(key, bytes.fromhex(frozen["bytes"])))
    assert without_new(read, frozen["means"]) == frozen["means"]


@pytest.mark.parametrize("key", list(_KINDS))
def test_every_kind_of_value_is_frozen(key: str) -> None:
    assert key in _FROZEN["values"], "freeze it with its first release"


@pytest.mark.parametrize("name", list(_FROZEN["fields"]))
def test_release_1_reads_the_records_of_today(name: str) -> None:
    """Its fields come first and in its order; what is new has a default."""
    kind = records()[name]
    old = _FROZEN["fields"][name]
    assert list(kind.__struct_fields__[: len(old)]) == old
    for field in msgspec.structs.fields(kind)[len(old) :]:
        assert field.default is not msgspec.NODEFAULT or (
            field.default_factory is not msgspec.NODEFAULT
        ), f"{name}.{field.name} needs a default"


@pytest.mark.parametrize("name", list(_FROZEN["fields"]))
def test_a_layout_without_the_last_field_reads_a_value_of_today(name: str) -> None:
    """What the rule above relies on: an older array is a beginning of a newer one."""
    kind = records()[name]
    value = filled(kind)
    older = msgspec.defstruct(
        f"Older{name}",
        [(field, Any) for field in kind.__struct_fields__[:-1]],
        array_like=True,
    )
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=older)
    whole = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    assert [getattr(read, field) for field in read.__struct_fields__] == whole[:-1]


def test_every_record_is_frozen() -> None:
    assert records().keys() == _FROZEN["fields"].keys()
