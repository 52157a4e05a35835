"""What of a migration can lose or rewrite rows, as ClickHouse itself reads the statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from agents.sink.migrations import load_migrations
from agents.sink.risks import risks_of
from streams.embedded.clickhouse import find_endpoint

pytestmark = pytest.mark.connected

HARMLESS = [
    "CREATE TABLE IF NOT EXISTS headroom.new_raw (a Int8) ENGINE = MergeTree ORDER BY a",
    "CREATE OR REPLACE VIEW headroom.v AS SELECT 'DROP TABLE headroom.r' AS a",
    "DROP VIEW IF EXISTS headroom.v",
    "INSERT INTO headroom.r (a) SELECT a FROM headroom.empty_r",
    "ALTER TABLE headroom.r ADD COLUMN IF NOT EXISTS d String AFTER a",
    "ALTER TABLE headroom.r ADD PROJECTION p (SELECT a ORDER BY a)",
    "ALTER TABLE headroom.r MATERIALIZE PROJECTION p",
    "ALTER TABLE headroom.r ADD INDEX i a TYPE minmax GRANULARITY 1",
    "ALTER TABLE headroom.r MODIFY SETTING non_replicated_deduplication_window = 5",
    "ALTER TABLE headroom.r MODIFY COLUMN b CODEC(ZSTD(3))",
    "ALTER TABLE headroom.r MODIFY COLUMN a Int64",
    "ALTER TABLE headroom.r MODIFY COLUMN b LowCardinality(String)",
    "ALTER TABLE headroom.r MODIFY COLUMN c Array(Nullable(DateTime64(6, 'UTC')))",
    "ALTER TABLE headroom.not_made_yet DROP COLUMN a",
    "TRUNCATE TABLE headroom.empty_r",
    "ALTER TABLE headroom.empty_r MODIFY ORDER BY (a, b)",
]
RISKY = {
    "DROP TABLE headroom.r": "drops the table and its rows",
    "drop /* why not */ table if exists headroom.empty_r, headroom.r": "drops the table",
    "DROP DATABASE headroom": "drops every table",
    "TRUNCATE headroom.r": "removes every row",
    "DELETE FROM headroom.r WHERE a = 1": "removes rows",
    "UPDATE headroom.r SET b = 'x' WHERE a = 1": "rewrites rows",
    "OPTIMIZE TABLE headroom.r FINAL DEDUPLICATE": "rewrites the table",
    "RENAME TABLE headroom.r TO headroom.s": "under a name that is written to and read",
    "EXCHANGE TABLES headroom.r AND headroom.empty_r": "under a name that is written to",
    "CREATE OR REPLACE TABLE headroom.r (a Int8) ENGINE = Memory": "an empty table",
    "REPLACE TABLE headroom.r (a Int8) ENGINE = Memory": "in the place of the one that is there",
    "DETACH TABLE headroom.r": "takes the table away",
    "DROP VIEW headroom.kept": "drops a view that keeps rows of its own",
    "GRANT SELECT ON headroom.r TO somebody": "is not known to be harmless",
    "ALTER TABLE headroom.r DROP COLUMN b": "drops what stands in a column",
    "ALTER TABLE headroom.r ADD COLUMN d Int8, CLEAR COLUMN b": "drops what stands in a column",
    "ALTER TABLE headroom.r RENAME COLUMN b TO d": "under the name by which it is written",
    "ALTER TABLE headroom.r DELETE WHERE a = 1": "removes rows",
    "ALTER TABLE headroom.r UPDATE b = 'x' WHERE a = 1": "rewrites rows",
    "ALTER TABLE headroom.r DROP PARTITION '1'": "removes a partition",
    "ALTER TABLE headroom.r MODIFY ORDER BY (a, b)": "by what repeats are recognised",
    "ALTER TABLE headroom.r MODIFY TTL toDate('2020-01-01')": "removes rows by their age",
    "ALTER TABLE headroom.r MODIFY COLUMN b String TTL toDate('2020-01-01')": "by its age",
    "ALTER TABLE headroom.r MODIFY COLUMN w Int16": "w as Int32 may not fit into Int16",
    "ALTER TABLE headroom.r MODIFY COLUMN w UInt32": "w as Int32 may not fit into UInt32",
    "ALTER TABLE headroom.r MODIFY COLUMN w String": "w as Int32 may not fit into String",
    "ALTER TABLE headroom.r MODIFY COLUMN n String": "n as Nullable(String) may not fit",
    "ALTER TABLE headroom.r MODIFY COLUMN b Enum8('x' = 1)": "may not fit into the new type",
    "ALTER TABLE headroom.r FREEZE": "is not known to be harmless",
}


@pytest.fixture(scope="module")
def rows(clickhouse: Client) -> Iterator[Client]:
    """Tables with rows and without."""
    clickhouse.command("CREATE DATABASE IF NOT EXISTS headroom")
    columns = "(a Int8, b String, c Array(DateTime64(3, 'UTC')), w Int32, n Nullable(String))"
    for table in ("r", "empty_r"):
        clickhouse.command(
            f"CREATE OR REPLACE TABLE headroom.{table} {columns} ENGINE = MergeTree ORDER BY a"
        )
    clickhouse.command("INSERT INTO headroom.r (a, b) VALUES (1, 'x')")
    clickhouse.command(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.kept ENGINE = MergeTree ORDER BY a"
        " AS SELECT a FROM headroom.r"
    )
    yield clickhouse
    for kind, name in (("VIEW", "kept"), ("TABLE", "r"), ("TABLE", "empty_r")):
        clickhouse.command(f"DROP {kind} headroom.{name}")


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_keeps_every_row_as_it_is_may_simply_run(rows: Client, statement: str) -> None:
    assert list(risks_of(rows, "0042_some.sql", [statement])) == []


@pytest.mark.parametrize("statement", RISKY)
def test_what_can_lose_or_rewrite_rows_is_told_with_file_and_reason(
    rows: Client, statement: str
) -> None:
    (risk,) = risks_of(rows, "0042_some.sql", [statement])
    assert str(risk).startswith("0042_some.sql: ")
    assert RISKY[statement] in risk.why
    assert risk.statement == statement


def test_every_statement_of_the_release_is_one_that_can_be_judged(
    rows: Client, engine_dir: Path
) -> None:
    """From another process too, as which the ordinary client asks here."""
    port = find_endpoint((engine_dir / "clickhouse").absolute())
    assert port is not None
    with closing(clickhouse_connect.get_client(host="127.0.0.1", port=port)) as other:
        for client in (rows, other):
            for migration in load_migrations():
                list(risks_of(client, migration.name, migration.statements))
            drop = "ALTER TABLE headroom.r DROP COLUMN b"
            (risk,) = risks_of(client, "0042_some.sql", [drop])
            assert risk.why == "drops what stands in a column"
