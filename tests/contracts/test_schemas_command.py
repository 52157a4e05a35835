"""`headroom schemas`: what it prints, writes and exits with."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.cli import schemas as command
from schemas import catalogue, golden, records

_RUN = CliRunner()


def test_check_is_content_with_the_schemas_as_they_are() -> None:
    done = _RUN.invoke(command.app, ["check"])
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "65 schemas are compatible" in done.stderr


def test_check_prints_every_fault_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(row for row in records.locked() if row.record != "OrderHeld")
    monkeypatch.setattr(records, "locked", lambda: rows)
    done = _RUN.invoke(command.app, ["check"])
    assert "OrderHeld has no id" in done.stdout
    assert isinstance(done.exception, command.SchemasError)


def test_lock_adds_ids_for_new_schemas_and_keeps_their_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rows that are there stay as they are; a second time there is nothing to add."""
    (tmp_path / "released").mkdir()
    rows = tuple(row for row in records.locked() if row.record != "OrderHeld")
    monkeypatch.setattr(records, "locked", lambda: rows)
    monkeypatch.setattr(command, "_PACKAGE", tmp_path)
    done = _RUN.invoke(command.app, ["lock", "--release", "0.2.0"])
    assert done.exit_code == 0
    locked = records.parse_lock((tmp_path / "ids.lock.json").read_bytes())
    assert set(rows) < set(locked)
    (added,) = set(locked) - set(rows)
    assert (added.record, added.version, added.release) == ("OrderHeld", 1, "0.2.0")
    assert f"id {added.id}: OrderHeld version 1" in done.stdout
    released = tmp_path / "released" / "OrderHeld-1.avsc"
    assert released.read_text(encoding="utf-8") == records.current_text("OrderHeld")
    monkeypatch.setattr(records, "locked", lambda: locked)
    again = _RUN.invoke(command.app, ["lock", "--release", "0.3.0"])
    assert "0 ids added" in again.stderr
    assert records.parse_lock((tmp_path / "ids.lock.json").read_bytes()) == locked


def test_docs_are_written_where_asked(tmp_path: Path) -> None:
    place = tmp_path / "schemas" / "golden"
    place.mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (place / "NoMore.json").touch()
    assert _RUN.invoke(command.app, ["docs", "--to", str(tmp_path)]).exit_code == 0
    topics = tmp_path / "docs" / "topics.md"
    assert topics.read_text(encoding="utf-8") == catalogue.documentation()
    document = tmp_path / "schemas" / "asyncapi.json"
    assert document.read_text(encoding="utf-8") == command.asyncapi_text()
    found = {path.name: path.read_text(encoding="utf-8") for path in place.iterdir()}
    assert found == golden.documents()


def test_docs_outside_the_source_tree_say_so(tmp_path: Path) -> None:
    done = _RUN.invoke(command.app, ["docs", "--to", str(tmp_path)])
    assert isinstance(done.exception, command.SchemasError)
    assert "source tree" in str(done.exception)
