"""Runs the demo: parts up, worker up, history through, outcome reconciled, all down again."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.live import Live
from rich.table import Table

from agents.catch_up import wait_for_group
from agents.demo import screen
from agents.demo.board import Board
from agents.demo.history import SettledInvoice, events_of, read_settled_invoices
from agents.demo.reconcile import Finding, compare
from agents.replay import Outputs, PipelineStoppedError, Replay
from agents.worker_process import worker_process
from schemas.catalogue import JOURNAL, OUTPUT_TOPICS
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, Event, OrderPlaced
from streams.clickhouse import open_clickhouse
from streams.codec import Codec
from streams.embedded.claim import Claim, holder
from streams.embedded.parts import at_broker, embedded_kafka
from streams.errors import ConfigurationError, HeadroomError
from streams.kafka_client import client_config, producer_config
from streams.registry import open_schema_ids
from streams.settings import PREFIX, Settings
from streams.topics import apply, catalogue_topics

_CLAIM = "demo.lock"
_LINE_SECONDS = 2.0
_REFRESH_PER_SECOND = 8


class DemoFailedError(HeadroomError):
    """The demo could not run, or its outcome does not agree with the file."""


def run_demo(
    settings: Settings, days_per_second: float, console: Console, stop: threading.Event
) -> list[Finding]:
    """Everything from start to finish; returns what was compared.

    Args:
        settings: `embedded_dir` is where the demo keeps its data; what an earlier demo left there
            is removed.
        days_per_second: pace of the replay at most; 0: as fast as the pipeline goes.
        console: where progress is shown.
        stop: set by whoever wants it to end early.

    Raises:
        DemoFailedError: a part did not come up, or stopped answering, or `stop` was set.
        ConfigurationError: the directory, or the broker that is named, holds something else.
    """
    invoices = read_settled_invoices()
    history = events_of(invoices)
    with ExitStack() as parts:
        if settings.clickhouse_dsn is not None:
            raise ConfigurationError(
                f"{PREFIX}CLICKHOUSE_DSN is set, but the demo fills an engine of its own; unset it"
            )
        claim = _clear(settings.embedded_dir)
        parts.callback(claim.release)
        settings = settings.model_copy(update={"state_dir": settings.embedded_dir / "state"})
        if settings.kafka_bootstrap is None:
            console.print(f"Starting Kafka, data under {settings.embedded_dir.absolute()} …")
            kafka = parts.enter_context(embedded_kafka(settings))
            settings = at_broker(settings, kafka.bootstrap_servers)
        _make_topics(settings)
        console.print("Starting the worker: intake, credit, sink …")
        worker = parts.enter_context(
            worker_process(
                settings,
                claim,
                name="demo",
            )
        )

        console.print(
            f"To watch it in a browser, in another terminal: {PREFIX}EMBEDDED_DIR="
            f"{settings.embedded_dir} headroom gateway, then http://127.0.0.1:6068/console/",
            soft_wrap=True,
        )

        def check() -> None:
            if stop.is_set():
                raise DemoFailedError("stopped; nothing is left running")
            worker.check()

        board = _play(settings, history, days_per_second, console, check)
        return _reconcile(settings, invoices, history, board, console, check)


def show(findings: list[Finding], console: Console) -> bool:
    """Print what was compared; whether all of it agrees."""
    table = Table(title="Read back from ClickHouse, held against the file", expand=False)
    for heading in ("", "the file says", "ClickHouse says", ""):
        table.add_column(heading)
    for one in findings:
        mark = "[green]agrees[/green]" if one.agrees else "[red]DIFFERS[/red]"
        table.add_row(one.subject, one.expected, one.found, mark)
    console.print(table)
    return all(one.agrees for one in findings)


def _play(
    settings: Settings,
    history: list[Event],
    days_per_second: float,
    console: Console,
    check: Callable[[], None],
) -> Board:
    first, last = (history[at].occurred_at // MICROSECONDS_PER_DAY for at in (0, -1))
    board = Board(days_total=last - first + 1)
    lock = threading.Lock()
    codec = Codec(open_schema_ids(settings.schema_registry_url))

    def read(event: Event) -> None:
        with lock:
            board.read(event, time.monotonic())

    def begin(day: Day) -> None:
        with lock:
            board.day = day
            board.days_done += 1

    def send(event: Event) -> None:
        with lock:
            board.events_sent += 1
            if isinstance(event, OrderPlaced):
                board.asked(event.order_id, time.monotonic())

    outputs = Outputs(client_config(settings), OUTPUT_TOPICS, settings.partitions, codec, read)
    replay = Replay(
        Producer(producer_config(settings)), codec, "demo", settings.partitions, outputs,
        day_begins=begin, is_sent=send,
    )  # fmt: skip
    seconds_per_day = 1 / days_per_second if days_per_second else 0.0
    done = threading.Event()
    shown = threading.Thread(
        target=_show_progress, args=(board, lock, console, done), name="demo-screen", daemon=True
    )
    shown.start()
    try:
        replay.run(history, seconds_per_day, give_up=check)
        _wait_for_agent(settings, "credit", [JOURNAL], check)
        outputs.drain()
    except PipelineStoppedError as error:
        check()
        log = settings.embedded_dir / "worker.log"
        raise DemoFailedError(f"{error}; see {log}") from error
    finally:
        outputs.close()
        done.set()
        shown.join()
    return board


def _show_progress(
    board: Board, lock: threading.Lock, console: Console, done: threading.Event
) -> None:
    started = time.monotonic()

    def speed() -> float:
        return board.events_sent / max(time.monotonic() - started, 1e-9)

    def look() -> Any:
        with lock:
            return screen.table(board, speed())

    if console.is_terminal:
        with Live(
            look(), console=console, refresh_per_second=_REFRESH_PER_SECOND, transient=False
        ) as live:
            while not done.wait(1 / _REFRESH_PER_SECOND):
                live.update(look())
            live.update(look())
        return
    while not done.wait(_LINE_SECONDS):
        with lock:
            console.print(screen.headline(board, speed()), soft_wrap=True)
    with lock:
        console.print(screen.headline(board, speed()), soft_wrap=True)


def _reconcile(
    settings: Settings,
    invoices: list[SettledInvoice],
    history: list[Event],
    board: Board,
    console: Console,
    check: Callable[[], None],
) -> list[Finding]:
    console.print("Waiting for the last rows to reach ClickHouse …")
    _wait_for_agent(settings, "sink", [JOURNAL, *OUTPUT_TOPICS], check)
    client = open_clickhouse(settings)
    try:
        return compare(client, invoices, len(history), board.decisions)
    finally:
        client.close()


def _wait_for_agent(
    settings: Settings, agent: str, topics: list[str], check: Callable[[], None]
) -> None:
    wait_for_group(
        client_config(settings),
        f"{settings.app_id}-{agent}",
        topics,
        settings.partitions,
        give_up=check,
    )


def _clear(directory: Path) -> Claim:
    """Empty the demo's own directory and claim it; one that holds something else is refused."""
    if directory.exists() and any(directory.iterdir()) and not (directory / _CLAIM).exists():
        raise ConfigurationError(
            f"{directory.absolute()} holds something that no demo made; name an empty directory"
        )
    directory.mkdir(parents=True, exist_ok=True)
    claim = Claim(directory / _CLAIM)
    if not claim.take():
        raise DemoFailedError(f"another demo runs in {directory} (process {holder(claim.path)})")
    for left in directory.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != _CLAIM:
            left.unlink()
    return claim


def _make_topics(settings: Settings) -> None:
    created = apply(AdminClient(client_config(settings)), catalogue_topics(settings))
    if len(created) < len(catalogue_topics(settings)):
        raise ConfigurationError(
            f"{settings.kafka_bootstrap} already has Headroom's topics; "
            "the demo writes years of history and wants a broker without them"
        )
