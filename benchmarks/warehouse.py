"""What dashboards ask, of a ClickHouse with many rows: how long each question takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from clickhouse_connect.driver.client import Client

from agents.sink.migrations import migrate
from agents.sink.stored import choose, refresh
from benchmarks.own_engine import own_engine
from benchmarks.warehouse_history import fill, named_statements
from streams.settings import Settings

THREADS = 2
_TIMES = 3


class Answer(msgspec.Struct, frozen=True):
    """One question of a dashboard: the shortest of three times, and the rows of its answer."""

    question: str
    milliseconds: float
    rows: int


class Refresh(msgspec.Struct, frozen=True):
    """One stored answer: how long it took to compute, and what it takes on disk."""

    name: str
    seconds: float
    rows: int
    megabytes: float


class Table(msgspec.Struct, frozen=True):
    name: str
    rows: int
    megabytes: float


class Warehouse(msgspec.Struct, frozen=True):
    """What was measured, every statement with two threads."""

    journal_rows: int
    filling_seconds: float
    tables: list[Table]
    refreshes: list[Refresh]
    answers: list[Answer]


def run(settings: Settings, *, rows: int, tell: Callable[[str], None]) -> Warehouse:
    """Fill an engine of its own, in a directory that is gone afterwards, and ask.

    Args:
        settings: only for what the engine needs; never a server.
        rows: of the journal, about; 4,000,000 take 1 GB of disk.
        tell: says what is going on.
    """
    with own_engine(settings) as client:
        return _measure(client, rows, tell)


def _measure(client: Client, rows: int, tell: Callable[[str], None]) -> Warehouse:
    client.set_client_setting("max_threads", THREADS)
    migrate(client)
    list(refresh(client))  # of nothing, so that from here on what is stored is read
    choose(client, many_rows=0)
    client.command("SYSTEM STOP VIEWS")  # no full hour comes between
    started = time.perf_counter()
    fill(client, rows, lambda there: tell(f"{there:,} rows of the journal"))
    filling_seconds = time.perf_counter() - started
    client.command("SYSTEM START VIEWS")
    refreshes = _refreshed(client, tell)
    answers = []
    for question, query in named_statements("warehouse_questions.sql").items():
        tell(question)
        answers.append(_asked(client, question, query))
    ((journal_rows,),) = client.query("SELECT count() FROM headroom.journal_raw").result_rows
    return Warehouse(journal_rows, filling_seconds, _tables(client), refreshes, answers)


def _refreshed(client: Client, tell: Callable[[str], None]) -> list[Refresh]:
    """All answers stored one after the other, each made of the stored ones before it."""
    done = []
    started = time.perf_counter()
    for name in refresh(client):
        seconds = time.perf_counter() - started
        tell(f"{name} stored in {seconds:.1f} s")
        ((rows, size),) = client.query(
            "SELECT total_rows, total_bytes FROM system.tables"
            " WHERE database = 'headroom' AND name = {name:String}",
            {"name": f"{name}_stored"},
        ).result_rows
        done.append(Refresh(name, seconds, rows, size / 1e6))
        started = time.perf_counter()
    return done


def _asked(client: Client, question: str, query: str) -> Answer:
    times = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        answer = client.query(query).result_rows
        times.append(time.perf_counter() - started)
    return Answer(question, min(times) * 1000, len(answer))


def _tables(client: Client) -> list[Table]:
    found = client.query(
        "SELECT name, total_rows, total_bytes FROM system.tables"
        " WHERE database = 'headroom' AND name LIKE '%\\_raw' AND total_rows > 0"
        " ORDER BY total_bytes DESC"
    ).result_rows
    return [Table(name, rows, size / 1e6) for name, rows, size in found]
