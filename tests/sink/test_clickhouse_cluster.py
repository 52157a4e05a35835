"""The tables on a cluster: what is rendered, that ClickHouse reads it, and that figures are right
over two shards. There is no cluster here: replication and ON CLUSTER are read, not run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from sink import cluster_trials
from sink.engine_of_its_own import in_engine

from agents.policy_file import load_policy
from agents.sink.access import tables_and_views
from agents.sink.agent import connect
from agents.sink.cluster import first_statements, rendered, sharding_key
from agents.sink.migrations import load_migrations, migrate
from agents.sink.tables import TABLES
from streams.errors import ConfigurationError
from streams.settings import Settings

SOURCE = [one for migration in load_migrations() for one in migration.statements]
RENDERED = [one for statement in SOURCE for one in rendered(statement, "main")]


def test_without_a_cluster_every_statement_is_what_the_file_says() -> None:
    assert [rendered(one, None) for one in SOURCE] == [(one,) for one in SOURCE]


def test_everything_runs_on_all_of_the_cluster() -> None:
    """But what writes rows: that goes through the tables in front."""
    for statement in (*first_statements("main"), *RENDERED):
        assert " ON CLUSTER 'main'" in statement or statement.startswith("INSERT INTO"), statement


def test_a_base_table_is_replicated_in_its_shard_and_stands_behind_a_distributed_one() -> None:
    for table in tables_and_views(load_migrations())[0]:
        (local,) = (one for one in RENDERED if _makes(f"{table}_local")(one))
        (front,) = (one for one in RENDERED if _makes(table)(one))
        place = r"'/clickhouse/tables/\{shard\}/\{database\}/\{table\}', '\{replica\}'"
        assert re.search(rf"^ENGINE = Replicated\w*MergeTree\({place}", local, re.MULTILINE)
        assert f" AS headroom.{table}_local\n" in front
        assert f"Distributed('main', 'headroom', '{table}_local', cityHash64(" in front
        assert "non_replicated" not in local


def test_tokens_of_inserts_are_known_for_as_many_inserts_as_on_one_server() -> None:
    for table in TABLES:
        (alone,) = (one for one in SOURCE if _makes(table)(one))
        (local,) = (one for one in RENDERED if _makes(f"{table}_local")(one))
        window = re.search(r"non_replicated_deduplication_window = (\d+)", alone)
        assert window is not None
        assert f"replicated_deduplication_window = {window[1]}," in local
        assert "replicated_deduplication_window_seconds = 604800" in local


def test_the_ledger_of_migrations_is_one_for_all_shards() -> None:
    ledger = first_statements("main")[1]
    assert "'/clickhouse/tables/headroom/schema_migrations', '{shard}-{replica}'" in ledger


def test_a_change_of_columns_is_one_of_both_tables_any_other_of_the_stored_one() -> None:
    column = "ALTER TABLE headroom.a_raw ADD COLUMN b String, MODIFY COLUMN c Decimal(9, 2)"
    assert rendered(column, "main") == (
        column.replace("a_raw", "a_raw_local ON CLUSTER 'main'"),
        column.replace("a_raw", "a_raw ON CLUSTER 'main'"),
    )
    projection = "ALTER TABLE headroom.a_raw ADD PROJECTION p (SELECT a, b ORDER BY b)"
    assert rendered(projection, "main") == (
        projection.replace("a_raw", "a_raw_local ON CLUSTER 'main'"),
    )
    with pytest.raises(ConfigurationError, match="in a statement of their own"):
        rendered("ALTER TABLE headroom.a_raw ADD COLUMN b Int8, REMOVE TTL", "main")


@pytest.mark.parametrize(
    "statement",
    [
        "RENAME TABLE headroom.a TO headroom.b",
        "CREATE TABLE headroom.a (b Int8) ENGINE = MergeTree ORDER BY b",
        "CREATE TABLE IF NOT EXISTS headroom.a\n(\n    b Int8\n)\nENGINE = Memory",
        "CREATE TABLE IF NOT EXISTS headroom.a\n(\n    b Int8\n)\nENGINE = MergeTree()",
        "SELECT 1",
    ],
)
def test_what_is_written_in_another_way_is_refused_not_guessed(statement: str) -> None:
    with pytest.raises(ConfigurationError, match="not known how this statement runs on a cluster"):
        rendered(statement, "main")


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("version", "version"),
        ("(a, b)", "a"),
        ("(cityHash64(a, b), c)", "cityHash64(a, b)"),
        ("(toDate(a), b)\nSETTINGS x = 1", "toDate(a)"),
        ("(\n    a,\n    b\n)\nTTL d", "a"),
    ],
)
def test_the_shard_is_told_by_what_the_sorting_key_begins_with(order: str, key: str) -> None:
    table = "CREATE TABLE IF NOT EXISTS headroom.a\n(\n    a Int8\n)\nENGINE = MergeTree"
    assert sharding_key(f"{table}\nORDER BY {order}") == f"cityHash64({key})"


@pytest.mark.connected
def test_clickhouse_reads_every_statement_of_a_cluster(clickhouse: Client) -> None:
    for statement in (*first_statements("{cluster}"), *RENDERED):
        assert clickhouse.command("SELECT formatQuery({q:String})", {"q": statement})


@pytest.mark.connected
def test_the_shard_of_a_row_is_told_by_its_sorting_key_as_clickhouse_has_it(tables: Client) -> None:
    for table in tables_and_views(load_migrations())[0]:
        (alone,) = (one for one in SOURCE if _makes(table)(one))
        key = tables.command(
            "SELECT sorting_key FROM system.tables"
            " WHERE database = 'headroom' AND name = {t:String}",
            {"t": table},
        )
        assert f"{key}, ".startswith(sharding_key(alone).removeprefix("cityHash64(")[:-1] + ", ")


@pytest.mark.connected
def test_tables_of_one_server_do_not_become_those_of_a_cluster(tables: Client) -> None:
    with pytest.raises(ConfigurationError, match="are those of one server"):
        migrate(tables, cluster="main")


@pytest.mark.connected
@pytest.mark.parametrize(("cluster", "waits"), [(None, None), ("two", "1")])
def test_on_a_cluster_an_insert_is_answered_when_the_shards_have_it(
    tables: Client,
    engine_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    cluster: str | None,
    waits: str | None,
) -> None:
    assert migrate(tables) == []
    monkeypatch.setattr("agents.sink.agent.migrate", lambda *_, **__: [])
    settings = Settings(embedded_dir=engine_dir, clickhouse_dsn=None, clickhouse_cluster=cluster)
    client = connect(settings, load_policy(None))
    assert client.get_client_setting("distributed_foreground_insert") == waits
    assert tables.command("SELECT count() FROM headroom.policies_raw") == 1
    client.close()


@pytest.mark.connected
@pytest.mark.slow
def test_every_figure_is_the_same_over_two_shards_as_on_one_server(tmp_path: Path) -> None:
    views, shards, repeats = in_engine(tmp_path, cluster_trials.compare)
    assert {view: different for view, (_, different) in views.items() if different} == {}
    filled = {view for view, (rows, _) in views.items() if rows}
    assert filled >= {"ageing", "cash_forecast", "dso", "exposure_total_by_day", "order_holds"}
    assert filled >= {"dunning_effectiveness", "hold_rate", "letters"}
    assert repeats > 100
    assert [number for number, _ in shards] == [1, 2]
    assert all(rows > 20 for _, rows in shards)


def _makes(table: str) -> Callable[[str], object]:
    return re.compile(rf"CREATE TABLE IF NOT EXISTS headroom\.{table}(?!\w)").match
