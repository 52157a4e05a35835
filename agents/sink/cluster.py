"""The same tables and views on a cluster: each statement of `deploy/clickhouse/` as it runs there.

A base table `t` becomes `t_local`, replicated within its shard, and a Distributed table `t` in
front of it, under the name that the sink writes to and the views read. Rows go to a shard by what
their sorting key begins with: all copies of a row have one key, so they meet on one shard and FINAL
there sees them all. Everything runs ON CLUSTER.

Statements are changed at a few fixed places, in the one way in which this folder writes them; one
that is written in another way is refused, not guessed. Tests have ClickHouse parse what comes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.sink.tables import DATABASE
from streams.errors import ConfigurationError

LOCAL = "_local"
"""What the name of a table of one shard ends in."""
_WINDOW_SECONDS = 604_800
"""How long a replicated table knows the tokens of inserts; by itself an hour, which an outage may
outlast. As many as without replication, for a week."""

_NAME = rf"{DATABASE}\.(\w+)"
_CREATE_TABLE = re.compile(rf"CREATE TABLE IF NOT EXISTS {_NAME}(?=\s*\()")
_CREATE_VIEW = re.compile(rf"CREATE OR REPLACE VIEW {_NAME}(?= AS\b)")
_CREATE_STORED = re.compile(rf"CREATE MATERIALIZED VIEW IF NOT EXISTS {_NAME}(?=\s+REFRESH\b)")
"""An answer that is stored: each server computes and keeps it for itself, from all shards."""
_ASKED_BESIDE = re.compile(
    r"\b(?:(?:ASOF )?(?:LEFT|INNER|CROSS) (?:ANY |ASOF )?JOIN\b|(?:NOT )?IN(?=\s*\(\s*SELECT\b))"
)
"""Where a query asks another one: what that gives is wanted of all shards, on each."""
_DROP_VIEW = re.compile(rf"DROP VIEW IF EXISTS {_NAME}$")
_DROP_TABLE = re.compile(rf"DROP TABLE IF EXISTS {_NAME}$")
_ALTER = re.compile(rf"ALTER TABLE {_NAME}\s+")
_INSERT = re.compile(rf"INSERT INTO {_NAME}\b")
_ENGINE = re.compile(r"^ENGINE = (\w*MergeTree)(?:\((.*)\))?$", re.MULTILINE)
_ORDER = re.compile(r"^ORDER BY (.+?)(?:;|\n[A-Z]|\Z)", re.MULTILINE | re.DOTALL)
_WINDOW = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")
_OF_COLUMNS = re.compile(r"\(?(ADD|DROP|MODIFY|RENAME|COMMENT) COLUMN\b")
"""Changes that a Distributed table has to know of too."""


def first_statements(cluster: str | None) -> tuple[str, ...]:
    """What makes the database and the ledger of migrations, before the first migration.

    On a cluster the ledger is one table for all shards.
    """
    there = on(cluster)
    engine = (
        "ReplacingMergeTree"
        if cluster is None
        else "ReplicatedReplacingMergeTree"
        f"('/clickhouse/tables/{DATABASE}/schema_migrations', '{{shard}}-{{replica}}')"
    )
    ledger = (
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.schema_migrations{there} (number UInt32,"
        " name String, checksum String, applied_at DateTime('UTC') DEFAULT now())"
        f" ENGINE = {engine} ORDER BY number"
    )
    return f"CREATE DATABASE IF NOT EXISTS {DATABASE}{there}", ledger


def rendered(statement: str, cluster: str | None) -> tuple[str, ...]:
    """The statement as it runs on the cluster of that name, or as it is without one.

    Raises:
        ConfigurationError: it is none of the statements that are known here.
    """
    return (statement,) if cluster is None else tuple(_on_cluster(statement, cluster))


def sharding_key(create_table: str) -> str:
    """What tells the shard of a row: a hash of the first expression of the sorting key.

    Raises:
        ConfigurationError: the statement has no sorting key.
    """
    order = _ORDER.search(create_table)
    if order is None:
        raise _unknown(create_table)
    key = order[1].strip()
    parts = _parts(key[1:-1] if key.startswith("(") and key.endswith(")") else key)
    return f"cityHash64({parts[0]})"


def _on_cluster(statement: str, cluster: str) -> Iterator[str]:
    there = on(cluster)
    if named := _CREATE_TABLE.match(statement):
        yield from _tables(statement, named[1], cluster)
    elif named := _CREATE_VIEW.match(statement) or _CREATE_STORED.match(statement):
        query = _ASKED_BESIDE.sub(lambda found: f"GLOBAL {found[0]}", statement[named.end() :])
        yield statement[: named.end()] + there + query
    elif named := _DROP_VIEW.match(statement):
        yield statement[: named.end()] + there + statement[named.end() :]
    elif named := _DROP_TABLE.match(statement):
        yield f"DROP TABLE IF EXISTS {DATABASE}.{named[1]}{there}"
        yield f"DROP TABLE IF EXISTS {DATABASE}.{named[1]}{LOCAL}{there} SYNC"
    elif named := _ALTER.match(statement):
        changes = statement[named.end() :]
        yield f"ALTER TABLE {DATABASE}.{named[1]}{LOCAL}{there} {changes}"
        of_columns = [bool(_OF_COLUMNS.match(change)) for change in _parts(changes)]
        if all(of_columns):
            yield f"ALTER TABLE {DATABASE}.{named[1]}{there} {changes}"
        elif any(of_columns):
            raise ConfigurationError(
                f"on a cluster changes of columns stand in a statement of their own: {statement}"
            )
    elif _INSERT.match(statement):
        yield statement
    else:
        raise _unknown(statement)


def _tables(statement: str, table: str, cluster: str) -> Iterator[str]:
    """The table of each shard, and the one in front of them."""
    there = on(cluster)
    engine = _ENGINE.search(statement)
    if engine is None or engine[1].startswith("Replicated"):
        raise _unknown(statement)
    place = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
    given = f", {engine[2]}" if engine[2] else ""
    local = (
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.{table}{LOCAL}{there}"
        + statement[_named_end(statement) : engine.start()]
        + f"ENGINE = Replicated{engine[1]}({place}{given})"
        + statement[engine.end() :]
    )
    yield _WINDOW.sub(
        rf"replicated_deduplication_window = \1,"
        rf" replicated_deduplication_window_seconds = {_WINDOW_SECONDS}",
        local,
    )
    yield (
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.{table}{there} AS {DATABASE}.{table}{LOCAL}\n"
        f"ENGINE = Distributed('{cluster}', '{DATABASE}', '{table}{LOCAL}',"
        f" {sharding_key(statement)})"
    )


def _named_end(statement: str) -> int:
    named = _CREATE_TABLE.match(statement)
    assert named is not None  # noqa: S101  who calls has matched it
    return named.end()


def _parts(text: str) -> list[str]:
    """What stands between the commas that are in no brackets and no quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'`\"":
            quote = sign
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
        elif sign == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def on(cluster: str | None) -> str:
    """Has a statement run on all servers of the cluster."""
    return "" if cluster is None else f" ON CLUSTER '{cluster}'"


def _unknown(statement: str) -> ConfigurationError:
    first = statement.partition("\n")[0]
    return ConfigurationError(f"it is not known how this statement runs on a cluster: {first}")
