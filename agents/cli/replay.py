"""`headroom replay`: a history of your own, day by day."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from agents.cli.lines import Lines
from agents.cli.progress import Stages
from agents.replay import Outputs, Replay
from schemas.catalogue import JOURNAL
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import BusinessDayStarted, Day, Event
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.kafka_client import client_config, producer_config, topic_facts
from streams.registry import open_codec
from streams.settings import load_settings


def replay(
    events: Annotated[Path, typer.Argument(help="Events, one JSON object a line; - reads stdin.")],
    days_per_second: Annotated[
        float, typer.Option(min=0, help="Pace at most; 0: as fast as the pipeline goes.")
    ] = 0.0,
) -> None:
    """Send a history in the order in which it happened, and begin each of its days.

    What happened on a day is sent in the file's order, topic by topic, and the next goes out when
    it stands in the journal, so each run decides alike. The workers must run with
    HEADROOM_CLOCK=replayed, or their clock begins today before the history has come to it. Days
    that the file begins itself are passed over. A line that cannot be used is told on stderr, and
    the rest goes on; exit status 1 then.
    """
    lines = Lines(events, left_out=(BusinessDayStarted,))
    history = sorted(lines.usable(), key=_day)
    if not history:
        raise ConfigurationError(f"{events}: there is no event to send")
    settings = with_broker(load_settings())
    partitions = topic_facts(AdminClient(client_config(settings)), [JOURNAL])[JOURNAL].partitions
    codec = open_codec(settings)
    outputs = Outputs(client_config(settings), (), partitions, codec, _nobody_listens)
    try:
        with Stages() as stages:
            sent = stages.track(f"{_name(history[0])} to {_name(history[-1])}", len(history))
            Replay(
                Producer(producer_config(settings)),
                codec,
                "replay",
                partitions,
                outputs,
                day_begins=lambda _day: None,
                is_sent=lambda _event: sent(1),
            ).run(history, 1 / days_per_second if days_per_second else 0.0, give_up=lambda: None)
    finally:
        outputs.close()
    days = sum(1 for _ in groupby(history, key=_day))
    typer.echo(f"{len(history)} events of {days} days are in the journal", err=True)
    lines.check_all_sent()


def _day(event: Event) -> Day:
    return event.occurred_at // MICROSECONDS_PER_DAY


def _name(event: Event) -> str:
    return format_day(_day(event))


def _nobody_listens(_event: Event) -> None:
    """Nothing but the journal is read."""
