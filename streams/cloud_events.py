"""CloudEvents 1.0 in Kafka's binary mode: what an event is, said in headers.

On the journal and all that goes out every record carries them; on what comes in they are read when
they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from schemas.dates import format_instant
from schemas.events import BY_NAME, Event

Headers: TypeAlias = list[tuple[str, bytes]]

SPECVERSION = "ce_specversion"
ID = "ce_id"
TYPE = "ce_type"
SOURCE = "ce_source"
TIME = "ce_time"
CONTENT_TYPE = "content-type"
ORIGIN = "headroom_origin"
"""Ours, on the journal: the record behind it, `<topic>@<uuid>:<partition>:<position>`.

The position is the offset of an input record; of a journal record that was forwarded, `place_of`
its offset and its place among what that record had forwarded.
"""
SEAT = "headroom_seat"
"""Ours, last on a journal record that was forwarded: how it was, as JSON
(`agents.credit.effects.Sent`).
"""
_PLACES = 1 << 16


def place_of(offset: int, number: int) -> int:
    """One rising number for the `number`th record that a record had forwarded."""
    if number >= _PLACES:
        raise ValueError(f"record {offset} would forward {number} records")
    return offset * _PLACES + number


class Attributes(msgspec.Struct, frozen=True):
    """What the headers of a record say, as text; what is not there, or is not UTF-8, is None."""

    specversion: str | None = None
    id: str | None = None
    type: str | None = None
    source: str | None = None
    time: str | None = None


def headers_of(agent: str) -> Callable[[Event], Headers]:
    """A function that gives the headers of an event that the agent writes.

    Args:
        agent: the agent's name, e.g. `credit`; the source is `/headroom/credit`.
    """
    specversion = (SPECVERSION, b"1.0")
    source = (SOURCE, f"/headroom/{agent}".encode())
    content_type = (CONTENT_TYPE, b"application/avro")
    types = {kind: (TYPE, f"headroom.{name}".encode()) for name, kind in BY_NAME.items()}

    def headers(event: Event) -> Headers:
        return [
            specversion,
            (ID, event.event_id.encode()),
            types[type(event)],
            source,
            (TIME, format_instant(event.occurred_at).encode()),
            content_type,
        ]

    return headers


def read(headers: Iterable[tuple[str, bytes | None]] | None) -> Attributes | None:
    """What a record's headers say of the event; None when they are no CloudEvents headers.

    Of a header that is there twice the last one counts, as with Kafka's `lastHeader`.
    """
    found = {name: value for name, value in headers or () if name in _ATTRIBUTES}
    if SPECVERSION not in found:
        return None
    return Attributes(**{_ATTRIBUTES[name]: _text(value) for name, value in found.items()})


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


_ATTRIBUTES = {name: name.removeprefix("ce_") for name in (SPECVERSION, ID, TYPE, SOURCE, TIME)}
