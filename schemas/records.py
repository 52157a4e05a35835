"""The Avro files: what each event looks like on the wire.

`avro/<Type>.avsc` is what we write today. `released/<Type>-<version>.avsc` are the same files as
they were when `ids.lock.json` gave them an id; bytes that carry an old id are read with those.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import fastavro.schema
import msgspec

AvroSchema: TypeAlias = dict[str, Any] | list[Any] | str
"""An Avro schema as parsed JSON: a record or other complex type, a union, a type's name."""

NAMESPACE = "headroom"

# What an Avro parser needs of a schema to read and write bytes. Logical types are left out on
# purpose: inside the wall a day and an instant are plain integers.
_STRUCTURE = frozenset(
    {"type", "name", "namespace", "fields", "items", "values", "symbols", "size", "default"}
    | {"aliases"}
)


class LockedSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the lock file: this id means this version of this record, for ever.

    `fingerprint` is the SHA-256 of the schema's parsing canonical form; `release` is the version of
    the product that first wrote it.
    """

    id: int
    record: str
    version: int
    fingerprint: str
    release: str


class _LockFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schemas: list[LockedSchema]


def full_name(record: str) -> str:
    return f"{NAMESPACE}.{record}"


@cache
def current_text(record: str) -> str:
    """The file `avro/<record>.avsc` as it stands."""
    return files("schemas").joinpath("avro", f"{record}.avsc").read_text("utf-8")


def current(record: str) -> dict[str, Any]:
    """The schema that we write today."""
    schema: dict[str, Any] = json.loads(current_text(record))
    return schema


@cache
def released_text(record: str, version: int) -> str:
    """The file `released/<record>-<version>.avsc` as it stands."""
    return files("schemas").joinpath("released", f"{record}-{version}.avsc").read_text("utf-8")


def released(record: str, version: int) -> dict[str, Any]:
    """The schema that the lock file gave an id under this version."""
    schema: dict[str, Any] = json.loads(released_text(record, version))
    return schema


@cache
def locked() -> tuple[LockedSchema, ...]:
    """The lock file's rows, by id."""
    return parse_lock(files("schemas").joinpath("ids.lock.json").read_bytes())


def parse_lock(raw: bytes) -> tuple[LockedSchema, ...]:
    """The rows of a lock file's text.

    Raises:
        msgspec.ValidationError: it is not of the form that we write.
    """
    rows = msgspec.json.decode(raw, type=_LockFile).schemas
    return tuple(sorted(rows, key=lambda row: row.id))


def format_lock(rows: tuple[LockedSchema, ...]) -> str:
    """The lock file's text: one row a line, by id, so that a change of it is one line in a diff."""
    lines = ",\n".join("    " + msgspec.json.encode(row).decode() for row in rows)
    return '{\n  "schemas": [\n' + lines + "\n  ]\n}\n"


def fingerprint(schema: AvroSchema) -> str:
    """SHA-256 of the parsing canonical form, in hexadecimal: equal means equal bytes."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return str(fastavro.schema.fingerprint(canonical, "SHA-256"))


def structure(schema: AvroSchema) -> AvroSchema:
    """The schema without documentation and logical types, for reading raw integers."""
    if isinstance(schema, dict):
        kept = {name: value for name, value in schema.items() if name in _STRUCTURE}
        for name in ("type", "items", "values"):
            if name in kept:
                kept[name] = structure(kept[name])
        if "fields" in kept:
            kept["fields"] = [structure(field) for field in kept["fields"]]
        return kept
    if isinstance(schema, list):
        return [structure(branch) for branch in schema]
    return schema
