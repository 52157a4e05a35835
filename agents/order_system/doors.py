"""How an order system asks: by writing to the topics, or over HTTP. Facts (what was shipped,
invoiced, paid, cancelled) go to the topics either way.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol

import urllib3
from confluent_kafka import KafkaError, Message, Producer
from urllib3.util import Retry

from schemas.catalogue import key_of, topic_of
from schemas.currencies import Currencies
from schemas.events import Event, OrderDecision, OrderPlaced
from schemas.json_lines import json_object, parse_payload, to_payload
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.errors import ConfigurationError, HeadroomError, InvalidMessage
from streams.follow import Follower, follow_on
from streams.kafka_client import client_config, producer_config
from streams.settings import Settings

_DECISIONS = topic_of("OrderDecision")
_LISTEN_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0
_AGAIN_SECONDS = 0.5
_AT_ONCE = 32
_COME_BACK = frozenset({429, 503})
"""Answers that say: ask again."""

News = OrderDecision | HeadroomError
"""What comes back: a decision, or why nothing will."""


class AskingError(HeadroomError):
    """The order system could not ask, or tell."""


class Door(Protocol):
    """Where orders go; decisions come to the queue that it was made with."""

    def ask(self, order: OrderPlaced) -> None:
        """Place an order; does not wait for its decision."""
        ...

    def close(self) -> None:
        """Hear no more."""
        ...


class Facts:
    """Writes events to their topics."""

    def __init__(self, settings: Settings, codec: Codec, news: SimpleQueue[News]) -> None:
        self._codec, self._news = codec, news
        self._headers = headers_of("order-system")
        self._producer = Producer(producer_config(settings))

    def tell(self, event: Event) -> None:
        """One more; does not wait until the brokers have it."""
        self._producer.produce(
            topic_of(type(event).__name__),
            self._codec.encode(event),
            key_of(event).encode(),
            headers=[(name, value or b"") for name, value in self._headers(event)],
            on_delivery=self._delivered,
        )
        self._producer.poll(0)

    def close(self) -> None:
        """Returns when the brokers have all of it.

        Raises:
            AskingError: they do not take it.
        """
        if self._producer.flush(_PATIENCE_SECONDS):
            raise AskingError("the brokers did not take all that was told")

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._news.put(AskingError(f"the brokers did not take it: {error.str()}"))


class TopicDoor:
    """Orders go to their topic; decisions are read from theirs."""

    def __init__(
        self, settings: Settings, codec: Codec, facts: Facts, news: SimpleQueue[News]
    ) -> None:
        """Hears of every decision from when this returns."""
        self._facts, self._codec, self._news = facts, codec, news
        self._stopping = threading.Event()
        self._follower = Follower(client_config(settings), [_DECISIONS])
        self._thread = threading.Thread(
            target=follow_on, args=(self._follow, _DECISIONS, self._stopping.is_set), daemon=True
        )
        self._thread.start()

    def ask(self, order: OrderPlaced) -> None:
        self._facts.tell(order)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._follower.close()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for record in self._follower.read(_LISTEN_SECONDS):
                try:
                    event = self._codec.decode(record.value)
                except InvalidMessage:
                    continue  # of a newer release, and not on an order of ours
                if isinstance(event, OrderDecision):
                    self._news.put(event)


class HttpDoor:
    """Asks a gateway, and hears of releases from its feed."""

    def __init__(self, url: str, key: str | None, news: SimpleQueue[News]) -> None:
        """Hears of every decision from when this returns.

        Args:
            url: of the gateway.
            key: an API key, where the gateway wants one.
            news: where decisions go.

        Raises:
            AskingError: nobody answers there as a gateway does.
            ConfigurationError: the gateway does not know the key.
        """
        self._url, self._news = url.rstrip("/"), news
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # 429 and 503 say "again": the same request, under the same key, is the same order.
        again = Retry(
            total=10, status_forcelist=_COME_BACK, allowed_methods=None, backoff_factor=0.2,
            respect_retry_after_header=True, raise_on_status=False,
        )  # fmt: skip
        self._http = urllib3.PoolManager(maxsize=_AT_ONCE, retries=again)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ask")
        self._stopping = threading.Event()
        self._open = threading.Event()
        self._cursor: str | None = None
        self._fault: HeadroomError | None = None
        self._stream: urllib3.BaseHTTPResponse | None = None
        self._thread = threading.Thread(target=self._listen, name="feed", daemon=True)
        self._thread.start()
        if not self._open.wait(_PATIENCE_SECONDS) or self._fault is not None:
            raise self._fault or AskingError(f"{self._url}: its feed of decisions does not open")

    def ask(self, order: OrderPlaced) -> None:
        self._pool.submit(self._ask, order)

    def close(self) -> None:
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        if self._stream is not None:
            self._stream.shutdown()
        self._thread.join()

    def _ask(self, order: OrderPlaced) -> None:
        body = {name: value for name, value in to_payload(order).items() if name != "type"}
        headers = self._headers | {"Idempotency-Key": order.event_id}
        try:
            answer = self._http.request(
                "POST", f"{self._url}/v1/orders/check", json=body, headers=headers
            )
            if answer.status in _COME_BACK:
                return  # no answer; what is decided may still come over the feed
            self._news.put(self._decision(answer.status, answer.data))
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            self._news.put(AskingError(f"{self._url}: {error}"))

    def _decision(self, status: int, body: bytes) -> News:
        payload = json_object(body.decode())
        event = parse_payload(payload, Currencies()) if status == 200 else None  # noqa: PLR2004
        if isinstance(event, OrderDecision):
            return event
        told = payload.get("detail", event)
        return AskingError(f"{self._url} answers {status}: {told}")

    # ── the feed ────────────────────────────────────────────────────────────────────────────────

    def _listen(self) -> None:
        """Follow the feed, from where it broke off when it does."""
        while not self._stopping.is_set():
            try:
                self._follow()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if self._open.is_set():
                    self._stopping.wait(_AGAIN_SECONDS)
                else:
                    self._give_up(AskingError(f"{self._url}: {error}"))
            except HeadroomError as error:
                self._give_up(error)

    def _give_up(self, fault: HeadroomError) -> None:
        self._fault = fault
        self._news.put(fault)
        self._stopping.set()
        self._open.set()

    def _follow(self) -> None:
        left_off = {} if self._cursor is None else {"Last-Event-ID": self._cursor}
        timeout = urllib3.Timeout(connect=5, read=_PATIENCE_SECONDS)
        stream = self._http.request(
            "GET", f"{self._url}/v1/decisions", headers=self._headers | left_off,
            preload_content=False, timeout=timeout, retries=False,
        )  # fmt: skip
        self._stream = stream
        try:
            if self._stopping.is_set():
                return
            if stream.status in {401, 403}:
                raise ConfigurationError(f"{self._url} answers {stream.status}: is the key right?")
            if stream.status in _COME_BACK:
                raise urllib3.exceptions.HTTPError(f"its feed answers {stream.status}")
            if stream.status != 200:  # noqa: PLR2004
                raise AskingError(f"{self._url}/v1/decisions answers {stream.status}")
            for cursor, payload in _server_sent(self._opening(stream.stream(None))):
                self._cursor = cursor
                event = parse_payload(payload, Currencies())
                if isinstance(event, OrderDecision):
                    self._news.put(event)
        finally:
            self._stream = None
            stream.close()

    def _opening(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._open.set()
            yield piece


def _server_sent(pieces: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Id and data of each event of a feed."""
    rest = b""
    found: dict[str, str] = {}
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            name, _, value = line.decode().partition(": ")
            if name:
                found[name] = value
            elif "data" in found:
                yield found["id"], json.loads(found["data"])
                found = {}
