"""A stranger's schema may not turn few bytes into much memory."""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events, records
from streams.varint import MalformedError
from streams.writer_schema import UnsafeSchemaError, check_lists, written_out


def _record(*types: Any, name: str = "R") -> dict[str, Any]:
    fields = [{"name": f"f{at}", "type": each} for at, each in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _laughs(levels: int) -> dict[str, Any]:
    """Each level holds ten of the level below: few words, 10 ** levels values."""
    below: Any = "null"
    for level in range(levels):
        name = f"L{level}"
        first = {"type": "record", "name": name, "fields": [{"name": "x", "type": below}]}
        below = _record(first, *[name] * 9, name=f"M{level}")
    return below  # type: ignore[no-any-return]


def _deep(levels: int) -> Any:
    schema: Any = "long"
    for _ in range(levels):
        schema = _array(schema)
    return schema


_UNSAFE: list[tuple[str, Any, str]] = [
    ("list of nulls", _record(_array("null")), "take no bytes"),
    ("map of nulls", _record({"type": "map", "values": "null"}), "take no bytes"),
    ("list of empty records", _record(_array(_record(name="E"))), "take no bytes"),
    ("list of records of null", _record(_array(_record("null", name="E"))), "take no bytes"),
    (
        "list of records, some of null",
        _record(_array(_record("long", "null", name="E"))),
        "take no",
    ),
    (
        "list of nothing fixed",
        _record(_array({"type": "fixed", "name": "F", "size": 0})),
        "no size",
    ),
    ("list by name", _record(_record(name="E"), _array("E")), "take no bytes"),
    ("itself", _record(["null", "R"]), "holds itself"),
    ("itself in a list", _record(_array("R")), "holds itself"),
    ("itself by full name", {**_record("a.R"), "namespace": "a"}, "holds itself"),
    ("a million values", _laughs(6), "more than"),
    ("too deep", _record(_deep(40)), "levels"),
    ("far too deep", _record(_deep(400)), "levels"),
    ("unknown name", _record("Nobody"), "not defined"),
    ("no name", {"type": "record", "fields": []}, "without a name"),
    ("no fields", {"type": "record", "name": "R"}, "without fields"),
    ("fields of words", {"type": "record", "name": "R", "fields": ["x"]}, "without fields"),
    ("fixed of a word", _record({"type": "fixed", "name": "F", "size": "9"}), "no size"),
    ("number for a type", _record(5), "not an Avro schema"),
    ("nothing for a type", _record(None), "not an Avro schema"),
    ("list without items", _record({"type": "array"}), "not defined"),
]


@pytest.mark.parametrize(
    ("schema", "problem"), [each[1:] for each in _UNSAFE], ids=[each[0] for each in _UNSAFE]
)
def test_unsafe_schema_is_refused_at_once(schema: Any, problem: str) -> None:
    started = time.perf_counter()
    with pytest.raises(UnsafeSchemaError, match=problem):
        written_out(schema)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "schema",
    [
        _record(_array(["null", "long"])),
        _record("null", "long"),
        _record({"type": "fixed", "name": "F", "size": 0}),
        _record(_record("long", name="A"), "A", _array("A")),
        _record({"type": "map", "values": _array("string")}),
        _record({"type": {"type": "string", "logicalType": "uuid"}}),
        *[records.current(name) for name in sorted(events.BY_NAME)],
    ],
)
def test_safe_schema_is_accepted(schema: Any) -> None:
    assert written_out(schema)


_SCHEMA = _record(
    "null", "boolean", "int", "float", "double", "bytes",
    {"type": "enum", "name": "E", "symbols": ["A", "B"]},
    {"type": "fixed", "name": "F", "size": 3},
    _array(_record("string", ["null", "long"], name="I")),
    {"type": "map", "values": _array("long")},
)  # fmt: skip
_VALUES = st.fixed_dictionaries(
    {
        "f0": st.none(),
        "f1": st.booleans(),
        "f2": st.integers(-(2**31), 2**31 - 1),
        "f3": st.just(0.5),
        "f4": st.floats(allow_nan=False),
        "f5": st.binary(max_size=8),
        "f6": st.sampled_from("AB"),
        "f7": st.binary(min_size=3, max_size=3),
        "f8": st.lists(
            st.fixed_dictionaries({"f0": st.text(max_size=4), "f1": st.none() | st.integers(0, 9)}),
            max_size=3,
        ),
        "f9": st.dictionaries(
            st.text(max_size=3), st.lists(st.integers(0, 9), max_size=3), max_size=3
        ),
    }
)


@given(_VALUES)
def test_lists_are_looked_at_to_the_last_byte(values: dict[str, Any]) -> None:
    """The walk ends where the value ends, and counts the items of every list on the way."""
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(_SCHEMA), values)
    raw, schema = stream.getvalue(), written_out(_SCHEMA)
    assert check_lists(raw, 0, schema, 3) == len(raw)
    longest = max(len(values["f8"]), len(values["f9"]), *map(len, values["f9"].values()), 0)
    if longest:
        with pytest.raises(MalformedError, match="a list goes on"):
            check_lists(raw, 0, schema, longest - 1)
