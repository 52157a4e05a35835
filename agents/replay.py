"""Sends a history to the input topics, day by day, at a chosen pace.

Topics are not ordered against each other, so at full speed a payment of March could reach the
journal before an order of January. Therefore the replay waits, whenever it goes on to another topic
or day, until all it sent stands in the journal. Then what the journal holds is the history in its
own order, and every run decides alike.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from agents.simulate import business_day
from schemas.catalogue import JOURNAL, key_of, topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, Event
from streams.cloud_events import ORIGIN, headers_of
from streams.codec import Codec
from streams.errors import HeadroomError
from streams.kafka_client import log_bounds

_PATIENCE_SECONDS = 60.0
_DRAIN_SECONDS = 20.0
_REQUEST_SECONDS = 5.0
_SAID_AT_ONCE = (topic_of("OrderDecision"), topic_of("CreditLimitAlert"))


class PipelineStoppedError(HeadroomError):
    """What was sent did not come out in time."""


class Outputs:
    """Reads the journal, and what goes out, in a thread: what comes from now on.

    Args:
        config: of the client.
        topics: of what goes out; may be none.
        partitions: of each of them.
        codec: decodes what goes out.
        take: is given it, in the thread.

    Raises:
        KafkaException: the brokers do not say where the logs end.
    """

    def __init__(
        self,
        config: dict[str, Any],
        topics: Sequence[str],
        partitions: int,
        codec: Codec,
        take: Callable[[Event], None],
    ) -> None:
        self._consumer = Consumer(
            {
                **config,
                "group.id": "headroom-replay",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
            }
        )
        try:
            self._consumer.assign(
                [
                    self._end_of(TopicPartition(topic, n))
                    for topic in (JOURNAL, *topics)
                    for n in range(partitions)
                ]
            )
        except BaseException:
            self._consumer.close()
            raise
        self._codec = codec
        self._hand_on = take
        self._journaled = 0
        self._more = threading.Condition()
        self._closed = False
        self._draining = threading.Event()
        self._drained = threading.Event()
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._read, name="replay-outputs", daemon=True)
        self._thread.start()

    def _end_of(self, place: TopicPartition) -> TopicPartition:
        end = log_bounds(self._consumer, place, _REQUEST_SECONDS)[1]
        return TopicPartition(place.topic, place.partition, end)

    def wait_for_journal(self, count: int) -> None:
        """Until `count` input events stand in the journal.

        Raises:
            PipelineStoppedError: they do not within a minute, or the reader failed.
        """
        with self._more:
            self._more.wait_for(
                lambda: self._journaled >= count or self._failure is not None, _PATIENCE_SECONDS
            )
            if self._failure is not None:
                raise PipelineStoppedError(self._failure)
            if self._journaled < count:
                raise PipelineStoppedError(
                    f"{count - self._journaled} events that were sent do not reach the journal:"
                    " does a worker run with intake, and are there dead letters?"
                )

    def drain(self) -> None:
        """Wait until all decisions and alerts that there are have been read."""
        self._draining.set()
        self._drained.wait(_DRAIN_SECONDS)

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        try:
            while not self._closed:
                message = self._consumer.poll(0.2)
                if message is not None:
                    self._take(message)
                elif self._draining.is_set() and self._is_at_the_end():
                    self._drained.set()
        except (HeadroomError, KafkaException) as error:
            with self._more:
                self._failure = str(error)
                self._more.notify_all()

    def _is_at_the_end(self) -> bool:
        # Exposures are left out: their topic ends in transaction markers, which are no position.
        places = [one for one in self._consumer.assignment() if one.topic in _SAID_AT_ONCE]
        return all(
            max(one.offset, 0) >= log_bounds(self._consumer, one, _REQUEST_SECONDS)[1]
            for one in self._consumer.position(places)
        )

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        if message.topic() == JOURNAL:
            # What a partition writes to the journal itself was not sent in.
            origin = dict(message.headers() or ()).get(ORIGIN)
            if origin is not None and not origin.startswith(JOURNAL.encode()):
                with self._more:
                    self._journaled += 1
                    self._more.notify_all()
            return
        self._hand_on(self._codec.decode(message.value()))


class Replay:
    """Sends events in the order of their days.

    Args:
        producer, codec: with which they are sent.
        source: who sends them, in their headers.
        partitions: of the journal.
        outputs: sees them arrive there.
        day_begins: is told of each day before it is sent.
        is_sent: is told of each event before it is.
    """

    def __init__(
        self,
        producer: Producer,
        codec: Codec,
        source: str,
        partitions: int,
        outputs: Outputs,
        *,
        day_begins: Callable[[Day], None],
        is_sent: Callable[[Event], None],
    ) -> None:
        self._producer = producer
        self._codec = codec
        self._partitions = partitions
        self._outputs = outputs
        self._day_begins = day_begins
        self._is_sent = is_sent
        self._headers = headers_of(source)
        self._sent = 0
        self._failure: str | None = None

    def run(
        self, events: Iterable[Event], seconds_per_day: float, give_up: Callable[[], None]
    ) -> None:
        """Send everything, also the days on which nothing happened between the first and the last.

        Args:
            events: in the order of their days.
            seconds_per_day: that a day takes at least.
            give_up: asked after each day; raises what is to end it.

        Raises:
            PipelineStoppedError: what was sent does not come out.
        """
        by_day = {
            day: list(of_day)
            for day, of_day in groupby(
                events, key=lambda event: event.occurred_at // MICROSECONDS_PER_DAY
            )
        }
        for day in range(min(by_day), max(by_day) + 1):
            began = time.monotonic()
            self._start_day(day)
            self._send_day(by_day.get(day, []))
            give_up()
            time.sleep(max(0.0, seconds_per_day - (time.monotonic() - began)))

    def _start_day(self, day: Day) -> None:
        event = business_day(day)
        for partition in range(self._partitions):
            self._produce(JOURNAL, None, event, partition)
        self._flush()
        self._day_begins(day)

    def _send_day(self, events: Sequence[Event]) -> None:
        for topic, run in groupby(events, key=lambda event: topic_of(type(event).__name__)):
            for event in run:
                self._sent += 1
                self._is_sent(event)
                self._produce(topic, key_of(event).encode(), event, -1)
            self._flush()
            self._outputs.wait_for_journal(self._sent)

    def _produce(self, topic: str, key: bytes | None, event: Event, partition: int) -> None:
        self._producer.produce(
            topic,
            self._codec.encode(event),
            key,
            partition,
            headers=list(self._headers(event)),
            on_delivery=self._delivered,
        )

    def _flush(self) -> None:
        left = self._producer.flush(_PATIENCE_SECONDS)
        if self._failure is not None or left:
            raise PipelineStoppedError(self._failure or "the broker takes no more events")

    def _delivered(self, error: object, _message: Message) -> None:
        if error is not None:
            self._failure = str(error)
