"""ClickHouse's tables laid out otherwise: what other keys, partitions and codecs would take.

On the history of `benchmarks.warehouse`, in an engine of its own. Every statement has one thread,
and what counts is processor time, so that it can be compared on a machine that does other things.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import msgspec
from clickhouse_connect.driver.client import Client

from agents.sink.migrations import migrate
from benchmarks.own_engine import own_engine
from benchmarks.warehouse_history import fill
from streams.settings import Settings

_TIMES = 3
_PARTS = 8
_TRIAL = "headroom.trial"
_ONE_THREAD = {"max_threads": 1}


class Layout(NamedTuple):
    """How a table may be laid out; what is empty is as it is.

    Attributes:
        name: what is otherwise.
        key: the sorting key.
        partition: the partition key.
        codecs: by column.
        settings: of the table.
    """

    name: str
    key: str = ""
    partition: str = ""
    codecs: Mapping[str, str] = {}
    settings: str = ""


class Trial(NamedTuple):
    """A table, what is asked of it (`{table}` stands for it), and how it may be laid out."""

    table: str
    questions: Mapping[str, str]
    layouts: tuple[Layout, ...]


class Tried(msgspec.Struct, frozen=True):
    """What a layout takes: on disk once it is merged, and seconds of one core to write it in eight
    parts and to ask them each question (the least of three).
    """

    table: str
    layout: str
    megabytes: float
    insert_seconds: float
    seconds: dict[str, float]


_IDS = "ZSTD(1)"
_A_CUSTOMER = (
    "SELECT * FROM {table} FINAL WHERE customer_id = "
    "(SELECT max(customer_id) FROM {table} WHERE customer_id < 'C-0003')"
)
_AN_ACCOUNT = (
    "SELECT * FROM {table} FINAL WHERE credit_account_id = "
    "(SELECT max(credit_account_id) FROM {table} WHERE credit_account_id < 'C-0003')"
)
_LAST_DAYS = (
    "SELECT count() FROM {table} FINAL WHERE occurred_at > "
    "(SELECT max(occurred_at) FROM {table}) - INTERVAL 90 DAY"
)
TRIALS = (
    Trial(
        "journal_raw",
        {
            "types": "SELECT type, count() FROM {table} FINAL GROUP BY type",
            "an account": _AN_ACCOUNT,
            "an event": "SELECT payload FROM {table} FINAL WHERE event_id = "
            "(SELECT any(event_id) FROM {table})",
            "last 90 days": _LAST_DAYS,
        },
        (
            Layout("key (account, type, event, content), as it is"),
            Layout("the same, partitioned by month", partition="toYYYYMM(occurred_at)"),
            Layout(
                "key (account, time, event, content)",
                "(credit_account_id, occurred_at, type, event_id, cityHash64(payload))",
            ),
            Layout("key (event, content)", "(event_id, cityHash64(payload))"),
            Layout("LZ4 for payload and origin", codecs={"payload": "LZ4", "origin": "LZ4"}),
            Layout("ZSTD(6) for payload", codecs={"payload": "ZSTD(6)"}),
            Layout("ZSTD for the ids", codecs={"event_id": _IDS, "customer_id": _IDS}),
            Layout("granules of 1,024 rows", settings="index_granularity = 1024"),
        ),
    ),
    Trial(
        "order_decisions_raw",
        {
            "holds by day": "SELECT toDate(occurred_at) AS day, countIf(decision = 'held'), count()"
            " FROM {table} FINAL GROUP BY day",
            "latest of each": "SELECT customer_id, order_id, argMax(decision, decision_number)"
            " FROM {table} FINAL GROUP BY customer_id, order_id",
            "a customer": _A_CUSTOMER,
            "last 90 days": _LAST_DAYS,
        },
        (
            Layout("key (customer, time, event), as it is"),
            Layout("the same, partitioned by month", partition="toYYYYMM(occurred_at)"),
            Layout("key (customer, order, event)", "(customer_id, order_id, event_id)"),
            Layout("key (time, event)", "(occurred_at, event_id)"),
            Layout("key (event)", "(event_id)"),
            Layout("ZSTD for the ids", codecs={"event_id": _IDS, "cause_event_id": _IDS}),
            Layout(
                "T64, ZSTD for money",
                codecs=dict.fromkeys(
                    ("amount_minor", "exposure_before_minor", "exposure_after_minor"),
                    "T64, ZSTD(1)",
                ),
            ),
        ),
    ),
    Trial(
        "invoice_events_raw",
        {
            "fold": "SELECT credit_account_id, invoice_id, count(), sum(amount_minor),"
            " min(issued_on), max(due_on) FROM {table} FINAL"
            " GROUP BY credit_account_id, invoice_id",
            "an account": _AN_ACCOUNT,
            "an invoice": "SELECT * FROM {table} FINAL WHERE invoice_id = "
            "(SELECT max(invoice_id) FROM {table} WHERE invoice_id < 'I-5')",
            "last 90 days": _LAST_DAYS,
        },
        (
            Layout("key (account, invoice, type, event, ...), as it is"),
            Layout("the same, partitioned by month", partition="toYYYYMM(occurred_at)"),
            Layout(
                "key (account, time, event, ...)",
                "(credit_account_id, occurred_at, type, event_id, invoice_id, credit_note_id,"
                " dispute_id)",
            ),
            Layout(
                "key (invoice, account, type, event, ...)",
                "(invoice_id, credit_account_id, type, event_id, credit_note_id, dispute_id)",
            ),
            Layout("ZSTD for the ids", codecs={"event_id": _IDS, "order_id": _IDS}),
            Layout("Delta for the time", codecs={"occurred_at": "Delta, ZSTD(1)"}),
        ),
    ),
    Trial(
        "payment_events_raw",
        {
            "parts": "SELECT credit_account_id, part, sum(minor) FROM {table} FINAL"
            " ARRAY JOIN allocation_invoice_ids AS part, allocation_amounts_minor AS minor"
            " GROUP BY credit_account_id, part",
            "an account": _AN_ACCOUNT,
            "by day": "SELECT value_on, sum(amount_minor) FROM {table} FINAL GROUP BY value_on",
        },
        (
            Layout("key (account, payment, type, event), as it is"),
            Layout("the same, partitioned by month", partition="toYYYYMM(occurred_at)"),
            Layout(
                "key (account, time, event)", "(credit_account_id, occurred_at, type, event_id)"
            ),
            Layout("ZSTD for the ids", codecs={"event_id": _IDS, "payment_id": _IDS}),
            Layout(
                "ZSTD for the parts",
                codecs={"allocation_invoice_ids": _IDS, "allocation_amounts_minor": _IDS},
            ),
        ),
    ),
    Trial(
        "exposures_raw",
        {
            "closings": "SELECT customer_id, toDate(occurred_at) AS day,"
            " argMax(exposure_minor, `offset`) FROM {table} FINAL GROUP BY customer_id, day",
            "latest of each": "SELECT customer_id, argMax(exposure_minor, (occurred_at, `offset`))"
            " FROM {table} FINAL GROUP BY customer_id",
            "a customer": _A_CUSTOMER,
            "last 90 days": _LAST_DAYS,
        },
        (
            Layout("key (customer, time, event), as it is"),
            Layout("the same, partitioned by month", partition="toYYYYMM(occurred_at)"),
            Layout("key (customer, event)", "(customer_id, event_id)"),
            Layout("ZSTD for the ids", codecs={"event_id": _IDS}),
        ),
    ),
)


def run(settings: Settings, *, rows: int, tell: Callable[[str], None]) -> list[Tried]:
    """Fill an engine of its own, in a directory that is gone afterwards, and try every layout.

    Args:
        settings: only for what the engine needs; never a server.
        rows: of the journal, about.
        tell: says what is going on.
    """
    with own_engine(settings) as client:
        migrate(client)
        client.command("SYSTEM STOP VIEWS")
        fill(client, rows, lambda there: tell(f"{there:,} rows of the journal"))
        return list(tried(client, tell))


def tried(client: Client, tell: Callable[[str], None]) -> Iterator[Tried]:
    """Every layout of every table, tried on what is in the tables.

    Args:
        client: of an embedded engine, whose work is done in this process.
        tell: says what is going on.
    """
    for trial in TRIALS:
        for layout in trial.layouts:
            yield _tried(client, trial, layout, tell)


def _tried(client: Client, trial: Trial, layout: Layout, tell: Callable[[str], None]) -> Tried:
    tell(f"{trial.table}: {layout.name}")
    source = f"headroom.{trial.table}"
    ((as_it_is,),) = client.query(
        "SELECT sorting_key FROM system.tables"
        " WHERE database = 'headroom' AND name = {name:String}",
        {"name": trial.table},
    ).result_rows
    client.command(
        f"CREATE TABLE {_TRIAL} AS {source} ENGINE = ReplacingMergeTree(precedence)"
        + (f" PARTITION BY {layout.partition}" if layout.partition else "")
        + f" ORDER BY {layout.key or f'({as_it_is})'}"
        + (f" SETTINGS {layout.settings}" if layout.settings else "")
    )
    try:
        for column, codec in layout.codecs.items():
            client.command(f"ALTER TABLE {_TRIAL} MODIFY COLUMN {column} CODEC({codec})")
        ((rows,),) = client.query(f"SELECT count() FROM {source}").result_rows  # noqa: S608
        # As a sink leaves them between two merges: in parts, one later than the other.
        client.command(f"SYSTEM STOP MERGES {_TRIAL}")
        size_of_part = rows // _PARTS + 1
        insert = _processor_seconds(
            lambda: client.command(
                f"INSERT INTO {_TRIAL} SELECT * FROM {source} ORDER BY recorded_at",  # noqa: S608
                settings=_ONE_THREAD
                | {
                    "max_block_size": size_of_part,
                    "max_insert_block_size": size_of_part,
                    "min_insert_block_size_rows": size_of_part,
                    "min_insert_block_size_bytes": 0,
                    "max_partitions_per_insert_block": 0,
                },
            )
        )
        seconds = {}
        for name, question in trial.questions.items():
            statement = question.format(table=_TRIAL)
            seconds[name] = min(
                _processor_seconds(partial(client.query, statement, settings=_ONE_THREAD))
                for _ in range(_TIMES)
            )
        client.command(f"SYSTEM START MERGES {_TRIAL}")
        client.command(f"OPTIMIZE TABLE {_TRIAL} FINAL")
        ((size,),) = client.query(
            "SELECT sum(bytes_on_disk) FROM system.parts"
            " WHERE database = 'headroom' AND table = 'trial' AND active"
        ).result_rows
        return Tried(trial.table, layout.name, size / 1e6, insert, seconds)
    finally:
        client.command(f"DROP TABLE {_TRIAL} SYNC")


def _processor_seconds(work: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
