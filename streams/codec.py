"""Bytes into events and events into bytes: Avro in the Confluent wire format.

A message is 0x00, four bytes of schema id, and the record. What carries today's id is read by code
made for exactly that record (`record_code`); what carries another id, an older release's or a
registry's, by fastavro with Avro's rules of schema resolution. Logical types stay what they are
inside the wall: plain integers.

Bytes from outside are hostile until read. Whatever they hold, `decode` gives an event or raises
`InvalidMessage`; time and memory grow with the size of the message and no faster.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol, TypeAlias, TypeVar

import fastavro
import msgspec

from schemas import events, records
from schemas.events import Event
from schemas.records import AvroSchema
from streams import record_code
from streams.errors import InvalidMessage, InvariantViolated
from streams.record_code import HEADER_BYTES, Decode, Encode
from streams.varint import MalformedError
from streams.writer_schema import UnsafeSchemaError, check_lists, written_out

BYTES_MAX = 1 << 20
ITEMS_MAX = 10_000
"""Items in one list. A plan of weekly instalments over a lifetime has 4,000."""

_MAGIC = 0
_NAMES = {records.full_name(name): kind for name, kind in events.BY_NAME.items()}

_Read: TypeAlias = Callable[[bytes], Event]
_AnyEvent = TypeVar("_AnyEvent", bound=Event)


class SchemaIds(Protocol):
    """Which id means which schema; see `streams.registry`."""

    def id_of(self, record: str) -> int:
        """The id under which we write the event."""
        ...

    def writer(self, schema_id: int) -> AvroSchema:
        """The schema that an id means.

        Raises:
            InvalidMessage: with `unknown_schema`, when nobody knows it.
        """
        ...


class Codec:
    """Reads and writes every event of the product. One per process is enough."""

    def __init__(
        self, ids: SchemaIds, *, bytes_max: int = BYTES_MAX, items_max: int = ITEMS_MAX
    ) -> None:
        """Make the code for all events, once.

        Args:
            ids: which schema id means which schema.
            bytes_max: the largest message that is read at all, header included.
            items_max: the most items that one list may have.
        """
        self._ids = ids
        self._bytes_max = bytes_max
        self._items_max = items_max
        self._encoders: dict[type[Event], Encode] = {}
        self._decoders: dict[bytes, _Read] = {}
        self._types: dict[bytes, str] = {}
        self._fingerprints: dict[str, tuple[str, Decode]] = {}
        for name, kind in events.BY_NAME.items():
            self._prepare(name, kind)

    def decode(self, raw: bytes | None) -> Event:
        """The event in a message's value.

        Raises:
            InvalidMessage: `too_large`; `undecodable`: not in the wire format, or not a value of
                its schema; `unknown_schema`: an id that nobody knows, or a schema that is not safe
                to read with; `unknown_type`: a record that is none of our events.
        """
        if raw is None:
            raise InvalidMessage("undecodable", "a message without a value")
        if len(raw) > self._bytes_max:
            raise InvalidMessage(
                "too_large", f"{len(raw)} bytes, at most {self._bytes_max} are read"
            )
        header = raw[:HEADER_BYTES]
        read = self._decoders.get(header) or self._learn(header)
        try:
            return read(raw)
        except (ValueError, IndexError) as fault:
            raise self._undecodable(header, fault) from fault

    def encode(self, event: Event) -> bytes:
        """The message's value, under today's schema.

        Raises:
            InvariantViolated: a field holds what its type cannot be, which is a fault of ours.
        """
        try:
            return self._encoders[type(event)](event)
        except (OverflowError, UnicodeEncodeError, TypeError, AttributeError, KeyError) as fault:
            raise InvariantViolated(f"{type(event).__name__} cannot be written: {fault}") from fault

    def type_of(self, raw: bytes | None) -> str:
        """The event's type by the schema id alone, without reading the record.

        Raises:
            InvalidMessage: as `decode`, for what the first five bytes tell.
        """
        if raw is None:
            raise InvalidMessage("undecodable", "a message without a value")
        header = raw[:HEADER_BYTES]
        if header not in self._types:
            read = self._learn(header)
            if header not in self._types:
                read(header)  # refuses: that is all that such a function does
        return self._types[header]

    def _prepare(self, name: str, kind: type[Event]) -> None:
        schema = records.current(name)
        schema_id = self._ids.id_of(name)
        header = _header(schema_id)
        self._encoders[kind] = record_code.encoder(kind, schema, schema_id)
        decode = record_code.decoder(kind, schema, self._items_max)
        self._fingerprints[name] = records.fingerprint(schema), decode
        self._decoders[header] = decode
        self._types[header] = name

    def _learn(self, header: bytes) -> _Read:
        """How to read messages with this header; remembered, unless nobody knows the id."""
        if len(header) < HEADER_BYTES or header[0] != _MAGIC:
            raise InvalidMessage(
                "undecodable", "does not begin with 0x00 and a schema id of four bytes"
            )
        schema_id = int.from_bytes(header[1:], "big")
        schema = self._ids.writer(schema_id)
        name = _record_name(schema)
        kind = _NAMES.get(name)
        if kind is None:
            shown = (
                f"schema id {schema_id} is {name[:100] or 'no record'}, which is no event of ours"
            )
            read = _refusing(lambda: InvalidMessage("unknown_type", shown, schema_id=schema_id))
        else:
            try:
                read = self._reader(schema, kind)
                self._types[header] = kind.__name__
            except UnsafeSchemaError as fault:
                refused = f"schema id {schema_id} is refused: {fault}"
                read = _refusing(
                    lambda: InvalidMessage("unknown_schema", refused, schema_id=schema_id)
                )
        self._decoders[header] = read
        return read

    def _reader(self, schema: AvroSchema, kind: type[Event]) -> _Read:
        expanded = written_out(schema)
        try:
            structure = records.structure(schema)
            fingerprint = records.fingerprint(structure)
            writer = fastavro.parse_schema(structure)
        except Exception as fault:
            raise UnsafeSchemaError(f"not an Avro schema ({type(fault).__name__})") from fault
        today, decode = self._fingerprints[kind.__name__]
        if fingerprint == today:
            return decode
        reader = fastavro.parse_schema(records.structure(records.current(kind.__name__)))
        return self._resolving(writer, reader, expanded, kind)

    def _resolving(
        self, writer: Any, reader: Any, expanded: AvroSchema, kind: type[_AnyEvent]
    ) -> _Read:
        items_max = self._items_max
        encode = self._encoders[kind]

        def read(raw: bytes) -> Event:
            # Every item takes a byte at least, so a list can only be too long in a long message.
            if len(raw) - HEADER_BYTES > items_max:
                check_lists(raw, HEADER_BYTES, expanded, items_max)
            stream = BytesIO(raw)
            stream.seek(HEADER_BYTES)
            try:
                fields = fastavro.schemaless_reader(stream, writer, reader)
                event = msgspec.convert(fields, kind)
                encode(event)  # what cannot be written cannot have been read: numbers out of range
            except MemoryError:
                raise
            except Exception as fault:
                raise MalformedError(f"does not fit its schema ({type(fault).__name__})") from fault
            if stream.tell() != len(raw):
                raise MalformedError(f"{len(raw) - stream.tell()} bytes after the end")
            return event

        return read

    def _undecodable(self, header: bytes, fault: Exception) -> InvalidMessage:
        detail = "ends in the middle of a value" if isinstance(fault, IndexError) else str(fault)
        return InvalidMessage(
            "undecodable",
            detail,
            schema_id=int.from_bytes(header[1:], "big"),
            type=self._types.get(header),
        )


def _header(schema_id: int) -> bytes:
    return bytes((_MAGIC,)) + schema_id.to_bytes(HEADER_BYTES - 1, "big")


def _record_name(schema: AvroSchema) -> str:
    """Full name of a record's schema; empty for anything else."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return ""
    name, namespace = schema.get("name"), schema.get("namespace")
    if not isinstance(name, str):
        return ""
    return f"{namespace}.{name}" if isinstance(namespace, str) and "." not in name else name


def _refusing(fault: Callable[[], InvalidMessage]) -> _Read:
    def refuse(_raw: bytes) -> Event:
        raise fault()

    return refuse
