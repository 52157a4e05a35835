"""`headroom worker`: the agents, until SIGTERM."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.roster import AGENTS
from agents.worker import run_worker
from streams.embedded.parts import with_broker
from streams.settings import load_settings


def worker(
    only: Annotated[
        str | None,
        typer.Option(
            help=f"Agents to run, with commas between: {', '.join(AGENTS)}.", metavar="AGENT,..."
        ),
    ] = None,
) -> None:
    """Run agents: those named by --only, else all, but notify only where letters can be sent."""
    named = None if only is None else [name.strip() for name in only.split(",")]
    run_worker(with_broker(load_settings()), named)
