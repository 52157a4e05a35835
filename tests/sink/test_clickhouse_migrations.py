"""Migrations: in order, once, forward only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from agents.sink.migrations import (
    Migration,
    RiskyMigrationError,
    applied_in,
    load_migrations,
    migrate,
    standings,
    statements_of,
)
from streams.errors import ConfigurationError


@pytest.mark.connected
def test_migrating_again_applies_nothing(tables: Client) -> None:
    assert migrate(tables) == []
    names = [migration.name for migration in load_migrations()]
    rows = tables.query(
        "SELECT name FROM headroom.schema_migrations FINAL ORDER BY number"
    ).result_rows
    assert [name for (name,) in rows] == names


@pytest.mark.connected
def test_every_statement_can_be_run_again(tables: Client) -> None:
    for migration in load_migrations():
        for statement in migration.statements:
            tables.command(statement)
    assert migrate(tables) == []


def test_every_statement_says_that_it_can_be_run_again() -> None:
    allowed = re.compile(
        r"CREATE TABLE IF NOT EXISTS|CREATE OR REPLACE VIEW|"
        r"CREATE MATERIALIZED VIEW IF NOT EXISTS|INSERT INTO headroom\.customer_records_raw|"
        r"ALTER TABLE \S+ ADD COLUMN IF NOT EXISTS"
    )
    for migration in load_migrations():
        for statement in migration.statements:
            assert allowed.match(statement), f"{migration.name}: {statement[:60]}"


@pytest.mark.connected
def test_a_file_that_changed_after_it_was_applied_is_refused_by_name(
    tables: Client, tmp_path: Path
) -> None:
    for migration in load_migrations():
        source = Path(__file__).parents[2] / "deploy" / "clickhouse" / migration.name
        text = source.read_text()
        (tmp_path / migration.name).write_text(text + ("\n" if migration.number == 2 else ""))
    with pytest.raises(ConfigurationError, match=r"0002_\w+\.sql changed after it was applied"):
        migrate(tables, load_migrations(tmp_path))


@pytest.mark.connected
def test_a_database_ahead_of_this_release_is_refused(tables: Client) -> None:
    with pytest.raises(ConfigurationError, match="this release does not know"):
        migrate(tables, load_migrations()[:-1])


def more(client: Client, *statements: str) -> list[Migration]:
    """The migrations of this release, which are applied, and one behind them."""
    assert migrate(client) == []
    known = load_migrations()
    return [*known, Migration(len(known) + 1, "9999_more.sql", "checksum", statements)]


@pytest.fixture
def numbers(tables: Client) -> Iterator[Client]:
    """A table `n` besides, and the ledger as it is when the test is over."""
    tables.command("CREATE TABLE IF NOT EXISTS headroom.n (a Int64) ENGINE = MergeTree ORDER BY ()")
    yield tables
    tables.command("DROP TABLE IF EXISTS headroom.n")
    tables.command("DELETE FROM headroom.schema_migrations WHERE name = '9999_more.sql'")


@pytest.mark.connected
def test_what_can_lose_rows_is_refused_by_name_and_nothing_is_applied(numbers: Client) -> None:
    numbers.insert("headroom.n", [[7]], column_names=["a"])
    files = more(
        numbers,
        "ALTER TABLE headroom.n ADD COLUMN IF NOT EXISTS b Int8",
        "ALTER TABLE headroom.n\n    MODIFY COLUMN a Int8",
    )
    with pytest.raises(RiskyMigrationError) as refused:
        migrate(numbers, files)
    assert str(refused.value).startswith(
        "ClickHouse's rows are at risk: 9999_more.sql: ALTER TABLE headroom.n MODIFY COLUMN a Int8:"
        " what stands in a as Int64 may not fit into Int8. Nothing was changed."
    )
    assert "`headroom clickhouse migrate --accept-risk`" in str(refused.value)
    assert numbers.query("SELECT * FROM headroom.n").column_names == ("a",)
    assert migrate(numbers, files, accept_risk=True) == ["9999_more.sql"]
    assert numbers.query("SELECT * FROM headroom.n").result_rows == [(7, 0)]
    assert migrate(numbers, files) == []


@pytest.mark.connected
def test_where_there_are_no_rows_nothing_is_at_risk(numbers: Client) -> None:
    files = more(numbers, "ALTER TABLE headroom.n MODIFY COLUMN a Int8")
    assert migrate(numbers, files) == ["9999_more.sql"]


@pytest.mark.connected
def test_every_migration_has_a_standing(tables: Client) -> None:
    known = load_migrations()
    applied = applied_in(tables)
    assert {one.state for one in standings(known, applied)} == {"applied"}
    changed = replace(known[0], checksum="another")
    new = Migration(len(known) + 1, "9999_more.sql", "checksum", ())
    found = standings([changed, *known[1:-1], new], applied)
    states = {one.name: one.state for one in found if one.state != "applied"}
    assert states == {
        known[0].name: "changed", known[-1].name: "unknown", "9999_more.sql": "missing",
    }  # fmt: skip
    ago = datetime.now(UTC) - min(one.applied_at for one in found if one.applied_at)
    assert timedelta(0) <= ago < timedelta(hours=1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a", "0003_c"], r"0003_c\.sql: expected migration number 0002"),
        (["0001_a", "0001_b"], r"0001_b\.sql: expected migration number 0002"),
        (["1_a"], r"1_a\.sql: a migration is called NNNN_name\.sql"),
        ([], "installation is incomplete"),
    ],
)
def test_a_wrong_set_of_files_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / f"{name}.sql").write_text("SELECT 1;\n")
    with pytest.raises(ConfigurationError, match=message):
        load_migrations(tmp_path)


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    text = "-- about; this\nSELECT ';' AS a,\n  -- why\n  1;\n\nSELECT 2"
    assert statements_of(text) == ("SELECT ';' AS a,\n  1", "SELECT 2")
