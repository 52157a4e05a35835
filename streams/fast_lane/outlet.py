"""What an agent publishes, and the producer over which it leaves at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from streams.fast_lane.fail_stop import stop_the_process

_LISTEN_SECONDS = 0.003
_RECORD_BYTES = 256
"""What an event counts for beside its value."""

Headers = Sequence[tuple[str, bytes | None]]
Answered = Callable[[float, str], object]
"""Hears of each answer how long it took, in seconds, until it was acknowledged, and the id of its
trace, if any.
"""
Delivered = Callable[[KafkaError | None, Message], None]


class Outgoing(NamedTuple):
    """A record to be produced; without a partition the key decides."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int = -1
    timestamp: int = 0
    """Milliseconds since 1970; 0: now."""
    answers: int = 0
    """Timestamp of the record that waits for this one, milliseconds since 1970; 0: none does."""
    trace_id: str = ""
    """Of the sampled trace that it belongs to; empty: of none."""


class Flight:
    """Events under way to the brokers, between two commits of a partition.

    The event loop counts departures, the outlet's thread arrivals.
    """

    __slots__ = ("_acknowledged", "_landed", "_sealed", "_sent", "held", "size")

    def __init__(self) -> None:
        self.held: list[Outgoing] = []
        """Those that leave with the commit, and not before."""
        self._sent = 0
        self._acknowledged = 0
        self._sealed = False
        self._landed = threading.Event()
        self.size = 0
        """Bytes that count against the bound on what is in flight: records read and events sent."""

    def depart(self, outgoing: Outgoing) -> None:
        """The event leaves now."""
        self._sent += 1
        self.size += _size_of(outgoing)

    def hold(self, outgoing: Outgoing) -> None:
        """The event leaves with the commit."""
        self.held.append(outgoing)
        self.size += _size_of(outgoing)

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            stop_the_process(f"an event could not be written to {message.topic()}: {error.str()}")
        self._acknowledged += 1
        if self._sealed and self._acknowledged == self._sent:
            self._landed.set()

    def seal(self) -> None:
        """No more departures."""
        self._sealed = True
        if self._acknowledged == self._sent:
            self._landed.set()

    def wait(self) -> None:
        """Until all have been acknowledged, however long the brokers take."""
        self._landed.wait()


class Outlet:
    """The idempotent producer of an agent's outgoing events, with the thread that hears of their
    delivery.

    Args:
        config: of the client.
        answered: hears of each answer.
    """

    def __init__(
        self, config: Mapping[str, Any], answered: Answered = lambda _seconds, _trace_id: None
    ) -> None:
        self._producer = Producer(dict(config))
        self._answered = answered
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="outlet", daemon=True)
        self._thread.start()

    def send(self, outgoing: Outgoing, flight: Flight) -> None:
        """Give a record to the producer; the flight hears of its delivery.

        Raises `KafkaException` for a record that the client itself refuses.
        """
        flight.depart(outgoing)
        self._producer.produce(
            outgoing.topic,
            outgoing.value,
            outgoing.key,
            outgoing.partition,
            self._timed(flight, outgoing) if outgoing.answers else flight.delivered,
            timestamp=outgoing.timestamp,
            headers=outgoing.headers,  # type: ignore[arg-type]  # text would do too
        )

    def close(self) -> None:
        """Wait a little for what is still under way, then stop."""
        self._producer.flush(5.0)
        self._closed = True
        self._thread.join()

    def _timed(self, flight: Flight, outgoing: Outgoing) -> Delivered:
        waited = time.time() - outgoing.answers / 1000
        trace_id = outgoing.trace_id

        def delivered(error: KafkaError | None, message: Message) -> None:
            # What the client measured, not when this thread came to hear of it.
            self._answered(max(waited + (message.latency() or 0.0), 0.0), trace_id)
            flight.delivered(error, message)

        return delivered

    def _listen(self) -> None:
        # Each time this thread wakes up, the event loop has to hand over Python's lock. So it hears
        # of what was delivered in lots, a moment later; the brokers have it all the same.
        while not self._closed:
            if self._producer.poll(0.1):
                time.sleep(_LISTEN_SECONDS)


def _size_of(outgoing: Outgoing) -> int:
    return _RECORD_BYTES + len(outgoing.value or b"")
