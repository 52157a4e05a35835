"""`headroom down`: stop what `headroom up` started, from another terminal."""

from __future__ import annotations

import os
import signal
import time

import typer

from agents.cli.up import up_claim
from streams.embedded.claim import holder
from streams.errors import HeadroomError
from streams.settings import load_settings

_STOP_SECONDS = 40.0
_LOOK_SECONDS = 0.1


class StillUpError(HeadroomError):
    """`headroom up` was told to stop and has not."""


def down() -> None:
    """Stop the embedded parts that run for this directory, and wait until they are gone."""
    settings = load_settings()
    lock = up_claim(settings)
    process = holder(lock)
    if process is None:
        typer.echo(f"Nothing is up in {settings.embedded_dir.absolute()}.", err=True)
        return
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while holder(lock) is not None:
        if time.monotonic() > deadline:
            raise StillUpError(f"process {process} has not stopped after {_STOP_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
    typer.echo("Stopped.", err=True)
