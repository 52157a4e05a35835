"""`headroom backtest`: what another policy would have decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import typer
from pyarrow import csv, parquet
from rich import box
from rich.table import Table

from agents.backtest.courses import TwoCourses
from agents.backtest.report import AlertReport, OrderChange, Report, SegmentReport, report
from agents.cli.paper import plain_console
from agents.cli.progress import Stages
from agents.journal import from_file, from_kafka
from agents.journal.in_order import in_order
from agents.rule_files import load_rules
from agents.simulate import with_days
from schemas.dates import format_instant, parse_day
from schemas.events import Day, Event
from schemas.money import format_amount
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.kafka_client import client_config
from streams.registry import open_codec
from streams.settings import Settings, load_settings

_FORMATS = (".parquet", ".csv")


def backtest(
    policy: Annotated[Path, typer.Option(help="The policy to try (TOML).")],
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="Day from which it counts, e.g. 2026-07-01; else from the start."
        ),
    ] = None,
    current: Annotated[
        Path | None, typer.Option(help="The policy to compare with; default: that of the settings.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="A file of events (JSON lines) instead of Kafka's journal.")
    ] = None,
    days: Annotated[
        bool, typer.Option("--days", help="With --journal: begin every day that the events span.")
    ] = False,
    at_risk_days: Annotated[
        int, typer.Option(min=0, help="An invoice paid later than this was at risk.")
    ] = 30,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the orders decided differently: .parquet or .csv."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Run the journal under another policy and tell what would have been decided differently.

    Nothing is changed: it only reads. Invoices and payments stay on the days on which they came,
    also those of orders that the other policy would have held.
    """
    settings = load_settings()
    if out is not None and out.suffix not in _FORMATS:
        raise ConfigurationError(f"--out {out}: name a file ending in {' or '.join(_FORMATS)}")
    courses = TwoCourses(load_rules(settings, current), load_rules(settings, policy), _day(since))
    with Stages() as stages:
        events = (
            _from_kafka(settings, stages) if journal is None else _from_file(journal, days=days)
        )
        for event in events:
            courses.feed(event)
    found = report(courses, at_risk_days)
    if out is not None:
        _write(out, found.orders)
    if as_json:
        typer.echo(json.dumps(_json(found), indent=1))
    else:
        _print(found, at_risk_days, out)


def _day(text: str | None) -> Day | None:
    if text is None:
        return None
    try:
        return parse_day(text)
    except ValueError as error:
        raise ConfigurationError(f"--from {text}: {error}") from error


def _from_kafka(settings: Settings, stages: Stages) -> Iterator[Event]:
    settings = with_broker(settings)
    codec = open_codec(settings)
    readers = from_kafka.journal_readers(client_config(settings))
    advance = stages.track("replaying", sum(reader.end - reader.first for reader in readers))
    yield from in_order(
        from_kafka.entries(reader, codec, lambda _record: True, advance) for reader in readers
    )


def _from_file(path: Path, *, days: bool) -> Iterator[Event]:
    try:
        entries = list(from_file.entries(path, lambda text: typer.echo(text, err=True)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    events = in_order([iter(entries)])
    yield from with_days(events) if days else events


# ── for a person ────────────────────────────────────────────────────────────────────────────────


def _print(found: Report, at_risk_days: int, out: Path | None) -> None:
    console = plain_console()
    at_risk = f"written off, or paid more than {at_risk_days} days late"
    console.print(_table("Orders", _COUNTS, found.segments))
    console.print(_table(f"Money; at risk is what was {at_risk}", _SUMS, found.segments))
    console.print(_alert_table(found.alerts))
    different = f"{len(found.orders):,} orders are decided differently"
    console.print(different if out is None else f"{different}; each of them is in {out}")


_Cell = Callable[[SegmentReport], str]


def _count(name: str) -> _Cell:
    return lambda one: f"{getattr(one, name):,}"


def _amount(name: str) -> _Cell:
    return lambda one: format_amount(getattr(one, name), one.currency)


def _days(name: str) -> _Cell:
    return lambda one: f"{getattr(one, name):.1f}"


_COUNTS: list[tuple[str, _Cell]] = [
    ("orders", _count("orders")),
    ("newly held", _count("newly_held")),
    ("no longer held", _count("no_longer_held")),
    ("held longer", _count("held_longer")),
    ("held shorter", _count("held_shorter")),
    ("other reasons", _count("other_reasons")),
]
_SUMS: list[tuple[str, _Cell]] = [
    ("exposure not taken", _amount("exposure_not_taken")),
    ("of it at risk", _amount("at_risk_not_taken")),
    ("exposure taken on", _amount("exposure_taken_on")),
    ("of it at risk", _amount("at_risk_taken_on")),
    ("revenue delayed", _amount("revenue_delayed")),
    ("by days", _days("days_delayed")),
    ("revenue earlier", _amount("revenue_earlier")),
    ("by days", _days("days_earlier")),
]


def _table(title: str, columns: list[tuple[str, _Cell]], segments: list[SegmentReport]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("segment", "currency"):
        table.add_column(heading)
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    for one in segments:
        table.add_row(_name(one.segment), one.currency, *(cell(one) for _, cell in columns))
    return table


def _alert_table(alerts: list[AlertReport]) -> Table:
    table = Table(title="Alerts raised", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("segment", "threshold"):
        table.add_column(heading)
    for heading in ("current", "proposed", "more", "fewer"):
        table.add_column(heading, justify="right")
    for one in alerts:
        counts = (one.current, one.proposed, one.more, one.fewer)
        table.add_row(_name(one.segment), one.threshold, *(f"{count:,}" for count in counts))
    return table


def _name(segment: str) -> str:
    return segment or "(none)"


# ── for a program ───────────────────────────────────────────────────────────────────────────────


def _json(found: Report) -> dict[str, Any]:
    return {
        "orders": [_order_row(one, str) for one in found.orders],
        "segments": [_segment_row(one) for one in found.segments],
        "alerts": msgspec.to_builtins(found.alerts),
    }


def _segment_row(one: SegmentReport) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(one)
    for name in (
        "revenue_delayed",
        "revenue_earlier",
        "exposure_not_taken",
        "at_risk_not_taken",
        "exposure_taken_on",
        "at_risk_taken_on",
    ):
        row[name] = format_amount(row[name], one.currency)
    del row["delayed_amount_days"], row["earlier_amount_days"]
    return row | {
        "days_delayed": round(one.days_delayed, 2),
        "days_earlier": round(one.days_earlier, 2),
    }


def _order_row(one: OrderChange, amount_type: type[str | Decimal]) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(one)
    return row | {
        "amount": amount_type(format_amount(one.amount, one.currency)),
        "first_at": format_instant(one.first_at),
    }


_COLUMNS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("order_id", pa.string()),
        ("segment", pa.string()),
        ("currency", pa.string()),
        ("amount", pa.decimal128(38, 4)),
        ("first_at", pa.timestamp("us", tz="UTC")),
        ("change", pa.string()),
        ("first_current", pa.string()),
        ("first_proposed", pa.string()),
        ("reasons_current", pa.string()),
        ("reasons_proposed", pa.string()),
        ("days_held_current", pa.float64()),
        ("days_held_proposed", pa.float64()),
        ("at_risk", pa.bool_()),
    ]
)


def _write(path: Path, orders: list[OrderChange]) -> None:
    """One row per order; reasons with blanks between them."""
    rows = [
        _order_row(one, Decimal)
        | {
            "first_at": one.first_at,
            "reasons_current": " ".join(one.reasons_current),
            "reasons_proposed": " ".join(one.reasons_proposed),
        }
        for one in orders
    ]
    table = pa.Table.from_pylist(rows, schema=_COLUMNS)
    try:
        if path.suffix == ".csv":
            csv.write_csv(table, path)
        else:
            parquet.write_table(table, path)
    except OSError as error:
        raise ConfigurationError(f"--out {path}: {error}") from error
