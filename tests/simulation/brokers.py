"""Brokers in memory: topics, transactions, offsets of consumer groups.

Each request is one method, done at once and as a whole, as a broker's single-threaded state machine
does it; how long it takes to get here is the clients' matter. What a broker refuses is raised as
`KafkaException`, with the code that Kafka has for it.

`tests/simulation/test_brokers.py` asks the same of this and of a real broker.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from simulation.log import Log, Place, Transaction, Written
from simulation.world import World

from streams.kafka_client import TopicFacts
from streams.partitioning import partition_of

_MARKER_SECONDS = 0.002
_IMPATIENT_SECONDS = 0.01


@dataclass
class Owner:
    """Who may write under a transactional id now."""

    number: int
    epoch: int
    timeout_seconds: float
    transaction: Transaction | None = None
    """The one that is open, or has ended and waits for its markers."""


@dataclass(frozen=True)
class Credentials:
    """What a producer shows with each request; without a transactional id nobody can be fenced."""

    transactional_id: str | None = None
    number: int = 0
    epoch: int = 0


class Brokers:
    """The whole cluster."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._topics: dict[str, list[Log]] = {}
        self._owners: dict[str, Owner] = {}
        self._numbers = 0
        self._offsets: dict[str, dict[Place, int]] = {}
        self._pending_offsets: dict[tuple[str, Place], int] = {}
        self._watchers: list[Callable[[], None]] = []
        self.away_until: dict[Place, float] = {}
        """Partitions without a leader: nothing is written to them before that time."""
        self.impatient = False
        """The next transaction that is opened is given up before its time."""

    # ── topics ──────────────────────────────────────────────────────────────────────────────────

    def make(self, topic: str, partitions: int) -> None:
        self._topics.setdefault(topic, [Log() for _ in range(partitions)])

    def facts(self, topics: Iterable[str]) -> dict[str, TopicFacts]:
        return {topic: TopicFacts(f"id-of-{topic}", self.partitions(topic)) for topic in topics}

    def partitions(self, topic: str) -> int:
        if topic not in self._topics:
            raise refusal(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return len(self._topics[topic])

    def log(self, place: Place) -> Log:
        topic, partition = place
        if not 0 <= partition < self.partitions(topic):
            raise refusal(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return self._topics[topic][partition]

    def place_for(self, topic: str, key: bytes | None, partition: int) -> Place:
        """Where a record goes: the producer's partitioner, which asks the brokers how many there
        are. Records without a key and a partition all go to one place, which is as good as any.
        """
        count = self.partitions(topic)
        if partition >= 0:
            return topic, partition
        if key is None:
            return topic, zlib.crc32(topic.encode()) % count
        return topic, partition_of(key, count)

    def watch(self, hear: Callable[[], None]) -> None:
        """Tell once when there is something new to read, anywhere."""
        self._watchers.append(hear)

    def _tell(self) -> None:
        watchers, self._watchers = self._watchers, []
        for hear in watchers:
            hear()

    def digest(self) -> int:
        """A number for all that was ever written. Not for the order within a log: that of a
        transaction's changes is the order of a set of texts, which each process hashes otherwise.
        """
        return sum(
            zlib.crc32(repr((topic, entry.record)).encode())
            for topic, logs in self._topics.items()
            for log in logs
            for entry in log.entries
        )

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def append(self, place: Place, records: Sequence[Written], by: Credentials) -> int:
        """Write a batch as a whole; the offset of its first record."""
        log = self.log(place)
        transaction = None
        if by.transactional_id is not None:
            transaction = self._open_transaction(by)
            if place not in transaction.places:
                transaction.places.append(place)
        first = log.end
        for record in records:
            log.append(record, transaction)
        self._tell()
        return first

    # ── transactions ────────────────────────────────────────────────────────────────────────────

    def take_over(self, transactional_id: str, timeout_seconds: float) -> Credentials:
        """Fence whoever wrote under this id; its transaction is over, one way or the other, before
        this is granted (InitProducerId).
        """
        owner = self._owners.get(transactional_id)
        if owner is None:
            self._numbers += 1
            owner = self._owners[transactional_id] = Owner(self._numbers, -1, timeout_seconds)
        if owner.transaction is not None:
            if owner.transaction.committed is None:
                owner.epoch += 1
                self._end(owner, committed=False)
            raise refusal(KafkaError.CONCURRENT_TRANSACTIONS)
        owner.epoch += 1
        owner.timeout_seconds = timeout_seconds
        return Credentials(transactional_id, owner.number, owner.epoch)

    def add_offsets(self, group: str, offsets: Mapping[Place, int], by: Credentials) -> None:
        """Offsets of a group that are to be committed with the transaction."""
        told = self._open_transaction(by).offsets.setdefault(group, {})
        for place in offsets.keys() - told:  # a client that heard no answer tells it again
            key = (group, place)
            self._pending_offsets[key] = self._pending_offsets.get(key, 0) + 1
        told.update(offsets)

    def end(self, by: Credentials, *, committed: bool) -> None:
        """End the open transaction. What it wrote can be read when its markers are written."""
        owner = self._owner(by)
        transaction = owner.transaction
        if transaction is None:
            return  # nothing was written in it
        if transaction.committed is None:
            self._end(owner, committed=committed)

    def open_transactions(self) -> list[str]:
        """The ids under which one is open, or has ended and waits for its markers."""
        return [name for name, owner in self._owners.items() if owner.transaction is not None]

    def _open_transaction(self, by: Credentials) -> Transaction:
        owner = self._owner(by)
        if owner.transaction is None:
            opened = owner.transaction = Transaction(self._world.now)
            seconds = owner.timeout_seconds
            if self.impatient:
                self.impatient = False
                seconds = self._world.chance.random() * _IMPATIENT_SECONDS
            self._world.at(seconds, lambda: self._expire(owner, opened))
        elif owner.transaction.committed is not None:
            raise refusal(KafkaError.CONCURRENT_TRANSACTIONS)
        return owner.transaction

    def _owner(self, by: Credentials) -> Owner:
        owner = self._owners.get(by.transactional_id or "")
        if owner is None or (owner.number, owner.epoch) != (by.number, by.epoch):
            raise refusal(KafkaError.INVALID_PRODUCER_EPOCH)
        return owner

    def _expire(self, owner: Owner, transaction: Transaction) -> None:
        """It took too long: given up, and whoever had it open is fenced."""
        if owner.transaction is transaction and transaction.committed is None:
            owner.epoch += 1
            self._end(owner, committed=False)

    def give_up_transactions(self) -> None:
        """All that are open took too long."""
        for owner in self._owners.values():
            if owner.transaction is not None:
                self._expire(owner, owner.transaction)

    def _end(self, owner: Owner, *, committed: bool) -> None:
        transaction = owner.transaction
        assert transaction is not None
        transaction.committed = committed
        marks: list[Callable[[], None]] = [
            lambda place=place: self._mark(place, transaction)  # type: ignore[misc]
            for place in transaction.places
        ]
        marks += [lambda: self._settle_offsets(transaction)]
        transaction.markers_left = len(marks)

        def done(mark: Callable[[], None]) -> None:
            mark()
            transaction.markers_left -= 1
            if not transaction.markers_left:
                owner.transaction = None
            self._tell()

        for mark in marks:
            self._world.at(
                self._world.chance.random() * _MARKER_SECONDS,
                lambda mark=mark: done(mark),  # type: ignore[misc]
            )

    def _mark(self, place: Place, transaction: Transaction) -> None:
        self.log(place).append(None, transaction)

    def _settle_offsets(self, transaction: Transaction) -> None:
        for group, offsets in transaction.offsets.items():
            if transaction.committed:
                self.commit_offsets(group, offsets)
            for place in offsets:
                key = (group, place)
                self._pending_offsets[key] -= 1
                if not self._pending_offsets[key]:
                    del self._pending_offsets[key]

    # ── offsets of groups ───────────────────────────────────────────────────────────────────────

    def commit_offsets(self, group: str, offsets: Mapping[Place, int]) -> None:
        self._offsets.setdefault(group, {}).update(offsets)

    def offset_of(self, group: str, place: Place, *, stable: bool) -> int | None:
        """The committed offset. With `stable`, not while a transaction that may change it is
        open.
        """
        if stable and (group, place) in self._pending_offsets:
            raise refusal(KafkaError.UNSTABLE_OFFSET_COMMIT)
        return self._offsets.get(group, {}).get(place)


def refusal(code: int, *, retriable: bool = False) -> KafkaException:
    """What the brokers, or the client, say instead of doing it."""
    return KafkaException(KafkaError(code, KafkaError(code).str(), False, retriable))
