"""The names of customers, to find one by the beginning of their name or of a word in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rocksdict import WriteBatch

from agents.gateway.topic_book import TopicBook
from schemas.catalogue import topic_of
from schemas.events import CustomerUpserted, Event, Instant
from streams.codec import Codec

CUSTOMERS = topic_of("CustomerUpserted")
_NUL = b"\0"
_WORDS_MAX = 8
_CHARACTERS_MAX = 64


class Found(NamedTuple):
    """Where a customer stands in the index: what was found, folded, and whose it is."""

    words: str
    customer_id: str


class _Known(msgspec.Struct, array_like=True):
    at: Instant
    event_id: str
    words: list[str]


class CustomerNames(TopicBook):
    """The names that master records say, the latest of each customer.

    Args:
        config: of the client.
        codec: decodes master records.
        directory: of the disk.
    """

    def __init__(self, config: Mapping[str, Any], codec: Codec, directory: Path) -> None:
        super().__init__(config, CUSTOMERS, codec, directory)

    def starting(self, text: str, after: Found | None) -> Iterator[Found]:
        """Customers whose name, or what follows a space in it, begins with a text: each once, by
        what was found. Case, width and white space do not count.
        """
        begins = folded(text)
        wanted = _NAME + begins.encode()
        start = wanted if after is None else _key(*after) + _NUL
        items: Any = self._db.items(from_key=start)
        for key, _ in items:
            if not key.startswith(wanted):
                return
            words, _, customer_id = key.removeprefix(_NAME).partition(_NUL)
            found = Found(words.decode(), customer_id.decode())
            known = self._known(found.customer_id)
            if known is not None and found.words == min(
                (one for one in known.words if one.startswith(begins)), default=None
            ):
                yield found

    def _note(self, events: Iterable[tuple[Event, bytes]], batch: WriteBatch) -> None:
        known_now: dict[str, _Known] = {}
        for event, _ in events:
            if not isinstance(event, CustomerUpserted):
                continue
            customer_id = event.customer_id
            known = known_now.get(customer_id) or self._known(customer_id)
            at = (event.occurred_at, event.event_id)
            if known is not None and (known.at, known.event_id) >= at:
                continue
            words = beginnings(event.name or "")
            for one in set(known.words if known else ()) - set(words):
                batch.delete(_key(one, customer_id))
            for one in words:
                batch.put(_key(one, customer_id), b"")
            known_now[customer_id] = _Known(*at, words)
        for customer_id, known in known_now.items():
            batch.put(_CUSTOMER + customer_id.encode(), msgspec.msgpack.encode(known))

    def _known(self, customer_id: str) -> _Known | None:
        raw: bytes | None = self._db.get(_CUSTOMER + customer_id.encode())
        return None if raw is None else msgspec.msgpack.decode(raw, type=_Known)


_NAME = b"n" + _NUL
_CUSTOMER = b"i" + _NUL


def folded(text: str) -> str:
    """A text as it is compared."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).replace("\0", "")


def beginnings(name: str) -> list[str]:
    """A name from its beginning and from each of its first words on."""
    words = folded(name).split(" ")
    return [
        begins
        for at in range(min(len(words), _WORDS_MAX))
        if (begins := " ".join(words[at:])[:_CHARACTERS_MAX])
    ]


def _key(words: str, customer_id: str) -> bytes:
    return _NAME + words.encode() + _NUL + customer_id.encode()
