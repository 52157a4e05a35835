"""The history that `benchmarks.warehouse` asks about: `warehouse_history.sql`, run."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

LAST_DAY = date(2026, 6, 30)
DAYS = 1095
FIRST_DAY = LAST_DAY - timedelta(days=DAYS - 1)
ROWS_PER_ORDER = 4
_ROWS_PER_CUSTOMER = 3_300
_ORDERS_AT_A_TIME = 1_000_000
_PLACES = 16
"""Offsets per order."""
_NOT_OF_ORDERS = ("orders", "customers", "business days")


def fill(client: Client, rows: int, progress: Callable[[int], None]) -> None:
    """Fill the empty tables with about `rows` rows of the journal and all that goes with them.

    One order in two hundred is told twice, as after a crash and as when published again.

    Args:
        client: of the engine; the tables are there.
        rows: of the journal, about.
        progress: is told how many there are now.
    """
    statements = named_statements("warehouse_history.sql")
    orders = rows // ROWS_PER_ORDER
    said = {
        "customers": customers_of(rows),
        "orders": orders,
        "days": DAYS,
        "seconds": DAYS * 86_400,
        "first_day": FIRST_DAY.isoformat(),
        "end": f"{LAST_DAY + timedelta(days=1)} 00:00:00",
    }
    client.command("INSERT INTO headroom.policies_raw VALUES ('2026-01', 0.05, now())")
    for name in ("customers", "business days"):
        client.command(statements[name].format(**said))
    for start in range(0, orders, _ORDERS_AT_A_TIME):
        count = min(_ORDERS_AT_A_TIME, orders - start)
        for sample, shift in ((1, 0), (400, 0), (401, orders * _PLACES)):
            source = statements["orders"].format(**said, start=start, count=count, sample=sample)
            for name, statement in statements.items():
                if name not in _NOT_OF_ORDERS:
                    client.command(statement.format(orders=source, shift=shift))
        progress((start + count) * ROWS_PER_ORDER)


def customers_of(rows: int) -> int:
    """How many customers so many rows of the journal are spread over."""
    return max(rows // _ROWS_PER_CUSTOMER, 100)


def named_statements(file: str) -> dict[str, str]:
    """The statements of a file beside this one, by the name in the line `-- == name ==` above."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- == (.+) ==\n", text, flags=re.MULTILINE)
    return {name: part.strip() for name, part in zip(parts[::2], parts[1::2], strict=True)}
