"""Bytes and events: what is written reads back, old writers stay readable, the rest is told."""

from __future__ import annotations

import copy
from io import BytesIO
from typing import Any

import fastavro
import msgspec
import pytest
from contracts.event_strategies import any_event, example
from hypothesis import given

from schemas import events, records
from schemas.events import Event, OrderPlaced, PaymentReceived
from schemas.records import AvroSchema
from streams.codec import Codec
from streams.errors import InvalidMessage, InvariantViolated
from streams.registry import LockedSchemaIds

_CODEC = Codec(LockedSchemaIds())
_ORDER = OrderPlaced(
    event_id="e-1",
    occurred_at=1_772_443_800_000_000,
    customer_id="C-1",
    order_id="O-1",
    amount=125_000,
    currency="EUR",
)


class Ids:
    """The lock file's ids, and some writers more."""

    def __init__(self, *writers: AvroSchema) -> None:
        self._locked = LockedSchemaIds()
        self._writers = {1000 + at: schema for at, schema in enumerate(writers)}

    def id_of(self, record: str) -> int:
        return self._locked.id_of(record)

    def writer(self, schema_id: int) -> AvroSchema:
        return self._writers.get(schema_id) or self._locked.writer(schema_id)


def avro(schema: Any, fields: Any) -> bytes:
    """The body that fastavro writes."""
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(records.structure(schema)), fields)
    return stream.getvalue()


def message(body: bytes, schema_id: int = 1000) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + body


def refused(codec: Codec, raw: bytes | None) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        codec.decode(raw)
    return caught.value


# ── today's schemas ──


@given(any_event())
def test_event_that_is_written_reads_back(event: Event) -> None:
    raw = _CODEC.encode(event)
    assert _CODEC.decode(raw) == event
    assert _CODEC.type_of(raw) == type(event).__name__


@given(any_event())
def test_bytes_are_those_of_a_general_avro_library(event: Event) -> None:
    """The code that is made for each record and fastavro write and read the same."""
    schema = records.current(type(event).__name__)
    fields = msgspec.to_builtins(event)
    raw = _CODEC.encode(event)
    assert raw[5:] == avro(schema, fields)
    parsed = fastavro.parse_schema(records.structure(schema))
    assert fastavro.schemaless_reader(BytesIO(raw[5:]), parsed, None) == fields


@pytest.mark.parametrize("per_block", range(5))
def test_array_in_blocks_of_any_kind_is_read(per_block: int) -> None:
    """Other writers divide lists into blocks and say the blocks' sizes; the events are the same."""
    parts = [{"invoice_id": f"I-{at}", "amount": at} for at in range(7)]
    payment = example(PaymentReceived)
    body = _CODEC.encode(msgspec.structs.replace(payment, allocations=[]))
    start = body.rindex(b"\0\2\1")  # no allocations, then `cleared`: true
    item = records.current("PaymentReceived")["fields"][7]["type"]["items"]
    written = [avro(item, part) for part in parts]
    blocks = b""
    for at in range(0, len(written), per_block + 1):
        block = written[at : at + per_block + 1]
        size = sum(map(len, block))
        blocks += avro("long", -len(block)) + avro("long", size) + b"".join(block)
    read = _CODEC.decode(body[:start] + blocks + body[start:])
    assert isinstance(read, PaymentReceived)
    assert msgspec.to_builtins(read.allocations) == parts


def test_days_and_instants_stay_integers() -> None:
    invoice = _CODEC.decode(_CODEC.encode(example(events.InvoiceIssued)))
    assert isinstance(invoice, events.InvoiceIssued)
    assert type(invoice.due_on) is int
    assert type(invoice.occurred_at) is int


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", 2**63), ("amount", "5"), ("amount", None), ("deliver_on", 2**31), ("order_id", 5),
     ("order_id", "\ud800"), ("occurred_at", -(2**63) - 1), ("amount", 1.5)],
)  # fmt: skip
def test_event_that_cannot_be_written_is_a_fault_of_ours(field: str, value: Any) -> None:
    with pytest.raises(InvariantViolated, match="OrderPlaced"):
        _CODEC.encode(msgspec.structs.replace(_ORDER, **{field: value}))


# ── bytes that are no event ──


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (None, "undecodable", "without a value"),
        (b"", "undecodable", "does not begin"),
        (b"\0\0\0\0", "undecodable", "does not begin"),
        (b'{"type": "OrderPlaced"}', "undecodable", "does not begin"),
        (b"\1\0\0\0\6abc", "undecodable", "does not begin"),
        (b"\0\xff\xff\xff\xff", "unknown_schema", "4294967295"),
        (b"\0\0\0\0\0", "unknown_schema", "schema id 0"),
        (b"\0" * (1 << 20) + b"\0", "too_large", "1048577"),
    ],
)
def test_bytes_that_are_no_event_are_refused_with_the_reason(
    raw: bytes | None, reason: str, detail: str
) -> None:
    fault = refused(_CODEC, raw)
    assert fault.reason == reason
    assert detail in fault.detail


def test_record_that_is_none_of_ours_is_an_unknown_type() -> None:
    other = {"type": "record", "name": "Other", "namespace": "headroom", "fields": []}
    foreign = records.current("OrderPlaced") | {"namespace": "shop"}
    codec = Codec(Ids(other, foreign, "string", ["null", "string"]))
    for schema_id in (1000, 1001, 1002, 1003):
        for _ in range(2):  # the first time it is looked at, then it is remembered
            fault = refused(codec, message(b"", schema_id))
            assert fault.reason == "unknown_type"
            assert fault.schema_id == schema_id
        with pytest.raises(InvalidMessage):
            codec.type_of(message(b"", schema_id))


@pytest.mark.parametrize("name", sorted(events.BY_NAME))
def test_every_truncation_and_every_byte_to_spare_is_refused(name: str) -> None:
    """No prefix of a message is a message, and none goes on after its end."""
    raw = _CODEC.encode(example(events.BY_NAME[name]))
    for end in range(5, len(raw)):
        fault = refused(_CODEC, raw[:end])
        assert fault.reason == "undecodable"
        assert fault.type == name
    assert "after the end" in refused(_CODEC, raw + b"\0").detail


def test_refusal_does_not_tell_what_the_message_holds() -> None:
    raw = _CODEC.encode(msgspec.structs.replace(_ORDER, customer_id="secret-name"))
    assert "secret" not in str(refused(_CODEC, raw + b"\0"))
    assert "secret" not in str(refused(_CODEC, raw[:-9]))


def test_sizes_are_settings() -> None:
    raw = _CODEC.encode(_ORDER)
    assert refused(Codec(LockedSchemaIds(), bytes_max=len(raw) - 1), raw).reason == "too_large"
    assert Codec(LockedSchemaIds(), bytes_max=len(raw)).decode(raw) == _ORDER


@pytest.mark.parametrize("per_block", [1, 3, 100])
def test_list_may_have_as_many_items_as_the_setting_says_and_no_more(per_block: int) -> None:
    """However the writer divides it into blocks."""
    codec = Codec(LockedSchemaIds(), items_max=6)
    promise = example(events.PromiseToPayMade)
    raw = codec.encode(msgspec.structs.replace(promise, invoice_ids=["a"]))
    start = raw.index(b"\2\2a\0")
    for count in (6, 7):
        blocks = b""
        for at in range(0, count, per_block):
            here = min(per_block, count - at)
            blocks += avro("long", here) + b"\2a" * here
        changed = raw[:start] + blocks + raw[start + 3 :]
        if count == 6:
            read = codec.decode(changed)
            assert isinstance(read, events.PromiseToPayMade)
            assert read.invoice_ids == ["a"] * 6
        else:
            assert "a list goes on" in refused(codec, changed).detail


# ── other writers ──


def _without(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    left = [field for field in schema["fields"] if field["name"] not in names]
    return schema | {"fields": left}


def _with(schema: dict[str, Any], name: str, kind: AvroSchema) -> dict[str, Any]:
    return schema | {"fields": [{"name": name, "type": kind}, *schema["fields"]]}


_INNER = {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "boolean"}]}


@pytest.mark.parametrize("name", sorted(events.BY_NAME))
def test_writer_that_does_not_know_our_optional_fields_is_read(name: str) -> None:
    """An older writer against today's reader: what it left out is not said."""
    event = example(events.BY_NAME[name])
    schema = records.current(name)
    optional = [field["name"] for field in schema["fields"] if "default" in field]
    if not optional:
        return
    older = _without(schema, *optional)
    fields = {
        key: value for key, value in msgspec.to_builtins(event).items() if key not in optional
    }
    codec = Codec(Ids(older))
    raw = message(avro(older, fields))
    read = codec.decode(raw)
    assert read == type(event)(**{key: getattr(event, key) for key in fields})
    assert codec.type_of(raw) == name


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "red"),
        ("double", 0.5),
        (["null", "string"], None),
        ({"type": "map", "values": "long"}, {"a": 1}),
        ({"type": "array", "items": ["null", "string"]}, [None, "a"]),
        ({"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}, "BLUE"),
        ({"type": "fixed", "name": "Hash", "size": 4}, b"abcd"),
        (_INNER, {"x": True}),
        ({"type": "long", "logicalType": "timestamp-millis"}, 5),
    ],
)  # fmt: skip
def test_writer_with_a_field_that_we_do_not_know_is_read(kind: AvroSchema, value: Any) -> None:
    """A newer writer against today's reader: what we do not know is passed over."""
    newer = _with(records.current("OrderPlaced"), "colour", kind)
    fields = msgspec.to_builtins(_ORDER) | {"colour": value}
    assert Codec(Ids(newer)).decode(message(avro(newer, fields))) == _ORDER


def test_same_schema_under_another_id_is_read() -> None:
    """A registry has ids of its own; the words of the documentation do not matter."""
    same = records.current("OrderPlaced") | {"doc": "Other words."}
    raw = message(_CODEC.encode(_ORDER)[5:])
    assert Codec(Ids(same)).decode(raw) == _ORDER


@pytest.mark.parametrize(
    ("field", "kind", "value"),
    [
        ("amount", "string", "5"),
        ("amount", "double", 5.0),
        ("amount", ["null", "long"], None),
        ("deliver_on", "long", 2**40),
        ("order_id", "bytes", b"\xff"),
        ("order_id", "long", 5),
        ("currency", ["string", "long"], 5),
    ],
)
def test_writer_whose_values_do_not_fit_is_refused(
    field: str, kind: AvroSchema, value: Any
) -> None:
    other = copy.deepcopy(records.current("OrderPlaced"))
    changed = next(each for each in other["fields"] if each["name"] == field)
    changed["type"] = kind
    changed.pop("default", None)
    fields = msgspec.to_builtins(_ORDER) | {field: value}
    fault = refused(Codec(Ids(other)), message(avro(other, fields)))
    assert fault.reason == "undecodable"
    assert fault.type == "OrderPlaced"


def test_other_writers_messages_are_held_to_the_same_ends() -> None:
    newer = _with(records.current("OrderPlaced"), "colour", "string")
    codec = Codec(Ids(newer))
    raw = message(avro(newer, msgspec.to_builtins(_ORDER) | {"colour": "red"}))
    for end in range(5, len(raw)):
        assert refused(codec, raw[:end]).reason == "undecodable"
    assert "after the end" in refused(codec, raw + b"\0").detail


def test_other_writers_lists_are_held_to_the_same_length() -> None:
    newer = _with(records.current("OrderPlaced"), "tags", {"type": "array", "items": "string"})
    codec = Codec(Ids(newer), items_max=100)
    for count in (100, 101):
        fields = msgspec.to_builtins(_ORDER) | {"tags": ["a"] * count}
        raw = message(avro(newer, fields))
        if count == 100:
            assert codec.decode(raw) == _ORDER
        else:
            assert "a list goes on" in refused(codec, raw).detail


def test_unsafe_schema_is_refused_and_named() -> None:
    endless: dict[str, Any] = _with(
        records.current("OrderPlaced"), "more", {"type": "array", "items": "null"}
    )
    codec = Codec(Ids(endless))
    for _ in range(2):
        fault = refused(codec, message(b"\2\0"))
        assert fault.reason == "unknown_schema"
        assert "take no bytes" in fault.detail
        assert fault.schema_id == 1000
