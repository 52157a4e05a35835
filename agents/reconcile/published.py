"""The figures as they were published last, against those that the journal gives."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping

import msgspec

from agents.reconcile.expected import GROUP, Expected, expected_of, name_of
from agents.reconcile.findings import Difference
from agents.reconcile.shelf import Shelf
from agents.reconcile.words import NOTHING, differing
from schemas.catalogue import topic_of
from schemas.events import Event
from streams.errors import InvalidMessage
from streams.log_reader import LogReader

FIGURES = (topic_of("ExposureChanged"), topic_of("GroupExposureChanged"))
"""The topics that keep the latest figures: of accounts, of groups."""


class Published(msgspec.Struct, array_like=True, gc=False):
    """A record that is the last of its key."""

    place: str
    value: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Published).decode


def read_published(reader: LogReader, shelf: Shelf, advance: Callable[[int], None]) -> None:
    """Keep the last record of every key, by `name_of`."""
    group = GROUP if reader.topic == FIGURES[1] else ""
    for record in reader.told(advance):
        name = name_of(group + (record.key or b"").decode())
        place = f"{record.topic}[{record.partition}]/{record.offset}"
        value = record.value
        shelf.put(name, None if value is None else _encode(Published(place, value)))


def compare_published(
    published: Shelf,
    expected: Shelf,
    later: Mapping[str, Iterable[bytes]],
    decode: Callable[[bytes], Event],
    known_to_differ: Container[str],
    *,
    complete: bool,
) -> Iterator[Difference]:
    """Every account whose published figures are none that may be published.

    Args:
        published: the last records, by name.
        expected: what the journal gives at the state that was compared.
        later: what it gives behind that, by account.
        decode: a record as an event.
        known_to_differ: accounts whose live state differs.
        complete: the whole journal was recomputed, so that what it does not know should not be
            there.
    """
    of_later = {name_of(key): list(contents) for key, contents in later.items()}

    def judge(name: bytes) -> Iterator[Difference]:
        raw = published.get(name)
        found = None if raw is None else _decode(raw)
        candidates = expected_of(expected, name)
        contents = [content for one in candidates for content in one.contents]
        contents += of_later.get(name, [])
        if found is None and not candidates:
            return  # it was touched for the first time behind the state
        if found is not None and found.value in contents:
            return
        yield from _differences(name, found, candidates, decode, known_to_differ)

    before = b""
    for shelved, _ in expected.entries():
        name = shelved.rpartition(b"\0")[0]
        if name != before:
            yield from judge(name)
        before = name
    if complete:
        for name, _ in published.entries():
            if not expected_of(expected, name) and name not in of_later:
                yield from judge(name)


def _differences(
    name: bytes,
    found: Published | None,
    candidates: list[Expected],
    decode: Callable[[bytes], Event],
    known_to_differ: Container[str],
) -> Iterator[Difference]:
    account_id = name[1:].decode()
    what = "figures" if name[:1] == b"c" else "figures of the group"
    place = FIGURES[0 if name[:1] == b"c" else 1] if found is None else found.place

    def difference(field: str, left: str, right: str, cause: str) -> Difference:
        return Difference("exposures", account_id, what, field, left, right, cause, place)

    if found is None:
        yield difference("", NOTHING, "figures", "the record was deleted, or never written")
        return
    try:
        event = decode(found.value)
    except InvalidMessage as error:
        yield difference("", "unreadable", "figures", f"the record is no event: {error}")
        return
    if not candidates:
        yield difference("", "figures", NOTHING, "the journal has no event of it up to the state")
        return
    should = decode(candidates[-1].contents[-1])
    if account_id in known_to_differ:
        cause = "the live state, of which they are taken, differs too"
    elif event.event_id == should.event_id:
        cause = "right event, wrong figures: another policy or release, or another sender"
    else:
        cause = "they are of another event: a commit's figures were lost, or overwritten later"
    told = False
    for field, left, right in differing(event, should):
        told = True
        yield difference(field, left, right, cause)
    if not told:
        yield difference("", "other bytes for the same content", "as this release writes", cause)
