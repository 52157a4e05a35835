"""Batches into ClickHouse, column by column, each range of a topic once.

An insert that was answered with an error, or with nothing because the sink was killed, may have
happened all the same. It is tried again under the same `insert_deduplication_token`, and each table
drops it when it knows the token; so a range that reached some of its tables is completed by writing
all of it again. What comes in spite of that is caught by the tables' keys
(`deploy/clickhouse/0001_journal.sql`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from agents.sink.plan import Batch
from agents.sink.rows import Row
from agents.sink.stored import choose
from agents.sink.tables import DATABASE, TABLES, Kind

_ONCE = {
    "insert_deduplicate": 1,
    # A view that somebody hangs on a table is not to count a repeat either, which the table itself
    # never sees; and what broke off between table and view is completed by the next attempt.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # Gathered by the server with other inserts, it would be another block each time.
    "async_insert": 0,
}

_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "bytes": pa.binary(),
    "flag": pa.bool_(),
    "int": pa.int64(),
    "int8": pa.uint8(),
    "uint64": pa.uint64(),
    "day": pa.date32(),
    "instant_ms": pa.timestamp("ms", "UTC"),
    "instant_us": pa.timestamp("us", "UTC"),
    "texts": pa.list_(pa.string()),
    "ints": pa.list_(pa.int64()),
}


class Writer:
    """Writes batches over one ClickHouse client, which it asks for when it first needs it.

    Not for two threads at a time.

    Args:
        connect: makes a client.
        cluster: on which the tables are, if on one.
    """

    def __init__(self, connect: Callable[[], Client], cluster: str | None = None) -> None:
        self._connect = connect
        self._cluster = cluster
        self._client: Client | None = None

    def write(self, batch: Batch) -> None:
        """Insert the batch's rows; when this returns, ClickHouse has acknowledged all of them.

        Once a day, with the day, it is looked whether there are so many rows by now that answers
        are to be read as they were stored.

        Raises what `connect` or `clickhouse_connect` raises when it has not; the same batch may
        then be written again.
        """
        if self._client is None:
            self._client = self._connect()
        try:
            for table in batch.rows:
                insert(self._client, table, all_of(batch, table), batch.token())
        except (OperationalError, OSError):
            # The embedded engine may be another process's by the next attempt.
            self.close()
            raise
        if "business_days_raw" in batch.rows:
            choose(self._client, cluster=self._cluster)

    def close(self) -> None:
        """Let go of the client, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def insert(client: Client, table: str, rows: pa.Table, token: str) -> None:
    """Insert rows into a table, unless it has had an insert under this token."""
    client.insert_arrow(
        f"{DATABASE}.{table}", rows, settings=_ONCE | {"insert_deduplication_token": token}
    )


def note_policy(client: Client, version: str, small_balance: str) -> None:
    """Say which policy counts from now on, as far as the views need it.

    `small_balance` is a decimal text, major units of whatever currency.
    """
    client.insert(
        f"{DATABASE}.policies_raw",
        [[version, Decimal(small_balance), datetime.now(UTC)]],
        column_names=["version", "small_balance", "recorded_at"],
    )


def pack(batch: Batch) -> int:
    """Have the batch hold its rows as Arrow tables; the bytes that they take."""
    for table, rows in batch.rows.items():
        if rows:
            batch.packed.setdefault(table, []).append(as_arrow(batch, table, rows))
            rows.clear()
    return sum(one.nbytes for tables in batch.packed.values() for one in tables)


def all_of(batch: Batch, table: str) -> pa.Table:
    """All rows of a table in one piece, however they came: a repeated insert has to be the same."""
    rows = batch.rows[table]
    pieces = [*batch.packed.get(table, ()), *([as_arrow(batch, table, rows)] if rows else ())]
    return pa.concat_tables(pieces).combine_chunks()


def as_arrow(batch: Batch, table: str, rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table with the columns of `table`."""
    columns = TABLES[table]
    arrays = [
        pa.repeat(batch.topic, len(rows)),
        pa.repeat(pa.scalar(batch.partition, pa.uint32()), len(rows)),
    ]
    for (_, kind), cells in zip(columns, zip(*rows, strict=True), strict=True):
        arrays.append(pa.array(cells, type=_TYPES[kind]))
    return pa.table(arrays, names=["topic", "partition", *(name for name, _ in columns)])
