"""The tables of a cluster, in an engine of its own (`engine_of_its_own`).

Both shards are the one engine, so a filter shows each shard its rows only: `_of_each_shard`. What
cannot be had there is left out: replication, and ON CLUSTER.
"""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

import re
from typing import Any

from clickhouse_connect.driver.client import Client
from sink.sink_events import handover_changed, letter, outcome, step
from sink.sink_records import batches_of

from agents.core.refusal import Refusal
from agents.demo.history import events_of, read_settled_invoices
from agents.policy_file import load_policy
from agents.simulate import Simulation, with_days
from agents.sink.access import tables_and_views
from agents.sink.cluster import LOCAL, rendered, sharding_key
from agents.sink.migrations import load_migrations, migrate
from agents.sink.writer import Writer, note_policy
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, parse_day
from schemas.events import Event

CUSTOMERS = 4
UNTIL = parse_day("2013-03-01") * MICROSECONDS_PER_DAY


def compare(client: Client) -> Any:
    """Of each view how many rows it has on one server, and those that a cluster has otherwise.

    A view that others read is seen through them.
    """
    migrate(client)
    fill(client)
    spread(client)
    filters = _of_each_shard()
    found = {}
    for view in _outermost(tables_and_views(load_migrations())[1]):
        source = f"{view}(day = '2013-01-31')" if view == "ageing_on" else view
        single = _rows(client, f"SELECT * FROM headroom.{source}")
        divided = _rows(client, f"SELECT * FROM spread.{source}", filters)
        found[view] = [len(single), sorted(set(single) ^ set(divided))[:3]]
    shards = client.query(
        "SELECT shardNum(), count() FROM spread.journal_raw FINAL GROUP BY 1 ORDER BY 1",
        settings={"additional_table_filters": filters},
    ).result_rows
    repeats = client.command(
        "SELECT count() - (SELECT count() FROM headroom.journal) FROM headroom.journal_raw"
    )
    return [found, shards, repeats]


def fill(client: Client) -> None:
    """Some customers of the demo, until a day on which much is open; a third of it told twice."""
    customers: set[str] = set()
    invoices = []
    for invoice in read_settled_invoices():
        if len(customers) < CUSTOMERS:
            customers.add(invoice.customer_id)
        if invoice.customer_id in customers:
            invoices.append(invoice)
    simulation = Simulation(load_policy(None))
    events: list[Event] = []
    for event in with_days(one for one in events_of(invoices) if one.occurred_at < UNTIL):
        events.append(event)
        events += [one for one in simulation.feed(event) if not isinstance(one, Refusal)]
        if isinstance(event, ev.BusinessDayStarted) and event.date % 30 == 0:
            events += simulation.figures()
    events += _collected(sorted(customers))
    note_policy(client, "test", "0.05")
    writer = Writer(lambda: client)
    for batch in (*batches_of(events), *batches_of(events[::3], first_offset=len(events))):
        writer.write(batch)


def _collected(customers: list[str]) -> list[Event]:
    """What the demo has none of: dunning, promises, letters."""
    events: list[Event] = []
    for place, customer in enumerate(customers):
        about: dict[str, Any] = {"customer_id": customer, "step_id": f"{customer}/1"}
        events += [
            step(f"d-{place}", **about),
            outcome(f"u-{place}", **about),
            handover_changed(f"h-{place}", **about),
            letter(f"l-{place}", **about),
            ev.PromiseToPayMade(
                event_id=f"p-{place}", occurred_at=UNTIL, customer_id=customer,
                promise_id=f"R-{place}", invoice_ids=["I-1"], amount=100,
                promised_on=UNTIL // MICROSECONDS_PER_DAY + 9,
            ),
        ]  # fmt: skip
    return events


def spread(client: Client) -> None:
    """Database `spread`: the same tables and views as on a cluster, with the same rows, written
    through the tables in front.
    """
    client.command("CREATE DATABASE spread")
    for migration in load_migrations():
        for statement in migration.statements:
            for here in rendered(statement, "two"):
                client.command(_without_what_is_not_here(here))
    for table in tables_and_views(load_migrations())[0]:
        columns = client.query(
            "SELECT concat('`', name, '`') FROM system.columns WHERE database = 'headroom'"
            " AND table = {t:String} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS')",
            {"t": table},
        ).result_columns[0]
        names = ", ".join(columns)
        client.command(
            f"INSERT INTO spread.{table} ({names}) SELECT {names} FROM headroom.{table}",
            settings={"distributed_foreground_insert": 1},
        )


def _without_what_is_not_here(statement: str) -> str:
    """The shards share a table, so that a window would take a part for one shard for a repeat of
    that for the other.
    """
    plain = statement.replace(" ON CLUSTER 'two'", "")
    plain = re.sub(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?", r"\1(", plain)
    plain = re.sub(r",? ?replicated_deduplication_window\w* = \d+", "", plain)
    plain = re.sub(r"\nSETTINGS\s*$", "", plain)
    return re.sub(r"\bheadroom\.", "spread.", plain).replace("'headroom'", "'spread'")


def _of_each_shard() -> str:
    """The setting by which each shard sees its own rows."""
    filters = {}
    for migration in load_migrations():
        for statement in migration.statements:
            if named := re.match(r"CREATE TABLE IF NOT EXISTS headroom\.(\w+)", statement):
                mine = f"{sharding_key(statement)} % 2 = shardNum() - 1"
                filters[f"spread.{named[1]}{LOCAL}"] = mine
    return str(filters)


def _outermost(views: list[str]) -> list[str]:
    """Those that no other view reads."""
    texts = [text for migration in load_migrations() for text in migration.statements]
    read = {name for text in texts for name in re.findall(r"(?:FROM|JOIN)\s+headroom\.(\w+)", text)}
    return [view for view in views if view not in read]


def _rows(client: Client, query: str, filters: str = "{}") -> list[str]:
    settings = {"additional_table_filters": filters}
    return sorted(str(row) for row in client.query(query, settings=settings).result_rows)
