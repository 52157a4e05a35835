"""The decisions that were published, as a gateway has them: at hand for who waits for one, and on
disk for who asks again.

It is read from `credit.order-decisions.v1` alone, so any number of gateways have the same, and one
that starts with an empty disk reads it anew. What is older than the topic keeps is forgotten.

A request is known by the name that `request_event_id` puts into its order's event id: a decision
says by which event it was caused, and so whose answer it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient
from rocksdict import AccessType, Options, Rdict, WriteBatch

from schemas.catalogue import topic_of
from schemas.events import OrderDecision
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.fast_lane.fetch import Record
from streams.follow import Follower, follow_on
from streams.kafka_client import Complaint, topic_facts

DECISIONS = topic_of("OrderDecision")
KEPT_SECONDS = 30 * 86_400
"""As long as the topic keeps them."""

_LISTEN_SECONDS = 0.2
_NUL = b"\0"
_TOPIC_ID = b"@id"
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


class DecisionBook:
    """Reads on in a thread of its own from its start until it is closed.

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
        self._config = config
        self._decode = codec.decode
        self._heard = heard
        directory.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._db = Rdict(
            str(directory), options, access_type=AccessType.read_write().with_ttl(KEPT_SECONDS)
        )
        self._ready = threading.Event()
        self._stopping = False
        self._complain = Complaint()
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """All that was there at the start has been read."""
        return self._ready.is_set()

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

    def close(self) -> None:
        """Let go of the client and the disk."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join()
        self._db.close()

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        follow_on(self._follow, DECISIONS, lambda: self._stopping)

    def _follow(self) -> None:
        facts = topic_facts(AdminClient(dict(self._config)), [DECISIONS])[DECISIONS]
        if self._db.get(_TOPIC_ID) != facts.id.encode():
            self._forget()
            self._db.put(_TOPIC_ID, facts.id.encode())
        known = {n: int(self._db.get(_place_key(n)) or 0) for n in range(facts.partitions)}
        follower = Follower(self._config, [DECISIONS], begin=known)
        try:
            while not self._stopping:
                self.take(list(follower.read(_LISTEN_SECONDS)))
                if follower.has_read_what_was_there:
                    self._ready.set()
        finally:
            follower.close()

    def take(self, records: list[Record]) -> None:
        """Keep what was read, and how far; called by one thread."""
        decisions = []
        latest: dict[bytes, bytes] = {}
        answers: dict[bytes, bytes] = {}
        batch = WriteBatch(raw_mode=True)
        for record in records:
            batch.put(_place_key(record.partition), b"%d" % (record.offset + 1))
            try:
                decision = self._decode(record.value)
            except InvalidMessage as error:
                # Of a newer release, perhaps; whoever waits for it is told that none came in time.
                self._complain("%s-%s@%s: %s", *record[:3], error.reason)
                continue
            if not isinstance(decision, OrderDecision) or record.value is None:
                continue
            decisions.append(decision)
            key = _order_key(decision.order_id, decision.customer_id)
            number = _number(decision.decision_number)
            known: bytes | None = latest.get(key) or self._db.get(key)
            # What was decided before comes once more after a worker's crash.
            if known is None or number >= known[:_NUMBER_BYTES]:
                latest[key] = number + record.value
            request = _request_of(decision.cause_event_id)
            if request is not None and decision.decision_number == 1:
                name, content = request
                answers.setdefault(_request_key(name), content.encode() + _NUL + record.value)
        for key, value in latest.items():
            batch.put(key, value)
        for key, value in answers.items():
            if self._db.get(key) is None:
                batch.put(key, value)
        if records:
            self._db.write(batch)
        if decisions:
            self._heard(decisions)

    def _forget(self) -> None:
        """The topic was made anew: what was read of the former one is no more."""
        batch = WriteBatch(raw_mode=True)
        for key in self._db.keys():  # noqa: SIM118  no dict
            batch.delete(key)
        self._db.write(batch)

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


def _place_key(partition: int) -> bytes:
    return b"@%d" % partition
