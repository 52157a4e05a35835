"""`headroom tail`: what goes over topics, as it comes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from schemas.catalogue import DEAD_LETTERS, TOPICS
from schemas.dates import MalformedDateError, format_instant, parse_instant
from schemas.events import BY_NAME
from schemas.json_lines import to_payload
from schemas.money import UnknownCurrencyError
from streams.codec import Codec
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, InvalidMessage
from streams.follow import Follower
from streams.kafka_client import client_config
from streams.record import Record
from streams.registry import open_codec
from streams.settings import load_settings

_LISTEN_SECONDS = 0.5
_MICROSECONDS_PER_MILLISECOND = 1000
_READABLE = [name for name, topic in TOPICS.items() if topic.direction != "internal"]

Wanted = Callable[[dict[str, Any]], bool]


def tail(
    topics: Annotated[
        list[str], typer.Argument(metavar="TOPIC...", help="As in docs/topics.md; or: all.")
    ],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only events of this type; several times.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE", help="Only where a field is so; several times: all of them."
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            metavar="WHEN", help="From when: now, beginning, or an instant (2026-03-02T09:30:00Z)."
        ),
    ] = "now",
    to_the_end: Annotated[
        bool, typer.Option("--to-the-end", help="End behind what is there, instead of waiting.")
    ] = False,
    places: Annotated[
        bool, typer.Option("--places", help="With topic, partition, offset and time of the record.")
    ] = False,
) -> None:
    """Print events as JSON lines, as they come, until Ctrl-C.

    A dead letter is an object with its reason and where it comes from. Events of one partition come
    in their order, of two in either. What cannot be read is told on stderr.
    """
    wanted, named, beginning = _filter(types or [], where or []), _topics(topics), _since(since)
    settings = with_broker(load_settings())
    codec = open_codec(settings)
    follower = Follower(client_config(settings), named, since=beginning)
    try:
        for record in _records(follower, to_the_end=to_the_end):
            payload = _payload(record, codec)
            if payload is not None and wanted(payload):
                line = payload | _place(record) if places else payload
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass  # how it is meant to end
    except BrokenPipeError:
        # Who read has gone (`| head`). Python would complain once more when it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        follower.close()


def _records(follower: Follower, *, to_the_end: bool) -> Iterator[Record]:
    while not (to_the_end and follower.has_read_what_was_there):
        yield from follower.read(_LISTEN_SECONDS)


def _topics(named: list[str]) -> list[str]:
    if named == ["all"]:
        return _READABLE
    for name in named:
        if name not in _READABLE:
            raise ConfigurationError(f"no topic {name} (there are {', '.join(_READABLE)})")
    return named


def _since(text: str) -> int | None:
    if text == "now":
        return None
    if text == "beginning":
        return 0
    try:
        return parse_instant(text) // _MICROSECONDS_PER_MILLISECOND
    except MalformedDateError as error:
        raise ConfigurationError(f"--since: {error}; or now, or beginning") from error


def _filter(types: list[str], where: list[str]) -> Wanted:
    for name in types:
        if name not in BY_NAME:
            raise ConfigurationError(f"--type: there is no event {name}")
    conditions = [one.partition("=") for one in where]
    for field, sign, _ in conditions:
        if not field or not sign:
            raise ConfigurationError(f"--where: {field!r} is not FIELD=VALUE")

    def wanted(payload: dict[str, Any]) -> bool:
        return (not types or payload.get("type") in types) and all(
            _has(payload.get(field), value) for field, _, value in conditions
        )

    return wanted


def _has(found: Any, value: str) -> bool:
    if isinstance(found, list):
        return any(_has(one, value) for one in found)
    if isinstance(found, bool) or found is None:
        return json.dumps(found) == value
    return str(found) == value


def _payload(record: Record, codec: Codec) -> dict[str, Any] | None:
    if record.topic == DEAD_LETTERS:
        told = {
            name.removeprefix("headroom_"): (value or b"").decode(errors="replace")
            for name, value in record.headers
            if name.startswith("headroom_")
        }
        return {"type": "DeadLetter"} | told
    try:
        return to_payload(codec.decode(record.value))
    except (InvalidMessage, UnknownCurrencyError) as error:
        where = f"{record.topic}-{record.partition}, record {record.offset}"
        typer.echo(f"headroom tail: {where} cannot be read: {error}", err=True)
        return None


def _place(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "recorded_at": format_instant(record.timestamp * _MICROSECONDS_PER_MILLISECOND),
    }
