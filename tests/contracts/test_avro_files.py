"""The Avro files and the classes say the same, field by field."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import fastavro
import pytest

from schemas import events, records
from schemas.fields import Field, fields_of
from schemas.records import AvroSchema

_PRIMITIVES: dict[str, AvroSchema] = {
    "text": "string",
    "integer": "int",
    "boolean": "boolean",
    "minor": "long",
    "day": {"type": "int", "logicalType": "date"},
    "instant": {"type": "long", "logicalType": "timestamp-micros"},
}
_NAMES = sorted(events.BY_NAME)


def _expected_type(field: Field, found: Any) -> AvroSchema:
    """The type that the annotation asks for; a nested record is compared on its own."""
    plain = found[1] if field.nullable else found
    if field.record is not None:
        inner: AvroSchema = plain["items"] if field.is_list else plain
    else:
        inner = _PRIMITIVES[field.kind]
    kind: AvroSchema = {"type": "array", "items": inner} if field.is_list else inner
    return ["null", kind] if field.nullable else kind


def _check_record(kind: Any, schema: dict[str, Any]) -> None:
    assert schema["name"] == kind.__name__
    assert schema["doc"].endswith(".")
    assert [field["name"] for field in schema["fields"]] == list(kind.__struct_fields__)
    for field, found in zip(fields_of(kind), schema["fields"], strict=True):
        place = f"{kind.__name__}.{field.name}"
        assert found["type"] == _expected_type(field, found["type"]), place
        assert ("default" in found) == field.has_default, place
        if field.has_default:
            assert found["default"] == ([] if field.is_list else None), place
        assert found["doc"].endswith("."), place
        if field.kind in ("minor", "day", "instant"):
            assert "Unit: " in found["doc"], place
        if field.record is not None:
            _check_record(field.record, found["type"]["items"])


@pytest.mark.parametrize("name", _NAMES)
def test_avro_file_has_the_fields_of_its_class(name: str) -> None:
    """Name, order, type, unit, default of every field, and words for each."""
    schema = records.current(name)
    assert schema["namespace"] == records.NAMESPACE
    _check_record(events.BY_NAME[name], schema)


def test_there_is_one_avro_file_per_event_and_no_other() -> None:
    found = {
        path.name.removesuffix(".avsc") for path in files("schemas").joinpath("avro").iterdir()
    }
    assert found == set(events.BY_NAME)


@pytest.mark.parametrize("name", _NAMES)
def test_avro_file_is_a_schema_to_avro(name: str) -> None:
    fastavro.parse_schema(records.current(name))


def test_structure_keeps_what_reads_bytes_and_drops_logical_types() -> None:
    """The bytes are the same, so the fingerprint is; days and instants come out as integers."""
    for name in _NAMES:
        schema = records.current(name)
        bare = records.structure(schema)
        assert records.fingerprint(bare) == records.fingerprint(schema)
        assert "logicalType" not in str(bare)
        assert "doc" not in str(bare)


def test_every_money_field_of_an_outgoing_event_is_a_count_of_minor_units() -> None:
    """Shares are decimal strings; nothing is a floating-point number."""
    for name in _NAMES:
        text = records.current_text(name)
        assert '"float"' not in text
        assert '"double"' not in text
    for kind, field in (
        (events.OrderDecision, "utilisation"),
        (events.CreditLimitAlert, "threshold"),
        (events.FxRatePublished, "rate"),
    ):
        (found,) = (each for each in fields_of(kind) if each.name == field)
        assert found.kind == "text"
