"""What was written stays readable, what subscribers read stays written, an id stays what it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from schemas import compatibility, events, records
from schemas.records import LockedSchema

_Change = Callable[[dict[str, Any]], None]


def _field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(field for field in schema["fields"] if field["name"] == name)
    return found


def _add_optional(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "note", "type": ["null", "string"], "default": None})


def _add_required(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "note", "type": "string"})


def _drop_amount(schema: dict[str, Any]) -> None:
    schema["fields"].remove(_field(schema, "amount"))


def _amount_to_text(schema: dict[str, Any]) -> None:
    _field(schema, "amount")["type"] = "string"


def _amount_to_int(schema: dict[str, Any]) -> None:
    _field(schema, "amount")["type"] = "int"


def _amount_may_be_null(schema: dict[str, Any]) -> None:
    _field(schema, "amount")["type"] = ["null", "long"]


def _instant_in_milliseconds(schema: dict[str, Any]) -> None:
    _field(schema, "occurred_at")["type"]["logicalType"] = "timestamp-millis"


def _say_it_better(schema: dict[str, Any]) -> None:
    schema["doc"] = "Other words."


# change, does an input stay compatible, does an output
_CHANGES: list[tuple[_Change, bool, bool]] = [
    (_say_it_better, True, True),
    (_add_optional, True, True),
    (_add_required, False, False),
    (_drop_amount, True, False),
    (_amount_to_text, False, False),
    (_amount_to_int, False, False),
    (_amount_may_be_null, True, False),
    (_instant_in_milliseconds, False, False),
]


def _newest(record: str) -> int:
    return max(row.version for row in records.locked() if row.record == record)


def _faults_after(record: str, change: _Change) -> list[str]:
    """What the check says when the record was changed and the change was given an id."""
    changed = records.current(record)
    change(changed)

    def current(name: str) -> dict[str, Any]:
        return copy.deepcopy(changed) if name == record else records.current(name)

    def released(name: str, version: int) -> dict[str, Any]:
        latest = (name, version) == (record, _newest(record) + 1)
        return copy.deepcopy(changed) if latest else records.released(name, version)

    rows = records.locked()
    rows = (*rows, *compatibility.next_rows(rows, "0.2.0", current=current))
    return list(compatibility.check(rows, current=current, released=released))


def test_the_schemas_as_they_are_break_nothing() -> None:
    assert list(compatibility.check(records.locked())) == []


@pytest.mark.parametrize(
    ("change", "input_is_fine", "output_is_fine"),
    _CHANGES,
    ids=[change.__name__.strip("_") for change, _, _ in _CHANGES],
)
def test_change_is_judged_by_who_has_to_read_it(
    change: _Change, input_is_fine: bool, output_is_fine: bool
) -> None:
    """Inputs must stay readable for us; outputs for subscribers that do not know the new form."""
    assert (_faults_after("OrderPlaced", change) == []) == input_is_fine
    assert (_faults_after("OrderDecision", change) == []) == output_is_fine


def test_fault_names_the_record_the_version_and_the_field() -> None:
    *_, fault = _faults_after("OrderPlaced", _add_required)
    assert "OrderPlaced version " in fault
    assert "note" in fault


def test_schema_without_an_id_is_told_and_gets_the_next_one() -> None:
    rows = [row for row in records.locked() if row.record != "DunningStep"]
    assert any("DunningStep has no id" in fault for fault in compatibility.check(rows))
    (added,) = compatibility.next_rows(rows, "0.2.0")
    assert added.record == "DunningStep"
    assert added.version == 1
    assert added.id == max(row.id for row in rows) + 1
    assert added.release == "0.2.0"


def test_locking_twice_adds_nothing() -> None:
    """An id is given once: a second `lock` without a change in between is idle."""
    assert compatibility.next_rows(records.locked(), "9.9.9") == []


def test_released_file_that_was_touched_or_lost_is_told() -> None:
    def touched(name: str, version: int) -> dict[str, Any]:
        schema = records.released(name, version)
        if name == "OrderPlaced":
            _amount_to_text(schema)
        if name == "OrderHeld":
            raise FileNotFoundError
        return schema

    faults = list(compatibility.check(records.locked(), released=touched))
    assert len(faults) == 1 + _newest("OrderPlaced")
    assert any("OrderPlaced-1.avsc is not the schema" in fault for fault in faults)
    assert any("OrderHeld-1.avsc" in fault for fault in faults)


def test_id_that_is_given_twice_is_told() -> None:
    rows = records.locked()
    again = LockedSchema(rows[0].id, "Other", 1, rows[0].fingerprint, "0.1.0")

    def released(name: str, version: int) -> dict[str, Any]:
        return records.released(rows[0].record if name == "Other" else name, version)

    faults = list(compatibility.check((*rows, again), released=released))
    assert faults == [f"the lock file has id {rows[0].id} 2 times"]


def test_lock_file_is_what_we_would_write() -> None:
    """One row a line, by id; reading and writing it changes nothing."""
    rows = records.locked()
    text = records.format_lock(rows)
    assert records.parse_lock(text.encode()) == rows
    assert len(text.splitlines()) == len(rows) + 4
    assert {row.record for row in rows} == set(events.BY_NAME)
