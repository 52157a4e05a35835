"""The dead letters as they lie in their topic, and what was done about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.alerts.notice import again
from agents.sink.rows import number_of
from schemas.catalogue import ALERT_NOTICES, DEAD_LETTERS, INPUT_TOPICS, topic_of
from schemas.events import Event, Instant
from streams.cloud_events import ORIGIN, SEAT
from streams.codec import Codec
from streams.dead_letters import DISCARDED, SETTLED, Settled, settlement
from streams.errors import HeadroomError, InvalidMessage
from streams.fast_lane.outlet import Outgoing
from streams.log_reader import Track, open_readers
from streams.record import Record

_NOTICES = ALERT_NOTICES.removeprefix("headroom")
"""How the topic's name ends in every installation."""


class NoSuchLetterError(HeadroomError):
    """No dead letter has this id, or somebody has settled it."""


class NotRetriedError(HeadroomError):
    """The dead letter cannot be sent again: it did not come from an input topic."""


@dataclass(frozen=True)
class Settlement:
    """What somebody did about a dead letter."""

    how: str
    by: str
    reason: str
    at: int
    """Milliseconds since 1970."""


@dataclass
class Letter:
    """A refused record: the same one, refused twice after a crash, is one letter.

    `record` is that in the dead letters; `topic`, `partition` and `offset` are where it came from.
    """

    record: Record
    topic: str
    partition: int
    offset: int
    reason: str
    fault_class: str
    detail: str
    settlement: Settlement | None = None

    @property
    def id(self) -> str:
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def is_open(self) -> bool:
        """Whether somebody has to look at it."""
        return self.settlement is None and self.reason != DISCARDED


def read_letters(config: Mapping[str, Any], track: Track) -> list[Letter]:
    """All that the topic holds, each partition's in its order; those that are settled too."""
    readers = open_readers(config, DEAD_LETTERS)
    advance = track("reading dead letters", sum(one.end - one.first for one in readers))
    return [letter for reader in readers for letter in letters_in(reader.told(advance))]


def letters_in(records: Iterable[Record]) -> list[Letter]:
    """The letters of one partition of the topic."""
    by_offset: dict[int, Letter] = {}
    by_origin: dict[tuple[str, int, int, str, str], Letter] = {}
    for record in records:
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        if SETTLED in said:
            letter = by_offset.get(number_of(said[SETTLED].encode()))
            if letter is not None and letter.settlement is None:
                letter.settlement = Settlement(
                    said.get("headroom_settled_how", ""),
                    said.get("headroom_settled_by", ""),
                    said.get("headroom_settled_reason", ""),
                    record.timestamp,
                )
            continue
        letter = Letter(
            record,
            said.get("headroom_original_topic", ""),
            number_of(said.get("headroom_original_partition", "").encode()),
            number_of(said.get("headroom_original_offset", "").encode()),
            said.get("headroom_reason", ""),
            said.get("headroom_class", ""),
            said.get("headroom_detail", ""),
        )
        origin = (letter.topic, letter.partition, letter.offset, letter.reason, letter.detail)
        by_offset[record.offset] = by_origin.setdefault(origin, letter)
    return list(by_origin.values())


def find(letters: Iterable[Letter], ids: Iterable[str]) -> list[Letter]:
    """The open letters with these ids, in the order in which they came in.

    Raises:
        NoSuchLetterError: one of them is not there, or settled; the message names it.
    """
    by_id = {letter.id: letter for letter in letters}
    found = []
    for wanted in dict.fromkeys(ids):
        letter = by_id.get(wanted)
        if letter is None:
            raise NoSuchLetterError(f"there is no dead letter {wanted}")
        if letter.settlement is not None:
            done = letter.settlement
            raise NoSuchLetterError(f"{wanted} was {done.how} by {done.by}: {done.reason}")
        found.append(letter)
    return sorted(found, key=lambda one: (one.topic, one.partition, one.offset))


def event_of(letter: Letter, codec: Codec) -> Event | None:
    """What it says, None when its bytes are no event."""
    try:
        return codec.decode(letter.record.value)
    except InvalidMessage:
        return None


def sent_again(letter: Letter, codec: Codec, now: Instant) -> Outgoing:
    """The record as it came, for the input topic again; a notice of an alert as another attempt,
    due now.

    Raises `NotRetriedError` for one that no input topic takes.
    """
    if letter.topic not in INPUT_TOPICS and letter.topic.endswith(_NOTICES):
        try:
            value = again(letter.record.value, now)
        except InvalidMessage as fault:
            raise NotRetriedError(f"{letter.id} is no notice: {fault.detail}") from fault
        return Outgoing(letter.topic, letter.record.key, value, [])
    event = event_of(letter, codec)
    topic = letter.topic if event is None else topic_of(type(event).__name__)
    if topic not in INPUT_TOPICS:
        what = letter.topic if event is None else type(event).__name__
        raise NotRetriedError(f"{letter.id} ({what}) is nothing that is sent to Headroom")
    ours = (ORIGIN, SEAT)
    headers = [
        (name, value)
        for name, value in letter.record.headers
        if name not in ours and not name.startswith("headroom_")
    ]
    return Outgoing(topic, letter.record.key, letter.record.value, headers)


def settled(letter: Letter, how: Settled, by: str, reason: str) -> Outgoing:
    """What is written behind the letter when something was done about it."""
    record = letter.record
    return settlement(record.key, record.partition, record.offset, how=how, by=by, reason=reason)
