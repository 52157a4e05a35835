"""`headroom import`: events of a file, to their topics."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.say import send
from agents.intake.rules import check
from schemas.catalogue import TOPICS, key_of, topic_of
from schemas.events import Event
from schemas.json_lines import BadLine, read
from streams.cloud_events import headers_of
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.fast_lane.outlet import Outgoing
from streams.registry import open_codec
from streams.settings import load_settings


class NotAllSentError(HeadroomError):
    """Some lines were refused; the others were sent."""


def import_(
    events: Annotated[Path, typer.Argument(help="Events, one JSON object a line; - reads stdin.")],
) -> None:
    """Write events to their topics, in the order of the file, for the agents to take in.

    A line that cannot be used is told on stderr with what is wrong with it, and the rest goes on;
    exit status 1 then.
    """
    try:
        text = sys.stdin.read() if str(events) == "-" else events.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{events}: {error}") from error
    settings = with_broker(load_settings())
    codec = open_codec(settings)
    headers = headers_of("import")
    refused: list[str] = []

    def outgoing() -> Iterator[Outgoing]:
        # Not `splitlines`: inside a JSON string it would cut at U+2028 and its like.
        for event in read(text.split("\n")):
            fault = _fault(event)
            if fault is not None:
                refused.append(fault)
                typer.echo(f"refused: {fault}", err=True)
            elif not isinstance(event, BadLine):
                yield Outgoing(
                    topic_of(type(event).__name__),
                    key_of(event).encode(),
                    codec.encode(event),
                    headers(event),
                )

    sent = send(settings, outgoing())
    typer.echo(f"{sent} events sent", err=True)
    if refused:
        raise NotAllSentError(f"{len(refused)} lines were refused")


def _fault(event: Event | BadLine) -> str | None:
    if isinstance(event, BadLine):
        return str(event)
    name = type(event).__name__
    if TOPICS[topic_of(name)].direction != "in":
        return f"type: {name} is not for others to write (event {event.event_id})"
    refusal = check(event)
    if refusal is None:
        return None
    return f"{refusal.reason}: {refusal.field}: {refusal.detail} (event {event.event_id})"
