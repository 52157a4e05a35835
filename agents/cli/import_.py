"""`headroom import`: events of a file, to their topics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.lines import Lines
from agents.cli.say import send
from schemas.catalogue import key_of, topic_of
from streams.cloud_events import headers_of
from streams.embedded.parts import with_broker
from streams.fast_lane.outlet import Outgoing
from streams.registry import open_codec
from streams.settings import load_settings


def import_(
    events: Annotated[Path, typer.Argument(help="Events, one JSON object a line; - reads stdin.")],
) -> None:
    """Write events to their topics, in the order of the file, for the agents to take in.

    A line that cannot be used is told on stderr with what is wrong with it, and the rest goes on;
    exit status 1 then.
    """
    lines = Lines(events)
    settings = with_broker(load_settings())
    codec = open_codec(settings)
    headers = headers_of("import")
    sent = send(
        settings,
        (
            Outgoing(
                topic_of(type(event).__name__),
                key_of(event).encode(),
                codec.encode(event),
                headers(event),
            )
            for event in lines.usable()
        ),
    )
    typer.echo(f"{sent} events sent", err=True)
    lines.check_all_sent()
