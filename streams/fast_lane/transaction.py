"""Kafka transactions of one partition: what is written in one of them, and the offset up to which
it counts, becomes readable as a whole or not at all.

The transactional id names the partition. Who opens it fences whoever had it before, so that one
that was frozen can never write again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streams.errors import HeadroomError
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.store import POSITION_KEY
from streams.kafka_client import cause_of

logger = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_SECONDS = 10.0
_CALL_SECONDS = 10.0
_FENCING_SECONDS = 5.0
"""Shorter than any session: who fences was a member of its group when it began, and must not do it
when it is one no longer.
"""
_GRACE_SECONDS = 2.0
_RETRY_SECONDS = 0.2


class FencedError(HeadroomError):
    """The transaction is another's by now: nothing that was computed here may be stored. Another
    worker has the partition, or the brokers gave up a transaction that took too long; only the
    group knows which of the two.
    """


class CommitError(HeadroomError):
    """A commit failed in a way that leaves open whether it happened."""


class Transactions:
    """Opening fences the former owner.

    Args:
        config: of the client.
        transactional_id: names the partition.
        source: topic and partition that the offsets are of.
        group_metadata: of the consumer group that offsets go to; not needed where they stand in a
            changelog. What fences is the transactional id, so it need be no member's.

    Raises:
        CommitError: the brokers did not answer in time; nobody may have been fenced.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        transactional_id: str,
        source: tuple[str, int],
        group_metadata: Any = None,
    ) -> None:
        self._name = transactional_id
        self._group_metadata = group_metadata
        self._source = source
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
        self._until_done(self._fence, give_up_after=_FENCING_SECONDS)

    def _fence(self) -> None:
        # Without a connection the client asks for the transactions' coordinator in vain, and again
        # after half a second; so it gets a connection first. The one over which the first question
        # went may be closed with its answer, since it was to a broker whose name was not known yet.
        for _ in range(2):
            self._producer.list_topics(self._source[0], timeout=_FENCING_SECONDS)
        self._producer.init_transactions(_FENCING_SECONDS)

    def write(
        self,
        next_offset: int,
        events: Iterable[Outgoing],
        *,
        changelog: str | None = None,
        changes: Mapping[bytes, bytes | None] | None = None,
    ) -> int:
        """One transaction: the events, and the changed state or the offset.

        Args:
            next_offset: of the source, behind all that this follows from.
            events: in their order.
            changelog: topic of the state, which holds the offset too; without one, that goes to the
                consumer group.
            changes: of the state, raw keys and values.

        Returns the changelog offset that follows the state, 0 without one.

        Raises:
            FencedError: the transaction did not happen.
            CommitError: it is not known whether the transaction happened.
        """
        topic, partition = self._source
        written = _LastOffset()
        producer = self._producer
        self._until_done(producer.begin_transaction)
        try:
            if changelog is not None:
                for raw_key, raw in (changes or {}).items():
                    producer.produce(changelog, raw, raw_key, partition)
                # The last of a partition's records has the highest offset, so one is enough to
                # hear of.
                position = b"%d" % next_offset
                producer.produce(changelog, position, POSITION_KEY, partition, written)
            for outgoing in events:
                producer.produce(
                    outgoing.topic,
                    outgoing.value,
                    outgoing.key,
                    outgoing.partition,
                    timestamp=outgoing.timestamp,
                    headers=outgoing.headers,  # type: ignore[arg-type]  # text would do too
                )
        except KafkaException as error:
            raise self._failure(error) from error
        if changelog is None:
            offsets = [TopicPartition(topic, partition, next_offset)]
            self._until_done(
                lambda: self._in_time(
                    lambda: producer.send_offsets_to_transaction(
                        offsets, self._group_metadata, _CALL_SECONDS
                    )
                )
            )
        self._until_done(lambda: producer.commit_transaction(_CALL_SECONDS))
        return written.offset + 1

    def _until_done(
        self, call: Callable[[], object], *, give_up_after: float = TRANSACTION_TIMEOUT_SECONDS
    ) -> None:
        """Call again while the error says that this is right."""
        started = time.monotonic()
        while True:
            try:
                call()
            except KafkaException as error:
                cause = cause_of(error)
                late = time.monotonic() - started > give_up_after
                if late or not cause.retriable():
                    raise self._failure(error) from error
                logger.warning("%s waits for the broker: %s", self._name, cause.str())
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _in_time(self, call: Callable[[], object]) -> None:
        """Make a call that does not keep to its own time-out: librdkafka waits for ever for a group
        coordinator that went away (its issue 5456). A call that is given up goes on in a thread of
        its own, until the successor's fence or a coordinator ends it.
        """
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def run() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001  raised again by who waits for it
                ended.put(error)
            else:
                ended.put(None)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        try:
            error = ended.get(timeout=_CALL_SECONDS + _GRACE_SECONDS)
        except Empty:
            raise CommitError(f"{self._name}: the group's coordinator does not answer") from None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback leads here, and so would keep the client

    def _failure(self, error: KafkaException) -> HeadroomError:
        cause = cause_of(error)
        if cause.code() in _FENCED:
            return FencedError(
                f"{self._name} was fenced, by another worker or by the brokers after a time-out"
                f" ({cause.str()})"
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
