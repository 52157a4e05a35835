"""Writes events to their topics for services that are asked one thing at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer

from schemas.catalogue import key_of, topic_of
from schemas.events import Event
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.errors import HeadroomError

_SECONDS = 10.0


class NotTakenError(HeadroomError):
    """The brokers did not take it in time. It may still get there."""


class Postbox:
    """For any number of threads.

    Args:
        producer: idempotent, waits for all replicas.
        codec: encodes events.
        source: who speaks, in the events' headers.
    """

    def __init__(self, producer: Producer, codec: Codec, source: str) -> None:
        self._producer = producer
        self._codec = codec
        self._headers = headers_of(source)
        threading.Thread(target=self._hear, name="postbox", daemon=True).start()

    def post(self, events: Iterable[Event]) -> None:
        """Returns when the brokers have all of them.

        Raises:
            NotTakenError: they did not take one in time.
        """
        letters = []
        for event in events:
            letter = _Letter()
            letters.append(letter)
            self._producer.produce(
                topic_of(type(event).__name__),
                self._codec.encode(event),
                key_of(event).encode(),
                on_delivery=letter.delivered,
                headers=[(name, value or b"") for name, value in self._headers(event)],
            )
        for letter in letters:
            letter.wait()

    def _hear(self) -> None:
        while True:
            self._producer.poll(0.1)


class _Letter:
    def __init__(self) -> None:
        self._there = threading.Event()
        self._fault = ""

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._fault = "" if error is None else error.str()
        self._there.set()

    def wait(self) -> None:
        if not self._there.wait(_SECONDS):
            raise NotTakenError(f"the brokers did not answer for {_SECONDS:.0f} s")
        if self._fault:
            raise NotTakenError(f"the brokers did not take it: {self._fault}")
