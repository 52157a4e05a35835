"""The answers that ClickHouse stores for installations with many rows.

`deploy/clickhouse/0012_stored.sql` makes them, and ClickHouse refreshes each at the full hour by
itself. Whether people read what is computed or what is stored is decided here, by the number of
rows. `refresh` stores them now, e.g. after the tables were filled anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from clickhouse_connect.driver.client import Client

from agents.sink.tables import DATABASE

STORED = (
    "invoice_courses",
    "receivable_spans",
    "receivable_changes",
    "sales_by_day",
    "customer_lateness",
    "promises",
    "dunning_effectiveness",
    "exposure_changes",
    "exposure_latest",
    "hold_rate",
    "order_holds",
    "alerts_before_hold",
    "disputes",
    "collector_productivity",
)
"""In the order in which they are refreshed: none before one that it reads."""

_MANY_ROWS = 500_000
_COUNTED = ("invoice_events_raw", "payment_events_raw", "exposures_raw", "order_decisions_raw")


def choose(client: Client, many_rows: int = _MANY_ROWS) -> None:
    """Let people read the stored answers where there are many rows, else the computed ones.

    The computed ones as well while not all have been stored.
    """
    stored = client.query(f"SELECT count() FROM {DATABASE}.last_stored").result_rows[0][0] > 0  # noqa: S608  ours
    counts = " + ".join(f"(SELECT count() FROM {DATABASE}.{table})" for table in _COUNTED)  # noqa: S608  ours
    rows = client.query(f"SELECT {counts}").result_rows[0][0]
    source = "stored" if stored and rows >= many_rows else "now"
    read = _read(client)
    for name in STORED:
        if read[name] != source:
            view = f"{DATABASE}.{name}"
            client.command(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {view}_{source}")  # noqa: S608  ours


def refresh(client: Client) -> Iterator[str]:
    """Store all answers anew, one after the other; yields the name of each when it is done.

    Raises what `clickhouse_connect` raises when one failed.
    """
    for name in (*STORED, "last"):
        view = f"{DATABASE}.{name}_stored"
        client.command(f"SYSTEM REFRESH VIEW {view}")
        client.command(f"SYSTEM WAIT VIEW {view}")
        if name in STORED:
            yield name


def _read(client: Client) -> dict[str, str]:
    """Of each answer, whether `now` or `stored` is read."""
    found = client.query(
        "SELECT name, extract(as_select, '_(now|stored)$') FROM system.tables"
        " WHERE database = {database:String} AND name IN {names:Array(String)}",
        {"database": DATABASE, "names": list(STORED)},
    )
    return {str(name): str(source) for name, source in found.result_rows}
