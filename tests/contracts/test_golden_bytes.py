"""The bytes of every released schema, as files: today's code reads and writes exactly them."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from schemas import records
from schemas.currencies import Currencies
from schemas.events import Event
from schemas.json_lines import parse_line, to_line
from schemas.records import LockedSchema
from streams.codec import Codec
from streams.registry import LockedSchemaIds

_EXAMPLES = files("schemas").joinpath("examples")
_NEWEST = {row.record: row.version for row in records.locked()}


def _example(row: LockedSchema) -> tuple[str, bytes]:
    name = f"{row.record}-{row.version}"
    line = _EXAMPLES.joinpath(f"{name}.json").read_text("utf-8").rstrip("\n")
    return line, _EXAMPLES.joinpath(f"{name}.bin").read_bytes()


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(LockedSchemaIds())


@pytest.mark.parametrize("row", records.locked(), ids=lambda row: f"{row.record}-{row.version}")
def test_released_bytes_are_read_as_the_event_beside_them(codec: Codec, row: LockedSchema) -> None:
    """Every released writer, today's reader; the newest is written byte for byte as well."""
    line, raw = _example(row)
    event = parse_line(line, Currencies())
    assert isinstance(event, Event)
    assert codec.decode(raw) == event
    assert codec.type_of(raw) == row.record
    assert int.from_bytes(raw[1:5], "big") == row.id
    assert to_line(event, json.loads(line).get("currency")) == line
    if row.version == _NEWEST[row.record]:
        assert codec.encode(event) == raw


def test_there_is_an_example_of_every_released_schema_and_of_nothing_else() -> None:
    expected = {
        f"{row.record}-{row.version}.{ending}"
        for row in records.locked()
        for ending in ("json", "bin")
    }
    assert {path.name for path in _EXAMPLES.iterdir()} == expected
