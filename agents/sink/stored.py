"""The answers that ClickHouse stores for installations with many rows.

`deploy/clickhouse/0012_stored.sql` makes them, and ClickHouse refreshes each at the full hour by
itself. Whether people read what is computed or what is stored is decided here, by the number of
rows. `refresh` stores them now, e.g. after the tables were filled anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from agents.sink.cluster import on
from agents.sink.tables import DATABASE

logger = logging.getLogger(__name__)

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

_MANY_ROWS = 300_000
_COUNTED = ("invoice_events_raw", "payment_events_raw", "exposures_raw", "order_decisions_raw")


def choose(client: Client, *, cluster: str | None = None, many_rows: int = _MANY_ROWS) -> None:
    """Let people read the stored answers where there are many rows, else the computed ones.

    The computed ones as well while not all have been stored. Where the user may not change views,
    they stay as they are: `headroom clickhouse migrate`, as their owner, chooses too.

    Args:
        client: of a ClickHouse that has the tables of this release.
        cluster: on which they are, if on one.
        many_rows: from how many rows on.
    """
    stored = client.query(f"SELECT count() FROM {DATABASE}.last_stored").result_rows[0][0] > 0  # noqa: S608  ours
    counts = " + ".join(f"(SELECT count() FROM {DATABASE}.{table})" for table in _COUNTED)  # noqa: S608  ours
    rows = client.query(f"SELECT {counts}").result_rows[0][0]
    source = "stored" if stored and rows >= many_rows else "now"
    for name, (read, definer) in _read(client).items():
        if read == source:
            continue
        view = f"{DATABASE}.{name}"
        # As whom it reads stays as it was, or readers could not ask it any more.
        reads_as = f" DEFINER = {definer} SQL SECURITY DEFINER" if definer else ""
        try:
            client.command(
                f"CREATE OR REPLACE VIEW {view}{on(cluster)}{reads_as}"  # noqa: S608  ours
                f" AS SELECT * FROM {view}_{source}"
            )
        except DatabaseError as error:
            if "ACCESS_DENIED" not in str(error):
                raise
            logger.warning(
                "this user may not choose whether answers are computed or stored;"
                " `headroom clickhouse migrate` does"
            )
            return


def are_read(client: Client) -> bool:
    """Whether people read stored answers."""
    return any(read == "stored" for read, _ in _read(client).values())


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


def _read(client: Client) -> dict[str, tuple[str, str]]:
    """Of each answer that the user can see, whether `now` or `stored` is read, and as whom."""
    found = client.query(
        "SELECT name, extract(as_select, '_(now|stored)$'),"
        " extract(create_table_query, 'DEFINER = (\\S+) SQL SECURITY DEFINER')"
        " FROM system.tables WHERE database = {database:String} AND name IN {names:Array(String)}",
        {"database": DATABASE, "names": list(STORED)},
    )
    by_name = {name: (read, definer) for name, read, definer in found.result_rows}
    return {name: by_name[name] for name in STORED if name in by_name}
