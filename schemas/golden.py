"""Golden bytes: what a message of each type looks like on the wire, for those who test a consumer
or a producer of their own against it.

`golden/<Type>.json` is made from `examples/`, which our own codec is tested against: for every
released version its schema id, a whole value in hexadecimal, the record as a reader of today's
schema finds it (Avro's plain values: minor units, microseconds, days), and the same event as JSON
line.
"""

from __future__ import annotations

import json
from importlib.resources import files
from io import BytesIO
from typing import Any

import fastavro

from schemas import catalogue, records
from schemas.records import LockedSchema

_HEADER_BYTES = 5
"""0x00 and the schema id, before the record."""


def documents() -> dict[str, str]:
    """Every file under `golden/`, by name, with its text."""
    return {f"{name}.json": _written(document(name)) for name in catalogue.EVENTS}


def document(name: str) -> dict[str, Any]:
    """What the file of a type says; the newest version comes last."""
    row = catalogue.EVENTS[name]
    versions = [each for each in records.locked() if each.record == name]
    return {
        "type": name,
        "full_name": records.full_name(name),
        "topic": row.topic,
        "key": row.key or None,
        "examples": [_example(each) for each in sorted(versions, key=lambda one: one.version)],
    }


def _example(row: LockedSchema) -> dict[str, Any]:
    place = files("schemas").joinpath("examples")
    value = place.joinpath(f"{row.record}-{row.version}.bin").read_bytes()
    line = place.joinpath(f"{row.record}-{row.version}.json").read_text("utf-8")
    return {
        "schema_id": row.id,
        "version": row.version,
        "schema": f"released/{row.record}-{row.version}.avsc",
        "value_hex": value.hex(),
        "record": _record(row, value),
        "event": json.loads(line),
    }


def _record(row: LockedSchema, value: bytes) -> Any:
    """Read with the schema that it was written with, and today's."""
    writer = fastavro.parse_schema(records.structure(records.released(row.record, row.version)))
    reader = fastavro.parse_schema(records.structure(records.current(row.record)))
    return fastavro.schemaless_reader(BytesIO(value[_HEADER_BYTES:]), writer, reader)


def _written(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
