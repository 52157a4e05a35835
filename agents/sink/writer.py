"""Batches into ClickHouse, column by column, each range of a topic once.

An insert that was answered with an error may have happened all the same. It is tried again under
the same `insert_deduplication_token`, and ClickHouse drops it when it knows the token. A range that
comes again after a crash, cut differently, is caught by the tables' keys instead
(`deploy/clickhouse/0001_journal.sql`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from agents.sink.plan import Batch
from agents.sink.rows import Row
from agents.sink.stored import choose
from agents.sink.tables import DATABASE, TABLES, Kind

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
    """

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
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
        settings = {"insert_deduplication_token": batch.token()}
        for table, rows in batch.rows.items():
            self._client.insert_arrow(
                f"{DATABASE}.{table}", as_arrow(batch, table, rows), settings=settings
            )
        if "business_days_raw" in batch.rows:
            choose(self._client)

    def close(self) -> None:
        """Let go of the client, if there is one."""
        if self._client is not None:
            self._client.close()


def note_policy(client: Client, version: str, small_balance: str) -> None:
    """Say which policy counts from now on, as far as the views need it.

    `small_balance` is a decimal text, major units of whatever currency.
    """
    client.insert(
        f"{DATABASE}.policies_raw",
        [[version, Decimal(small_balance), datetime.now(UTC)]],
        column_names=["version", "small_balance", "recorded_at"],
    )


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
