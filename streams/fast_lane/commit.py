"""How what was computed becomes durable, and in which order.

`effectively_once`, for an agent with state (`EffectivelyOnce`):

1. outgoing events leave with the step that led to them over the `Outlet`, an idempotent producer
   that never gives up on a message;
2. every so often the state is frozen (`PartitionStore.snapshot`) and the `Flight` of the events
   that led to it sealed;
3. when the flight has landed (all its events are acknowledged), one Kafka transaction writes the
   changed state to the changelog, what is said once per commit (exposures), and the offset up to
   which all that counts;
4. the same bytes go to the disk.

A crash between any two of these repeats events, with the same content and id since they are a pure
function of the journal, and loses none. The transactional id names the partition: who opens a
partition fences whoever had it before, so that one that was frozen can never write state again.

Without state (intake; `CommitOffset` in `streams.fast_lane.partition`) step 3 is a plain commit of
the offset. That loses nothing either: the offset is committed only after all that came of the
records before it is acknowledged; and repeats are dropped by the reader, since a journal record
names the input record that it comes from. Records of one input partition reach a journal partition
in their order and without holes: they are sent in that order, by an idempotent producer whose
messages neither expire nor overtake each other, and a successor begins at or before the first that
was not acknowledged. So the highest origin that a journal partition has seen stands for all before
it. A worker that was replaced without knowing it can append repeats, but its commit is refused (its
generation is over).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streams.errors import HeadroomError
from streams.fast_lane.fail_stop import stop_the_process
from streams.fast_lane.store import POSITION_KEY
from streams.kafka_client import cause_of

logger = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_SECONDS = 10.0
_CALL_SECONDS = 10.0
_RETRY_SECONDS = 0.2
_LISTEN_SECONDS = 0.003

Headers = Sequence[tuple[str, bytes | None]]
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


class FencedError(HeadroomError):
    """Another worker has the partition: nothing that this one computed may be stored."""


class CommitError(HeadroomError):
    """A commit failed in a way that leaves open whether it happened."""


class Flight:
    """Events under way to the brokers, between two commits of a partition.

    The event loop counts departures, the outlet's thread arrivals.
    """

    __slots__ = ("_acknowledged", "_landed", "_sealed", "_sent", "size")

    def __init__(self) -> None:
        self._sent = 0
        self._acknowledged = 0
        self._sealed = False
        self._landed = threading.Event()
        self.size = 0
        """Bytes that count against the bound on what is in flight: records read and events sent."""

    def depart(self, size: int) -> None:
        self._sent += 1
        self.size += size

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
        answered: hears of each answer how long it took, in seconds, until it was acknowledged.
    """

    def __init__(
        self, config: Mapping[str, Any], answered: Callable[[float], object] = lambda _: None
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
        value = outgoing.value
        flight.depart(256 if value is None else 256 + len(value))
        self._producer.produce(
            outgoing.topic,
            value,
            outgoing.key,
            outgoing.partition,
            self._timed(flight, outgoing.answers) if outgoing.answers else flight.delivered,
            timestamp=outgoing.timestamp,
            headers=outgoing.headers,  # type: ignore[arg-type]  # text would do too
        )

    def close(self) -> None:
        """Wait a little for what is still under way, then stop."""
        self._producer.flush(5.0)
        self._closed = True
        self._thread.join()

    def _timed(self, flight: Flight, since: int) -> Delivered:
        waited = time.time() - since / 1000

        def delivered(error: KafkaError | None, message: Message) -> None:
            # What the client measured, not when this thread came to hear of it.
            self._answered(max(waited + (message.latency() or 0.0), 0.0))
            flight.delivered(error, message)

        return delivered

    def _listen(self) -> None:
        # Each time this thread wakes up, the event loop has to hand over Python's lock. So it hears
        # of what was delivered in lots, a moment later; the brokers have it all the same.
        while not self._closed:
            if self._producer.poll(0.1):
                time.sleep(_LISTEN_SECONDS)


class Guarantee(Protocol):
    """What a setting of `HEADROOM_GUARANTEE` means for one partition: its events, its state, its
    offset.

    `send` and `seal` are called by the event loop, `commit` by one thread at a time.
    """

    @property
    def flight(self) -> Flight:
        """The flight that is boarding."""
        ...

    def send(self, outgoing: Outgoing) -> None:
        """An event of the step that was computed."""
        ...

    def seal(self) -> Flight:
        """All events of the state that was just frozen have been sent."""
        ...

    def commit(
        self,
        flight: Flight,
        changes: Mapping[bytes, bytes | None],
        next_offset: int,
        latest: Sequence[Outgoing],
    ) -> int:
        """Make durable the flight's events, the changed state, what is said once per commit, and
        the offset.

        Returns the changelog offset that follows the state.

        Raises:
            FencedError: somebody else has the partition.
            CommitError: it is not known whether the commit happened.
        """
        ...

    def close(self) -> None: ...


class EffectivelyOnce:
    """Events at once, state and offset behind them in one fenced transaction. Opening fences the
    former owner.
    """

    def __init__(
        self,
        outlet: Outlet,
        config: Mapping[str, Any],
        *,
        transactional_id: str,
        group_metadata: Any,
        source: tuple[str, int],
        changelog: str,
    ) -> None:
        self._outlet = outlet
        self._flight = Flight()
        self._group_metadata = group_metadata
        self._source = source
        self._changelog = changelog
        self._name = transactional_id
        self._producer = Producer(
            {
                **config,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_TIMEOUT_SECONDS * 1000),
                # A transaction right after another waits for the broker to end that one: at the
                # client's 100 ms between attempts, each commit would take 100-200 ms.
                "retry.backoff.ms": 2,
                "message.timeout.ms": int(TRANSACTION_TIMEOUT_SECONDS * 1000),
            }
        )
        self._until_done(
            lambda: self._producer.init_transactions(_CALL_SECONDS), give_up_after=None
        )

    def send(self, outgoing: Outgoing) -> None:
        self._outlet.send(outgoing, self._flight)

    @property
    def flight(self) -> Flight:
        return self._flight

    def seal(self) -> Flight:
        flight, self._flight = self._flight, Flight()
        flight.seal()
        return flight

    def commit(
        self,
        flight: Flight,
        changes: Mapping[bytes, bytes | None],
        next_offset: int,
        latest: Sequence[Outgoing],
    ) -> int:
        flight.wait()
        topic, partition = self._source
        written = _LastOffset()
        producer = self._producer
        self._until_done(producer.begin_transaction)
        try:
            for raw_key, raw in changes.items():
                producer.produce(self._changelog, raw, raw_key, partition)
            # The last of a partition's records has the highest offset, so one is enough to hear of.
            position = b"%d" % next_offset
            producer.produce(self._changelog, position, POSITION_KEY, partition, written)
            for outgoing in latest:
                producer.produce(
                    outgoing.topic,
                    outgoing.value,
                    outgoing.key,
                    outgoing.partition,
                    headers=outgoing.headers,  # type: ignore[arg-type]  # text would do too
                )
        except KafkaException as error:
            raise self._failure(error) from error
        offsets = [TopicPartition(topic, partition, next_offset)]
        self._until_done(
            lambda: producer.send_offsets_to_transaction(
                offsets, self._group_metadata, _CALL_SECONDS
            )
        )
        self._until_done(lambda: producer.commit_transaction(_CALL_SECONDS))
        return written.offset + 1

    def close(self) -> None:
        """Nothing is under way: a transaction is open only inside `commit`."""

    def _until_done(
        self,
        call: Callable[[], object],
        *,
        give_up_after: float | None = TRANSACTION_TIMEOUT_SECONDS,
    ) -> None:
        """Call again while the error says that this is right."""
        started = time.monotonic()
        while True:
            try:
                call()
            except KafkaException as error:
                cause = cause_of(error)
                late = give_up_after is not None and time.monotonic() - started > give_up_after
                if late or not cause.retriable():
                    raise self._failure(error) from error
                logger.warning("%s waits for the broker: %s", self._name, cause.str())
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _failure(self, error: KafkaException) -> HeadroomError:
        cause = cause_of(error)
        if cause.code() in _FENCED:
            return FencedError(
                f"{self._name} has been taken over by another worker ({cause.str()})"
            )
        return CommitError(f"{self._name}: {cause.name()}: {cause.str()}")


_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001  its public name
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)


class _LastOffset:
    """Hears where the records of a transaction were written and keeps the highest offset."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = -1

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        # An error is raised again by `commit_transaction`, with the transaction's own.
        if error is None:
            self.offset = max(self.offset, message.offset() or 0)
