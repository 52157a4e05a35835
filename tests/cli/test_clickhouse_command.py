"""`headroom clickhouse`: what is missing, what would run, and running it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result

from agents.cli.clickhouse import app
from agents.sink import migrations
from agents.sink.migrations import Migration, load_migrations, migrate

NAMES = [one.name for one in load_migrations()]

Ask = Callable[..., Result]


@pytest.fixture
def ask(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """The command, on an embedded engine that has never been unless the test says otherwise."""
    clean_environment.setenv("HEADROOM_EMBEDDED_DIR", str(tmp_path / "embedded"))
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def ask_engine(ask: Ask, clickhouse: Client, engine_dir: Path, monkeypatch: Any) -> Ask:
    """The command, on the session's engine with all tables."""
    migrate(clickhouse)
    monkeypatch.setenv("HEADROOM_EMBEDDED_DIR", str(engine_dir))
    return ask


def test_where_no_engine_has_been_all_is_missing_and_looking_makes_none(
    ask: Ask, tmp_path: Path
) -> None:
    shown = ask("migrations")
    assert shown.exit_code == 1
    assert [line.split() for line in shown.stdout.splitlines()] == [
        [name, "missing"] for name in NAMES
    ]
    dry = ask("migrate", "--dry-run")
    assert dry.exit_code == 1
    assert str(dry.exception) == f"would be applied: {', '.join(NAMES)}"
    assert not (tmp_path / "embedded").exists()


def test_the_statements_of_a_dry_run_are_those_of_the_files_in_their_order(ask: Ask) -> None:
    wanted = [one for migration in load_migrations() for one in migration.statements]
    for shown in (ask("migrate", "--dry-run").stdout, ask("ddl").stdout):
        for statement in wanted:
            _, found, shown = shown.partition(f"{statement};\n")  # noqa: PLW2901  what is behind it
            assert found
    assert "ON CLUSTER 'main'" in ask("ddl", "--cluster", "main").stdout
    assert "ON CLUSTER 'main'" in ask("access", "--cluster", "main").stdout
    assert "ON CLUSTER" not in ask("access").stdout


@pytest.mark.connected
def test_with_all_applied_there_is_nothing_to_do(ask_engine: Ask) -> None:
    listed = json.loads(ask_engine("migrations", "--json").stdout)
    assert [(one["name"], one["state"]) for one in listed] == [(name, "applied") for name in NAMES]
    for arguments in (["migrations"], ["migrate", "--dry-run"], ["migrate"]):
        assert ask_engine(*arguments).exit_code == 0


@pytest.mark.connected
def test_a_risk_is_marked_in_the_dry_run_refused_and_run_when_accepted(
    ask_engine: Ask, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    clickhouse.command("CREATE TABLE headroom.n (a Int64) ENGINE = MergeTree ORDER BY a")
    clickhouse.insert("headroom.n", [[7]], column_names=["a"])
    drop = "DROP TABLE IF EXISTS headroom.n"
    files = [*load_migrations(), Migration(len(NAMES) + 1, "9999_more.sql", "checksum", (drop,))]
    for module in ("agents.cli.clickhouse", "agents.sink.migrations"):
        monkeypatch.setattr(f"{module}.load_migrations", lambda: files)
    dry = ask_engine("migrate", "--dry-run")
    assert f"-- RISK: drops the table and its rows\n{drop};\n" in dry.stdout
    assert str(dry.exception) == (
        "would be applied: 9999_more.sql; 1 statements need --accept-risk"
    )
    assert isinstance(ask_engine("migrate").exception, migrations.RiskyMigrationError)
    assert clickhouse.command("SELECT a FROM headroom.n") == 7
    done = ask_engine("migrate", "--accept-risk")
    assert (done.exit_code, done.stdout) == (0, "9999_more.sql: applied\n")
    assert clickhouse.command("EXISTS TABLE headroom.n") == 0
    clickhouse.command("DELETE FROM headroom.schema_migrations WHERE name = '9999_more.sql'")
