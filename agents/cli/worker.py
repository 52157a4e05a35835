"""`headroom worker`: the agents, until SIGTERM."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.worker import AGENTS, run_worker
from streams.embedded.parts import with_broker
from streams.settings import load_settings


def worker(
    only: Annotated[
        str, typer.Option(help="Agents to run, with commas between.", metavar="AGENT,...")
    ] = ",".join(AGENTS),
) -> None:
    """Run agents: all of them, or those named by --only."""
    run_worker(with_broker(load_settings()), [name.strip() for name in only.split(",")])
