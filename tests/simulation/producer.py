"""A producer in memory, with the calls of confluent-kafka's that the product makes.

Idempotent: what goes to one partition arrives there in its order, without gaps and once, however
long it takes; what goes to different partitions overtakes each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from simulation.brokers import Brokers, Credentials, refusal
from simulation.log import Headers, Place, Written
from simulation.message import Message
from simulation.network import Network
from simulation.world import EPOCH, Pulse

from streams.kafka_client import cause_of

_LINGER_SECONDS = 0.0005
_BATCH_RECORDS = 20
_RETRY_SECONDS = 0.002
_FENCED = frozenset({KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})
_INIT_SECONDS = 60.0

Delivered = Callable[[KafkaError | None, Any], object]


class _Pending(NamedTuple):
    record: Written
    delivered: Delivered | None


class Producer:
    """`config` as librdkafka has it; of that counts `transactional.id` and its time-out."""

    def __init__(self, brokers: Brokers, network: Network, config: Mapping[str, Any]) -> None:
        self._brokers = brokers
        self._network = network
        self._world = network.world
        self._id: str | None = config.get("transactional.id")
        self._timeout = config.get("transaction.timeout.ms", 60_000) / 1000
        self._credentials = Credentials()
        self._queues: dict[Place, deque[_Pending]] = {}
        self._sending: set[Place] = set()
        self._reports: deque[tuple[Delivered, KafkaError | None, Message]] = deque()
        self._news = Pulse(self._world)
        self._failure: KafkaException | None = None
        self._in_transaction = False

    # ── records ─────────────────────────────────────────────────────────────────────────────────

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        on_delivery: Delivered | None = None,
        *,
        timestamp: int = 0,
        headers: Headers | None = None,
    ) -> None:
        if self._id is not None and not self._in_transaction:
            raise refusal(KafkaError._STATE)
        self._refuse_if_failed()
        raw_key = key.encode() if isinstance(key, str) else key
        at = timestamp or int((EPOCH + self._world.now) * 1000)
        place = self._brokers.place_for(topic, raw_key, partition)
        record = Written(raw_key, value, headers or (), at)
        self._queues.setdefault(place, deque()).append(_Pending(record, on_delivery))
        self._send(place, _LINGER_SECONDS)

    def poll(self, timeout: float = 0.0) -> int:
        """Call back for what was delivered meanwhile; how many."""
        if not self._reports and timeout:
            self._news.wait(timeout)
        served = len(self._reports)
        while self._reports:
            delivered, error, message = self._reports.popleft()
            delivered(error, message)
        return served

    def flush(self, timeout: float = 60.0) -> int:
        """Wait until nothing is under way; how many still are."""
        deadline = self._world.now + timeout
        while self._under_way() and self._world.now < deadline:
            self._news.wait(deadline - self._world.now)
            self.poll()
        self.poll()
        return self._under_way()

    def list_topics(self, topic: str | None = None, timeout: float = 60.0) -> None:
        self._network.ask("metadata", lambda: self._brokers.partitions(topic or ""), timeout)

    def __len__(self) -> int:
        return self._under_way()

    def _under_way(self) -> int:
        return sum(map(len, self._queues.values()))

    def _send(self, place: Place, delay: float) -> None:
        """Send the next batch to a place, when the one before has arrived."""
        if place in self._sending:
            return
        self._sending.add(place)
        self._world.at(delay, lambda: self._depart(place), self._network.process)

    def _depart(self, place: Place) -> None:
        away = self._brokers.away_until.get(place, 0.0) - self._world.now
        if away > 0:
            self._sending.discard(place)
            self._send(place, away)
            return
        waiting = self._queues[place]
        lot = [waiting[n] for n in range(min(len(waiting), _BATCH_RECORDS))]
        records, by = [pending.record for pending in lot], self._credentials

        def deliver(first: object, error: KafkaException | None) -> None:
            self._sending.discard(place)
            if error is not None and cause_of(error).code() == KafkaError.CONCURRENT_TRANSACTIONS:
                self._send(place, _RETRY_SECONDS)
                return
            if error is not None:
                self._failure = error
            for n, pending in enumerate(lot):
                waiting.popleft()
                offset = first + n if isinstance(first, int) else None
                message = Message(place, offset, pending.record)
                cause = None if error is None else cause_of(error)
                if pending.delivered is not None:
                    self._reports.append((pending.delivered, cause, message))
            self._news.give()
            if waiting:
                self._send(place, 0)

        self._network.send("produce", lambda: self._brokers.append(place, records, by), deliver)

    # ── transactions ────────────────────────────────────────────────────────────────────────────

    def init_transactions(self, timeout: float = _INIT_SECONDS) -> None:
        assert self._id is not None
        name = self._id
        self._credentials = self._network.ask(
            "init_transactions", lambda: self._brokers.take_over(name, self._timeout), timeout
        )

    def begin_transaction(self) -> None:
        self._refuse_if_failed()
        if self._in_transaction:
            raise refusal(KafkaError._STATE)
        self._in_transaction = True

    def send_offsets_to_transaction(
        self, offsets: Sequence[Any], group_metadata: Any, timeout: float = 60.0
    ) -> None:
        places = {(one.topic, one.partition): one.offset for one in offsets}
        self._ask(
            "send_offsets",
            lambda: self._brokers.add_offsets(group_metadata, places, self._credentials),
            timeout,
        )

    def commit_transaction(self, timeout: float = 60.0) -> None:
        """Flush, then end the transaction. What failed to be written fails the whole."""
        deadline = self._world.now + timeout
        if self.flush(timeout):
            raise refusal(KafkaError._TIMED_OUT, retriable=True)
        self._ask(
            "commit_transaction",
            lambda: self._brokers.end(self._credentials, committed=True),
            max(deadline - self._world.now, 0.001),
        )
        self._in_transaction = False

    def abort_transaction(self, timeout: float = 60.0) -> None:
        self.flush(timeout)
        self._ask(
            "abort_transaction",
            lambda: self._brokers.end(self._credentials, committed=False),
            timeout,
        )
        self._in_transaction = False

    def _ask(self, name: str, request: Callable[[], None], timeout: float) -> None:
        self._refuse_if_failed()
        try:
            self._network.ask(name, request, timeout)
        except KafkaException as error:
            if not cause_of(error).retriable():
                self._failure = error
            self._refuse_if_failed()
            raise

    def _refuse_if_failed(self) -> None:
        """A producer that was fenced, or failed to write, does nothing more in this transaction."""
        if self._failure is None:
            return
        if cause_of(self._failure).code() in _FENCED:
            raise refusal(KafkaError._FENCED)
        if self._id is not None:
            raise self._failure
