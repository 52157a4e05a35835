"""Writes Python for one record of ours: bytes into an event and an event into bytes.

A general Avro library looks at the schema for every value; for the few flat records on the hot path
it takes up to five times as long as code that was written for exactly them (`benchmarks/codec.py`
measures both). So the source of two functions is made from each schema of ours, once, at start.
Never from a schema that came from elsewhere: those go through fastavro (`codec`).

What a schema of ours may hold: string, int, long, boolean, each of them optional (a union with
null), and lists of strings or of records of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from schemas.events import Event
from schemas.fields import fields_of
from schemas.records import AvroSchema
from streams import varint

Decode: TypeAlias = Callable[[bytes], Event]
Encode: TypeAlias = Callable[[Event], bytes]

HEADER_BYTES = 5  # 0x00 and a schema id of four bytes
_LENGTHS = tuple(varint.long_bytes(length) for length in range(1024))
_NULL, _VALUE = 0, 2  # the two branches of an optional field, as zigzag numbers

_TEXT_AT = """\
n = b[p]
if n & 129: n, p = length_at(b, p)
else: n >>= 1; p += 1
q = p + n; {name} = b[p:q].decode(); p = q
"""

# Up to four bytes in place: amounts to 1.3 million euro, all dates.
_NUMBER_AT = """\
n = b[p]
if n < 128: p += 1
else:
    m = b[p + 1]
    if m < 128: n = n & 127 | m << 7; p += 2
    else:
        o = b[p + 2]
        if o < 128: n = n & 127 | (m & 127) << 7 | o << 14; p += 3
        else:
            q = b[p + 3]
            if q < 128: n = n & 127 | (m & 127) << 7 | (o & 127) << 14 | q << 21; p += 4
            else: n = -1
if n >= 0: {name} = ~(n >> 1) if n & 1 else n >> 1
else: {name}, p = {rare}(b, p)
"""

_INSTANT_AT = """\
n = from_bytes(b[p:p + 8], "little")
if n & CONTINUES == EIGHT_BYTES:
    n = n & 0x007f007f007f007f | (n & 0x7f007f007f007f00) >> 1
    n = n & 0x00003fff00003fff | (n & 0x3fff00003fff0000) >> 2
    n = n & 0x0fffffff | (n & 0x0fffffff00000000) >> 4
    {name} = n >> 1 ^ -(n & 1); p += 8
else: {name}, p = long_at(b, p)
"""

# {bits} of up to 14, up to 28 or more bits.
_NUMBER = (
    "ENDS[n] if (n := (m := {value}) << 1 ^ m >> 63) < 16384"
    " else GOES_ON[n & 16383] + ENDS[n >> 14] if n < 268435456 else {rare}(m)"
)
_INSTANT = (
    "GOES_ON[n & 16383] + GOES_ON[n >> 14 & 16383] + GOES_ON[n >> 28 & 16383] + ENDS[n >> 42]"
    " if 0 < (n := {value} << 1) >> 42 < 16384 else long_bytes({value})"
)

_BOOLEAN_AT = """\
n = b[p]; p += 1
if n > 1: raise Malformed(f"byte {{p - 1}}: neither true nor false")
{name} = n == 1
"""

_OPTIONAL_AT = """\
n = b[p]; p += 1
if n == 0: {name} = None
elif n == 2:
{value}
else: raise Malformed(f"byte {{p - 1}}: neither null nor a value")
"""

_LIST_AT = """\
{name} = []
while b[p]:
    n = b[p]
    if n == 2 and len({name}) < items_max: n = 1; p += 1
    else: n, p = items_at(b, p, items_max - len({name}))
    for _ in range(n):
{item}
        {name}.append({name}_item)
p += 1
"""


def decoder(record: type[Event], schema: dict[str, Any], items_max: int) -> Decode:
    """A function from a whole message, header included, to the event.

    It raises ValueError or IndexError, nothing else, for bytes that are no such record: truncated,
    with bytes to spare, a length or a number out of range, a list of more than `items_max` items.
    """
    body = _record_at(record, schema, "event")
    names = _namespace() | {"items_max": items_max}
    source = (
        f"def decode(b):\n    p = {HEADER_BYTES}\n{_indented(body, 1)}"
        "    if p != len(b): raise Malformed(f'{len(b) - p:+d} bytes after the end')\n"
        "    return event\n"
    )
    function: Decode = _compiled(source, "decode", names | _classes(record), record)
    return function


def encoder(record: type[Event], schema: dict[str, Any], schema_id: int) -> Encode:
    """A function from an event to the whole message.

    It raises OverflowError for a number that does not fit, UnicodeEncodeError for a lone surrogate,
    TypeError or AttributeError for a field of another type.
    """
    header = b"\0" + schema_id.to_bytes(4, "big")
    body, parts = _record_parts(record, schema, "event")
    source = f"def encode(event):\n{_indented(body, 1)}    return join((header, {parts}))\n"
    function: Encode = _compiled(source, "encode", _namespace() | {"header": header}, record)
    return function


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def _record_at(record: type[msgspec.Struct], schema: dict[str, Any], name: str) -> str:
    nested = {field.name: field.record for field in fields_of(record)}
    source = "".join(
        _value_at(field["type"], f"{name}_{field['name']}", nested[field["name"]])
        for field in schema["fields"]
    )
    arguments = ", ".join(f"{key['name']}={name}_{key['name']}" for key in schema["fields"])
    return source + f"{name} = {record.__name__}({arguments})\n"


def _value_at(schema: AvroSchema, name: str, nested: type[msgspec.Struct] | None) -> str:
    if isinstance(schema, list):
        value = _value_at(_optional(schema), name, nested)
        return _OPTIONAL_AT.format(name=name, value=_indented(value, 1).rstrip())
    if isinstance(schema, dict) and schema["type"] == "array":
        item = _value_at(schema["items"], f"{name}_item", nested)
        return _LIST_AT.format(name=name, item=_indented(item, 2).rstrip())
    if isinstance(schema, dict) and schema["type"] == "record" and nested is not None:
        return _record_at(nested, schema, name)
    match _word(schema):
        case "string":
            return _TEXT_AT.format(name=name)
        case "long":
            return _NUMBER_AT.format(name=name, rare="long_at")
        case "int" | "int date":
            return _NUMBER_AT.format(name=name, rare="int_at")
        case "long timestamp-micros":
            return _INSTANT_AT.format(name=name)
        case "boolean":
            return _BOOLEAN_AT.format(name=name)
        case other:
            raise TypeError(f"{name}: no code for {other}")


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def _record_parts(
    record: type[msgspec.Struct], schema: dict[str, Any], name: str
) -> tuple[str, str]:
    """Statements that must come first, and the expressions of the bytes, in order."""
    nested = {field.name: field.record for field in fields_of(record)}
    body, parts = "", []
    for field in schema["fields"]:
        before, part = _value_parts(
            field["type"], f"{name}.{field['name']}", f"{name}_{field['name']}",
            nested[field["name"]],
        )  # fmt: skip
        body += before
        parts.append(part)
    return body, ", ".join(parts)


def _value_parts(
    schema: AvroSchema, value: str, name: str, nested: type[msgspec.Struct] | None
) -> tuple[str, str]:
    if isinstance(schema, list):
        body, parts = _value_parts(_optional(schema), name, f"{name}_value", nested)
        some = _indented(f"{body}{name} = join((b'\\2', {parts}))\n", 1)
        return f"{name} = {value}\nif {name} is None: {name} = b'\\0'\nelse:\n{some}", name
    if isinstance(schema, dict) and schema["type"] == "array":
        body, parts = _value_parts(schema["items"], f"{name}_item", f"{name}_part", nested)
        items = _indented(f"{body}{name} += ({parts},)\n", 2)
        return (
            f"{name} = b'\\0'\nif {value}:\n    {name} = [long_bytes(len({value}))]\n"
            f"    for {name}_item in {value}:\n{items}"
            f"    {name}.append(b'\\0'); {name} = join({name})\n"
        ), name
    if isinstance(schema, dict) and schema["type"] == "record" and nested is not None:
        return _record_parts(nested, schema, value)
    match _word(schema):
        case "string":
            length = f"LENGTHS[n] if (n := len({name})) < {len(_LENGTHS)} else long_bytes(n)"
            return f"{name} = {value}.encode()\n", f"{length}, {name}"
        case "long":
            return "", _NUMBER.format(value=value, rare="long_bytes")
        case "int" | "int date":
            return "", _NUMBER.format(value=value, rare="int_bytes")
        case "long timestamp-micros":
            return "", _INSTANT.format(value=value)
        case "boolean":
            return "", f"(b'\\1' if {value} else b'\\0')"
        case other:
            raise TypeError(f"{name}: no code for {other}")


# ── both ────────────────────────────────────────────────────────────────────────────────────────


def _word(schema: AvroSchema) -> str:
    if isinstance(schema, dict):
        return f"{schema['type']} {schema.get('logicalType', '')}".rstrip()
    return str(schema)


def _optional(union: list[Any]) -> AvroSchema:
    if len(union) != len((_NULL, _VALUE)) or union[0] != "null":
        raise TypeError(f"no code for the union {union}")
    value: AvroSchema = union[1]
    return value


def _indented(source: str, levels: int) -> str:
    return "".join("    " * levels + line for line in source.splitlines(keepends=True))


def _classes(record: type[msgspec.Struct]) -> dict[str, Any]:
    found: dict[str, Any] = {record.__name__: record}
    for field in fields_of(record):
        if field.record is not None:
            found |= _classes(field.record)
    return found


def _namespace() -> dict[str, Any]:
    return {
        "CONTINUES": varint.CONTINUES,
        "EIGHT_BYTES": varint.EIGHT_BYTES,
        "LENGTHS": _LENGTHS,
        "Malformed": varint.MalformedError,
        "from_bytes": int.from_bytes,
        "join": b"".join,
        "items_at": varint.items_at,
        "length_at": varint.length_at,
        "long_at": varint.long_at,
        "int_at": varint.int_at,
        "long_bytes": varint.long_bytes,
        "int_bytes": varint.int_bytes,
        "ENDS": varint.ENDS,
        "GOES_ON": varint.GOES_ON,
    }


def _compiled(source: str, name: str, names: dict[str, Any], record: type[Event]) -> Any:
    # The source is ours from first to last: the schemas that it is made from lie in this package.
    exec(compile(source, f"<{name} {record.__name__}>", "exec"), names)  # noqa: S102
    return names[name]
