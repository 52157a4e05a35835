"""`headroom dunning bounces`: mails that came back are reported."""

from __future__ import annotations

import email
import mailbox
import sys
from collections.abc import Iterable, Iterator
from email.message import Message
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.say import now, send
from agents.notify.bounces import Bounce, bounce_of
from schemas.catalogue import topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import DunningStep, DunningStepReported
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.fast_lane.outlet import Outgoing
from streams.kafka_client import client_config
from streams.log_reader import open_readers
from streams.registry import open_codec
from streams.settings import Settings, load_settings


def bounces(
    mails: Annotated[
        str, typer.Argument(metavar="MAILS", help="A Maildir, an mbox, or - for one mail on stdin.")
    ],
) -> None:
    """Report the mails that came back: the next channel follows, or a person finds a contact.

    Anything else in the mailbox is passed over, and nothing is removed: what was reported before
    changes nothing.
    """
    settings = with_broker(load_settings())
    found = {bounce.letter: bounce for bounce in map(bounce_of, _mails(mails)) if bounce}
    codec = open_codec(settings)
    steps = list(_steps(settings, codec, found)) if found else []
    headers, topic = headers_of("dunning"), topic_of("DunningStepReported")
    records = []
    for step in steps:
        event = _reported(step, found[step.event_id])
        records.append(
            Outgoing(topic, step.customer_id.encode(), codec.encode(event), headers(event))
        )
        typer.echo(f"{step.step_id}: {event.detail}")
    send(settings, records)
    typer.echo(f"{len(steps)} of {len(found)} mails that came back were dunning steps", err=True)


def _mails(mails: str) -> Iterator[Message]:
    if mails == "-":
        yield email.message_from_binary_file(sys.stdin.buffer)
        return
    path = Path(mails)
    if path.is_dir():
        yield from mailbox.Maildir(path, create=False)
    elif path.is_file():
        yield from mailbox.mbox(path, create=False)
    else:
        raise ConfigurationError(f"MAILS: there is no mailbox {mails}")


def _steps(settings: Settings, codec: Codec, wanted: Iterable[str]) -> Iterator[DunningStep]:
    """The steps whose letters these were."""
    missing = set(wanted)
    for reader in open_readers(client_config(settings), topic_of("DunningStep")):
        for record in reader:
            value = record.value or b""
            if not any(letter.encode() in value for letter in missing):
                continue
            event = codec.decode(value)
            if isinstance(event, DunningStep) and event.event_id in missing:
                missing.discard(event.event_id)
                yield event


def _reported(step: DunningStep, bounce: Bounce) -> DunningStepReported:
    at = now()
    name = f"{step.step_id}#{step.attempt or 1}\0came back"
    return DunningStepReported(
        event_id=blake2b(name.encode(), digest_size=16).hexdigest(),
        occurred_at=at,
        customer_id=step.customer_id,
        step_id=step.step_id,
        attempt=step.attempt or 1,
        channel=step.channel,
        result="bounced",
        on=at // MICROSECONDS_PER_DAY,
        detail=bounce.detail,
    )
