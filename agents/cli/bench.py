"""`headroom bench`: how fast it is, here."""

from __future__ import annotations

import sys
from itertools import groupby
from operator import attrgetter
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams.settings import load_settings

app = typer.Typer(
    help="Measure throughput and latency on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def pipeline(
    events: Annotated[int, typer.Option(min=1000, help="Events for the throughput.")] = 150_000,
    plain_events: Annotated[
        int, typer.Option(min=1000, help="Events for the plain Faust agent.")
    ] = 20_000,
    per_second: Annotated[int, typer.Option(min=1, help="Orders a second for latency.")] = 200,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of each latency.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Journal to decisions per second, and how long an order waits for its answer.

    With everything that it is compared with, in one run, on one broker. Runs about two minutes.
    """
    from benchmarks.pipeline import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    report = run(
        load_settings(),
        events=events,
        plain_events=plain_events,
        per_second=per_second,
        seconds=seconds,
        tell=lambda text: talk.print(f"{text} …"),
    )
    if as_json:
        _print_json(report)
        return
    console = Console()
    speed = Table(title="Journal to decisions, one worker, broker on the same machine")
    for heading in ("", "events", "events/s"):
        speed.add_column(heading, justify="left" if not heading else "right")
    for one in report.throughput:
        speed.add_row(one.name, f"{one.events:,}", f"{one.events_per_second:,.0f}")
    console.print(speed)
    console.print(f"{report.ratio_to_plain:.1f} times the plain agent")
    waits = Table(title=f"Milliseconds at {per_second} a second")
    for heading in ("", "p50", "p99", "samples"):
        waits.add_column(heading, justify="left" if not heading else "right")
    for each in report.latency:
        waits.add_row(each.name, f"{each.p50:.1f}", f"{each.p99:.1f}", str(each.samples))
    console.print(waits)


@app.command()
def takeover(
    accounts: Annotated[
        list[int] | None,
        typer.Option(min=1000, help="Accounts with state; may be given repeatedly."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """How long nobody answers when a worker is stopped, and how long its state takes to read back.

    With an empty disk, the disk kept, and hot standbys, for states of several sizes (20,000 and
    100,000 accounts). Runs about three minutes.
    """
    from benchmarks.takeover import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    measured = run(
        load_settings(),
        accounts or (20_000, 100_000),
        tell=lambda text: talk.print(f"{text} …"),
    )
    if as_json:
        _print_json(measured)
        return
    table = Table(title="Taking over, seconds")
    for heading in (
        "accounts",
        "records",
        "empty disk",
        "a million accounts",
        "disk kept",
        "silence with standbys",
    ):
        table.add_column(heading, justify="right")
    for one in measured:
        table.add_row(
            f"{one.accounts:,}",
            f"{one.records:,}",
            f"{one.empty_disk_seconds:.1f}",
            f"{one.seconds_per_million:.0f}",
            f"{one.kept_disk_seconds:.1f}",
            f"{one.silence_seconds:.2f}",
        )
    Console().print(table)


@app.command()
def forecast(
    days: Annotated[
        list[int] | None, typer.Option(min=1, help="Days to look ahead; may be given repeatedly.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """How well a coming shortage of headroom is foretold, on the demo's real receivables."""
    from benchmarks.forecast import IN_TIME_DAYS, foresight  # noqa: PLC0415  only this verb needs it

    found = [foresight(ahead) for ahead in days or (7, 14, 30)]
    if as_json:
        _print_json(found)
        return
    table = Table(title="Warnings that headroom will run out")
    for heading in (
        "days ahead",
        "holds",
        f"told {IN_TIME_DAYS} days before",
        "warnings",
        "false alarms",
        "right",
        "by chance",
    ):
        table.add_column(heading, justify="right")
    for one in found:
        table.add_row(
            str(one.forecast_days),
            str(one.holds),
            f"{one.in_time} ({one.in_time / one.holds:.0%})",
            str(one.warnings),
            str(one.false_alarms),
            f"{1 - one.false_alarms / one.warnings:.0%}",
            f"{one.chance:.0%}",
        )
    Console().print(table)


@app.command()
def dunning(
    customers: Annotated[int, typer.Option(min=100, help="Customers.")] = 50_000,
    invoices: Annotated[int, typer.Option(min=100, help="Their open invoices.")] = 200_000,
    per_second: Annotated[int, typer.Option(min=1, help="Orders a second.")] = 100,
    seconds: Annotated[int, typer.Option(min=5, help="Seconds before the day begins.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """The dunning run of a business day on one worker, and how long orders wait meanwhile."""
    from benchmarks.dunning_day import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    one = run(
        load_settings(),
        customers=customers,
        invoices=invoices,
        per_second=per_second,
        seconds=seconds,
        tell=lambda text: talk.print(f"{text} …"),
    )
    if as_json:
        _print_json(one)
        return
    console = Console()
    console.print(
        f"{one.letters:,} letters about {one.invoices:,} open invoices of {one.customers:,}"
        f" customers in {one.seconds:.1f} s"
    )
    waits = Table(title=f"Milliseconds from order to decision at {one.per_second} a second")
    for heading in ("", "p50", "p99"):
        waits.add_column(heading, justify="left" if not heading else "right")
    waits.add_row("before the day began", f"{one.before_p50:.1f}", f"{one.before_p99:.1f}")
    waits.add_row("meanwhile", f"{one.meanwhile_p50:.1f}", f"{one.meanwhile_p99:.1f}")
    console.print(waits)


@app.command()
def sink(
    events: Annotated[int, typer.Option(min=1000, help="Events of the journal.")] = 150_000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that both take.")] = 3,
    per_second: Annotated[int, typer.Option(min=1, help="Decisions a second for latency.")] = 200,
    seconds: Annotated[int, typer.Option(min=5, help="Seconds of that.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Rows a second into ClickHouse beside bare inserts of the same rows, from memory and from a
    broker, and how long a decision waits until its row is seen. Runs about two minutes.
    """
    from benchmarks.sink import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    report = run(
        load_settings(),
        events=events,
        rounds=rounds,
        per_second=per_second,
        seconds=seconds,
        tell=lambda text: talk.print(f"{text} …"),
    )
    if as_json:
        _print_json(report)
        return
    console = Console()
    table = Table(title="Rows into the embedded engine")
    for heading in ("", "rows", "rows/s", "µs of all cores a row"):
        table.add_column(heading, justify="left" if not heading else "right")
    for one in (report.bare, report.path, report.from_broker):
        used = one.processor_microseconds
        table.add_row(
            one.name,
            f"{one.rows:,}",
            f"{one.rows_per_second:,.0f}",
            "" if used is None else f"{used:.1f}",
        )
    console.print(table)
    console.print(f"the sink's path to bare inserts: {report.ratio:.2f}")
    visible = report.visible
    console.print(
        f"decision to row, {visible.per_second} a second: p50 {visible.p50:.2f} s,"
        f" p99 {visible.p99:.2f} s of {visible.samples:,}"
    )


@app.command()
def gateway(
    per_second: Annotated[int, typer.Option(min=1, help="Order checks a second.")] = 200,
    seconds: Annotated[int, typer.Option(min=5, help="Seconds of each measurement.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """How long an order check over HTTP takes, and what becomes of twice as many as can be had.

    The load is vegeta's, which has to be installed. Runs about two minutes.
    """
    from benchmarks.door import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    report = run(
        load_settings(),
        per_second=per_second,
        seconds=seconds,
        tell=lambda text: talk.print(f"{text} …"),
    )
    if as_json:
        _print_json(report)
        return
    console = Console()
    waits = Table(title=f"Milliseconds at {per_second} a second")
    for heading in ("", "p50", "p99", "samples"):
        waits.add_column(heading, justify="left" if not heading else "right")
    for one in report.latency:
        waits.add_row(one.name, f"{one.p50:.1f}", f"{one.p99:.1f}", str(one.samples))
    console.print(waits)
    much = report.overload
    statuses = ", ".join(f"{count:,} with {status}" for status, count in much.statuses.items())
    console.print(
        f"capacity {much.capacity:,.0f} a second; at {much.per_second:,}: answered {statuses};"
        f" decisions after p50 {much.p50:.1f}, p99 {much.p99:.1f} ms;"
        f" memory {much.memory_before:.0f} MiB before, {much.memory_most:.0f} at most"
    )


@app.command()
def account(
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """What an event costs beside 10, 1,000 and 100,000 open documents; re-check of 1,000 orders."""
    from benchmarks.account_size import costs, rechecks  # noqa: PLC0415  only this verb needs it

    found, looked = costs(), rechecks()
    if as_json:
        _print_json({"costs": found, "rechecks": looked})
        return
    console = Console()
    table = Table(title="An event on one account, rules and store")
    for heading in ("ledger", "open documents", "µs an event", "times the smallest"):
        table.add_column(heading, justify="left" if heading == "ledger" else "right")
    smallest = {one.ledger: one.microseconds for one in reversed(found)}
    for one in found:
        table.add_row(
            one.ledger,
            f"{one.open_documents:,}",
            f"{one.microseconds:.0f}",
            f"{one.microseconds / smallest[one.ledger]:.2f}",
        )
    console.print(table)
    table = Table(title="One payment while many orders are held")
    for heading in ("ledger", "held orders", "released", "ms"):
        table.add_column(heading, justify="left" if heading == "ledger" else "right")
    for each in looked:
        table.add_row(
            each.ledger,
            f"{each.held_orders:,}",
            f"{each.released:,}",
            f"{each.milliseconds:.0f}",
        )
    console.print(table)


@app.command()
def warehouse(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the journal, about.")] = 2_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """How long ClickHouse takes for what dashboards ask, with two threads.

    On a made-up history of three years in an engine of its own. 4,000,000 rows of the journal take
    a minute and a half and 1 GB in the directory for temporary files; more in proportion.
    """
    from benchmarks.warehouse import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    found = run(load_settings(), rows=rows, tell=lambda text: talk.print(f"{text} …"))
    if as_json:
        _print_json(found)
        return
    console = Console()
    console.print(f"{found.journal_rows:,} rows of the journal in {found.filling_seconds:.0f} s")
    table = Table(title="What is filled, and what is stored of it")
    for heading in ("", "rows", "MB", "seconds to compute"):
        table.add_column(heading, justify="left" if not heading else "right")
    for one in found.tables:
        table.add_row(one.name, f"{one.rows:,}", f"{one.megabytes:,.0f}", "")
    for stored in found.refreshes:
        table.add_row(
            f"{stored.name}_stored",
            f"{stored.rows:,}",
            f"{stored.megabytes:,.0f}",
            f"{stored.seconds:.1f}",
        )
    console.print(table)
    table = Table(title="Milliseconds, the shortest of three")
    for heading in ("question", "ms", "rows"):
        table.add_column(heading, justify="left" if heading == "question" else "right")
    for answer in found.answers:
        table.add_row(answer.question, f"{answer.milliseconds:,.0f}", f"{answer.rows:,}")
    console.print(table)


@app.command()
def layouts(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of the journal, about.")] = 2_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """What ClickHouse's tables would take with other keys, partitions and codecs, one thread."""
    from benchmarks.layouts import run  # noqa: PLC0415  only this verb needs it

    talk = Console(stderr=True)
    found = run(load_settings(), rows=rows, tell=lambda text: talk.print(f"{text} …"))
    if as_json:
        _print_json(found)
        return
    console = Console()
    for name, tried in groupby(found, key=attrgetter("table")):
        of_table = list(tried)
        table = Table(title=f"{name}: seconds of one core")
        questions = list(of_table[0].seconds)
        for heading in ("layout", "MB", "insert", *questions):
            table.add_column(heading, justify="left" if heading == "layout" else "right")
        for one in of_table:
            figures = (one.insert_seconds, *(one.seconds[each] for each in questions))
            table.add_row(
                one.layout, f"{one.megabytes:,.0f}", *(f"{figure:.2f}" for figure in figures)
            )
        console.print(table)


def _print_json(found: object) -> None:
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
