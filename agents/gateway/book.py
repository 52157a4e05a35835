"""The decisions that were published, as a gateway has them: at hand for who waits for one, and on
disk for who asks again.

What is older than the topic keeps is forgotten.

A request is known by the name that `request_event_id` puts into its order's event id: a decision
says by which event it was caused, and so whose answer it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from rocksdict import WriteBatch

from agents.gateway.topic_book import TopicBook
from schemas.catalogue import topic_of
from schemas.events import Event, OrderDecision
from streams.codec import Codec
from streams.record import Record

DECISIONS = topic_of("OrderDecision")
KEPT_SECONDS = 30 * 86_400
"""As long as the topic keeps them."""

_NUL = b"\0"
_REQUEST = "http-"
_NAME_BYTES = 16
_CONTENT_BYTES = 8
_NUMBER_BYTES = 10


class Answered(NamedTuple):
    """A request that has its decision: a hash of what was asked, and the decision."""

    content: str
    decision: OrderDecision


def request_name(caller: str, key: str) -> str:
    """What a caller's idempotency key is called everywhere."""
    return blake2b(f"{caller}\0{key}".encode(), digest_size=_NAME_BYTES).hexdigest()


def content_hash(body: bytes) -> str:
    """By which two bodies are told apart."""
    return blake2b(body, digest_size=_CONTENT_BYTES).hexdigest()


def request_event_id(name: str, content: str) -> str:
    """The id of the order that a request places. It is the same on every gateway."""
    return f"{_REQUEST}{name}-{content}"


def _request_of(event_id: str) -> tuple[str, str] | None:
    """The name of the request behind an event, and the hash of its content."""
    if not event_id.startswith(_REQUEST):
        return None
    name, _, content = event_id.removeprefix(_REQUEST).partition("-")
    return name, content


class DecisionBook(TopicBook):
    """The decisions of a topic, by request and by order.

    Args:
        config: of the client.
        codec: decodes decisions.
        directory: of the disk.
        heard: hears of every decision, in the reader's thread.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        codec: Codec,
        directory: Path,
        heard: Callable[[list[OrderDecision]], None],
    ) -> None:
        super().__init__(config, DECISIONS, codec, directory, KEPT_SECONDS)
        self._heard = heard
        self._decisions: list[OrderDecision] = []
        """Of the batch that is being taken."""

    def answer_to(self, name: str) -> Answered | None:
        """The first decision on the order that a request placed."""
        raw: bytes | None = self._db.get(_request_key(name))
        if raw is None:
            return None
        content, _, value = raw.partition(_NUL)
        return Answered(content.decode(), self._decision(value))

    def latest_on(self, order_id: str, customer_id: str | None = None) -> list[OrderDecision]:
        """The last decision on an order; several, where customers use the same id."""
        start = _order_key(order_id, customer_id or "")
        if customer_id is not None:
            raw: bytes | None = self._db.get(start)
            return [] if raw is None else [self._decision(raw[_NUMBER_BYTES:])]
        items: Iterator[tuple[Any, Any]] = self._db.items(from_key=start)
        of_the_order = takewhile(lambda item: item[0].startswith(start), items)
        return [self._decision(value[_NUMBER_BYTES:]) for _, value in of_the_order]

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    def take(self, records: list[Record]) -> None:
        """Keep what was read, and tell of it; called by one thread."""
        super().take(records)
        if self._decisions:
            self._heard(self._decisions)
            self._decisions = []

    def _note(self, events: Iterable[tuple[Event, bytes]], batch: WriteBatch) -> None:
        latest: dict[bytes, bytes] = {}
        answers: dict[bytes, bytes] = {}
        for event, raw in events:
            if not isinstance(event, OrderDecision):
                continue
            self._decisions.append(event)
            key = _order_key(event.order_id, event.customer_id)
            number = _number(event.decision_number)
            known: bytes | None = latest.get(key) or self._db.get(key)
            # What was decided before comes once more after a worker's crash.
            if known is None or number >= known[:_NUMBER_BYTES]:
                latest[key] = number + raw
            request = _request_of(event.cause_event_id)
            if request is not None and event.decision_number == 1:
                name, content = request
                answers.setdefault(_request_key(name), content.encode() + _NUL + raw)
        for key, value in latest.items():
            batch.put(key, value)
        for key, value in answers.items():
            if self._db.get(key) is None:
                batch.put(key, value)

    def _decision(self, value: bytes) -> OrderDecision:
        decision = self._decode(value)
        assert isinstance(decision, OrderDecision)  # noqa: S101  nothing else is kept
        return decision


def _number(decision_number: int) -> bytes:
    """Before an order's last decision: those of an order sort by it."""
    return b"%0*d" % (_NUMBER_BYTES, decision_number)


def _request_key(name: str) -> bytes:
    return b"k" + _NUL + name.encode()


def _order_key(order_id: str, customer_id: str) -> bytes:
    return b"o" + _NUL + order_id.encode() + _NUL + customer_id.encode()
