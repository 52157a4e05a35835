"""`headroom demo`: two years of real receivables through everything, on this machine."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agents.demo.run import DemoFailedError, run_demo, show
from streams.settings import load_settings


def demo(
    days_per_second: Annotated[
        float, typer.Option(min=0, help="Pace of the replay; 0: as fast as the pipeline goes.")
    ] = 20.0,
    directory: Annotated[
        Path | None, typer.Option(help="Where the demo keeps its data; emptied at the start.")
    ] = None,
) -> None:
    """Run 2,466 real invoices of 100 customers through a real broker to decisions and ClickHouse.

    Exit status 0 only if what ClickHouse holds in the end agrees with the file, to the cent.
    """
    settings = load_settings()
    where = directory or settings.embedded_dir / "demo"
    console = Console()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    findings = run_demo(
        settings.model_copy(update={"embedded_dir": where}), days_per_second, console, stop
    )
    if not show(findings, console):
        raise DemoFailedError("ClickHouse does not agree with the file")
    console.print(
        "Everything agrees. Look for yourself: "
        f"HEADROOM_EMBEDDED_DIR={where} {sys.argv[0]} sql 'SHOW TABLES'",
        soft_wrap=True,
    )
