"""The answers that ClickHouse stores for installations with many rows.

`deploy/clickhouse/0012_stored.sql` makes them, and ClickHouse refreshes each at the full hour by
itself. `refresh` does it now, e.g. after the tables were filled anew.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from agents.sink.writer import DATABASE

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
"""In an order in which none comes before one that it reads."""


def refresh(client: Client, name: str) -> None:
    """Compute one of `STORED` anew and wait until it is.

    Raises what `clickhouse_connect` raises when that failed.
    """
    view = f"{DATABASE}.{name}_stored"
    client.command(f"SYSTEM REFRESH VIEW {view}")
    client.command(f"SYSTEM WAIT VIEW {view}")
