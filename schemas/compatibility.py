"""Whether today's schemas and the lock file keep what released ones promise.

* An id means one schema for ever: its released file is there and has its fingerprint.
* Today's schema of every event has an id.
* Inputs: today's reader reads all that any released writer wrote (BACKWARD_TRANSITIVE).
  Outputs: and every released reader reads what we write today (FULL_TRANSITIVE).
* A field never changes its unit (the logical type): Avro would read the bytes all the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas import events, records
from schemas.records import AvroSchema, LockedSchema


def check(
    rows: Iterable[LockedSchema],
    *,
    current: Callable[[str], dict[str, Any]] = records.current,
    released: Callable[[str, int], dict[str, Any]] = records.released,
) -> Iterator[str]:
    """Every fault, one sentence each; nothing when all is well."""
    rows = tuple(rows)
    broken = list(_check_lock(rows, released))
    if broken:
        # Without the schemas that were released there is nothing to compare with.
        yield from broken
        return
    outputs = {kind.__name__ for kind in events.OUTGOING}
    for record in events.BY_NAME:
        today = current(record)
        versions = [row for row in rows if row.record == record]
        yield from _check_has_id(record, today, versions)
        for row in versions:
            before = released(record, row.version)
            known = f"{record} version {row.version} (id {row.id}, release {row.release})"
            for fault in unreadable(reader=today, writer=before):
                yield f"what was written as {known} can no longer be read: {fault}"
            if record in outputs:
                for fault in unreadable(reader=before, writer=today):
                    yield f"subscribers that read {known} cannot read what is written now: {fault}"
            for fault in changed_units(before, today):
                yield f"{known}: {fault}"


def unreadable(*, reader: dict[str, Any], writer: dict[str, Any]) -> list[str]:
    """Why the reader cannot read what the writer writes, by Avro's rules of schema resolution."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(_parsed(reader), _parsed(writer))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    faults = "; ".join(sorted(result.messages))
    places = ", ".join(sorted(result.locations))
    return [f"{faults} (at {places})"]


def changed_units(before: AvroSchema, today: AvroSchema) -> list[str]:
    """Fields that are in both and whose values now mean something else."""
    units_today = _units(today)
    return [
        f"field {name} was {unit} and is now {units_today[name]}"
        for name, unit in _units(before).items()
        if name in units_today and units_today[name] != unit
    ]


def next_rows(
    rows: Iterable[LockedSchema],
    release: str,
    *,
    current: Callable[[str], dict[str, Any]] = records.current,
) -> list[LockedSchema]:
    """Rows to add to the lock: one for each event whose schema of today has no id yet."""
    rows = list(rows)
    added: list[LockedSchema] = []
    next_id = max((row.id for row in rows), default=0) + 1
    for record in events.BY_NAME:
        print_ = records.fingerprint(current(record))
        versions = [row for row in rows if row.record == record]
        if any(row.fingerprint == print_ for row in versions):
            continue
        version = max((row.version for row in versions), default=0) + 1
        added.append(LockedSchema(next_id + len(added), record, version, print_, release))
    return added


def _check_lock(
    rows: tuple[LockedSchema, ...], released: Callable[[str, int], dict[str, Any]]
) -> Iterator[str]:
    ids = Counter(f"id {row.id}" for row in rows)
    versions = Counter(f"version {row.version} of {row.record}" for row in rows)
    for what, times in (ids + versions).items():
        if times > 1:
            yield f"the lock file has {what} {times} times"
    for row in rows:
        file = f"released/{row.record}-{row.version}.avsc"
        try:
            fingerprint = records.fingerprint(released(row.record, row.version))
        except FileNotFoundError:
            yield f"{file}, the schema with id {row.id}, is gone: what was written with it is lost"
            continue
        if fingerprint != row.fingerprint:
            yield f"{file} is not the schema that id {row.id} was given to; it must never change"


def _check_has_id(
    record: str, today: dict[str, Any], versions: list[LockedSchema]
) -> Iterator[str]:
    if today.get("name") != record or today.get("namespace") != records.NAMESPACE:
        yield f"avro/{record}.avsc does not hold {records.full_name(record)}"
    if not any(row.fingerprint == records.fingerprint(today) for row in versions):
        yield f"the schema of {record} has no id yet: `headroom schemas lock` gives it one"


def _parsed(schema: dict[str, Any]) -> avro.schema.Schema:
    return avro.schema.parse(json.dumps(records.structure(schema)))


def _units(schema: AvroSchema, path: str = "") -> dict[str, str]:
    """Logical type (or plain type) of every primitive field, by its path."""
    if isinstance(schema, list):
        found: dict[str, str] = {}
        for branch in schema:
            found |= _units(branch, path) if branch != "null" else {}
        return found
    if isinstance(schema, dict) and "fields" in schema:
        found = {}
        for field in schema["fields"]:
            found |= _units(field["type"], f"{path}.{field['name']}".lstrip("."))
        return found
    if isinstance(schema, dict) and "items" in schema:
        return _units(schema["items"], path + "[]")
    if isinstance(schema, dict):
        return {path: str(schema.get("logicalType", "a plain value"))}
    return {path: "a plain value"}
