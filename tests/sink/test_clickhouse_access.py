"""Who may what: the statements of `headroom clickhouse access`.

The engine in the process makes no users by SQL, so what the statements grant is put into its file
of users, and tried there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from sink import access_trials
from sink.engine_of_its_own import granted, in_engine, user

from agents.sink.access import OWNERS, READERS, WRITERS, access_statements, tables_and_views
from agents.sink.migrations import load_migrations
from agents.sink.tables import TABLES

pytestmark = pytest.mark.connected

STATEMENTS = access_statements(load_migrations())
BASE_TABLES, VIEWS = tables_and_views(load_migrations())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an engine in which the owner, with its rights alone, made all there is."""
    directory = tmp_path_factory.mktemp("access")
    applied = in_engine(directory, access_trials.make, default=granted(grants_of(OWNERS)))
    assert applied == [migration.name for migration in load_migrations()]
    return directory


def grants_of(role: str) -> list[str]:
    """What a role is granted, as users.xml has it."""
    suffix = f" TO {role}"
    return [
        one.removesuffix(suffix)
        for one in STATEMENTS
        if one.startswith("GRANT ") and one.endswith(suffix)
    ]


def test_every_statement_is_one_that_clickhouse_reads(clickhouse: Client) -> None:
    for statement in (*STATEMENTS, *access_statements(load_migrations(), "main")):
        assert clickhouse.command("SELECT formatQuery({q:String})", {"q": statement})


def test_on_a_cluster_every_statement_runs_on_all_of_it() -> None:
    assert all(" ON CLUSTER 'main'" in one for one in access_statements(load_migrations(), "main"))


def test_tables_and_views_are_those_of_the_release(tables: Client) -> None:
    there = tables.query(
        "SELECT name, engine FROM system.tables WHERE database = 'headroom'"
        " AND name != 'schema_migrations' AND engine IN ('View', 'ReplacingMergeTree')"
    ).result_rows
    assert {name for name, engine in there if engine == "View"} == set(VIEWS)
    assert {name for name, engine in there if engine != "View"} == set(BASE_TABLES)
    assert set(TABLES) <= set(BASE_TABLES)


def test_no_password_is_known_to_anybody() -> None:
    made = [one for one in STATEMENTS if one.startswith("CREATE USER")]
    assert len(made) == 4
    assert all(re.search(r"IDENTIFIED WITH sha256_hash BY '0{64}'", one) for one in made)


def test_the_writer_fills_the_tables_that_the_owner_made_and_changes_none(made: Path) -> None:
    rights = granted(grants_of(WRITERS))
    written, told = in_engine(made, access_trials.write, default=rights)
    assert written == 1
    assert told == (
        "ClickHouse lacks 9999_new.sql, and its user may not change tables: run `headroom"
        " clickhouse migrate` with the DSN of a user who may"
    )
    statements = [
        "CREATE TABLE headroom.mine (a Int8) ENGINE = Memory",
        "TRUNCATE TABLE headroom.journal_raw",
        "ALTER TABLE headroom.journal_raw DELETE WHERE 1",
        "DROP TABLE headroom.journal_raw",
        "CREATE DATABASE other",
        "SELECT count() FROM headroom.order_decisions",
    ]
    answers = in_engine(made, access_trials.refused, statements, default=rights)
    assert answers == ["ACCESS_DENIED"] * len(statements)


def test_the_reader_reads_every_view_and_no_table(made: Path) -> None:
    changes = [one for one in STATEMENTS if one.startswith("ALTER TABLE")]
    views = [f"{one}(day = '2013-06-30')" if one == "ageing_on" else one for one in VIEWS]
    tables = [*BASE_TABLES, "schema_migrations"]
    users = user("headroom_owner", grants_of(OWNERS)) + user("headroom_reader", grants_of(READERS))
    before, answers = in_engine(made, access_trials.read, changes, [*views, *tables], users=users)
    assert before == "ACCESS_DENIED"  # a view reads with the rights of who asks, unless told
    assert answers == dict.fromkeys(views) | dict.fromkeys(tables, "ACCESS_DENIED")
