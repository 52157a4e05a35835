"""`headroom up`: the embedded broker, and the registry if wanted, until it is told to stop."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from streams.embedded.claim import Claim, holder
from streams.embedded.parts import at_broker, embedded_apicurio, embedded_kafka
from streams.errors import ConfigurationError, HeadroomError
from streams.settings import Settings, load_settings

_LOOK_SECONDS = 1.0


class AlreadyUpError(HeadroomError):
    """Another `headroom up` runs in the same directory."""


def up(
    registry: Annotated[
        bool, typer.Option("--registry", help="Also start a schema registry (160 MB to fetch).")
    ] = False,
) -> None:
    """Start the embedded parts, create the topics, say how to connect, and stay until Ctrl-C.

    Data is kept for the next time under HEADROOM_EMBEDDED_DIR. Nothing is left running afterwards,
    however this command ends.
    """
    settings = load_settings()
    if settings.kafka_bootstrap:
        raise ConfigurationError(
            "HEADROOM_KAFKA_BOOTSTRAP names a broker, so there is none to start; unset it for that"
        )
    claim = Claim(up_claim(settings))
    if not claim.take():
        raise AlreadyUpError(
            f"already up in {settings.embedded_dir.absolute()} (process {holder(claim.path)}); "
            "`headroom down` stops it"
        )
    for asked in (signal.SIGTERM, signal.SIGINT):  # a shell's background job ignores the latter
        signal.signal(asked, _interrupt)
    try:
        with ExitStack() as parts:
            _run(settings, parts, registry=registry)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
    finally:
        claim.release()


def up_claim(settings: Settings) -> Path:
    """The lock that a running `headroom up` holds; it has the process's id in it."""
    return settings.embedded_dir / "up.lock"


def _run(settings: Settings, parts: ExitStack, *, registry: bool) -> None:
    from agents.cli.topics import create_topics  # noqa: PLC0415  Kafka's clients, after the claim

    typer.echo("Starting Kafka …", err=True)
    kafka = parts.enter_context(embedded_kafka(settings))
    created = create_topics(at_broker(settings, kafka.bootstrap_servers))
    apicurio = None
    if registry:
        typer.echo("Starting the schema registry …", err=True)
        apicurio = parts.enter_context(embedded_apicurio(settings))
    typer.echo(f"Kafka     {kafka.bootstrap_servers}  ({len(created)} topics created)")
    if apicurio:
        typer.echo(f"Registry  {apicurio.url}")
    typer.echo(f"Data      {settings.embedded_dir.absolute()}")
    typer.echo("Headroom's commands find the broker when they run in this directory; for others:")
    typer.echo(f"  export HEADROOM_KAFKA_BOOTSTRAP={kafka.bootstrap_servers}")
    if apicurio:
        typer.echo(f"  export HEADROOM_SCHEMA_REGISTRY_URL={apicurio.url}")
    typer.echo("Ctrl-C stops it.", err=True)
    while True:
        time.sleep(_LOOK_SECONDS)
        kafka.check()
        if apicurio:
            apicurio.check()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
