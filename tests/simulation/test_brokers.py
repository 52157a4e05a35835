"""What the product relies on of Kafka, asked of a real broker and of the one in memory.

The simulation is worth what its brokers are worth: what holds for the real ones holds here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from simulation import consumer, producer
from simulation.brokers import Brokers
from simulation.network import Network
from simulation.world import Process, World

from streams.kafka_client import cause_of
from streams.partitioning import PARTITIONER, partition_of
from streams.topics import TopicSpec, apply

_numbers = count()


class InMemory:
    """The brokers of the simulation. The test is the only process."""

    def __init__(self) -> None:
        self.world = World("suite")
        self.brokers = Brokers(self.world)
        self.sleep: Callable[[float], object] = self.world.sleep

    def topic(self, partitions: int = 1, **_config: str) -> str:
        name = f"topic{next(_numbers)}"
        self.brokers.make(name, partitions)
        return name

    def producer(self, **config: Any) -> Any:
        return producer.Producer(self.brokers, self._network(), _with_dots(config))

    def consumer(self, **config: Any) -> Any:
        return consumer.Consumer(self.brokers, self._network(), _with_dots(config))

    def compact(self, topic: str) -> None:
        self.brokers.log((topic, 0)).compact(deletions_too=True)

    def delete_before(self, topic: str, offset: int) -> None:
        self.brokers.log((topic, 0)).delete_before(offset)

    def close(self) -> None:
        pass

    def _network(self) -> Network:
        return Network(self.world, Process("test"))


class Real:
    """The session's broker."""

    sleep: Callable[[float], object] = staticmethod(time.sleep)

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumers: list[confluent_kafka.Consumer] = []
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def topic(self, partitions: int = 1, **config: str) -> str:
        name = f"sim{time.time_ns():x}"
        apply(self._admin, [TopicSpec(name, partitions, 1, _with_dots(config))])
        return name

    def producer(self, **config: Any) -> Any:
        given = {"enable_idempotence": True, "retry_backoff_ms": 2, "partitioner": PARTITIONER}
        return confluent_kafka.Producer(self._config(given | config))

    def consumer(self, **config: Any) -> Any:
        given = {
            "enable_auto_commit": False,
            "auto_offset_reset": "error",
            "fetch_wait_max_ms": 20,
        }
        made = confluent_kafka.Consumer(self._config(given | config))
        self._consumers.append(made)
        return made

    def close(self) -> None:
        for one in self._consumers:
            one.close()

    def compact(self, topic: str) -> None:
        """The cleaner comes by every 15 s, and leaves the newest segment alone."""
        before = len(records_of(self, topic))
        deadline = time.monotonic() + 60
        while len(records_of(self, topic)) == before and time.monotonic() < deadline:
            time.sleep(1)

    def delete_before(self, topic: str, offset: int) -> None:
        place = TopicPartition(topic, 0, offset)
        self._admin.delete_records([place])[place].result()

    def _config(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"bootstrap.servers": self._bootstrap, **_with_dots(given)}


def _with_dots(config: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in config.items()}


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.connected)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    made: Any = InMemory() if request.param == "memory" else Real(request.getfixturevalue("kafka"))
    yield made
    made.close()


# ── helpers ─────────────────────────────────────────────────────────────────────────────────────


def reader(
    cluster: Any, topic: str, *, committed: bool = True, start: int = OFFSET_BEGINNING
) -> Any:
    one = cluster.consumer(
        group_id=f"r{time.time_ns():x}",
        isolation_level="read_committed" if committed else "read_uncommitted",
        enable_partition_eof=True,
    )
    one.assign([TopicPartition(topic, 0, start)])
    return one


def to_the_end(one: Any, patience: float = 15.0) -> tuple[list[tuple[int, bytes | None]], int]:
    """Offsets and values of all that can be read, and where the end is told to be."""
    read: list[tuple[int, bytes | None]] = []
    while True:
        message = one.poll(patience)
        assert message is not None, "no end was told"
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            return read, message.offset()
        read.append((message.offset(), message.value()))


def records_of(cluster: Any, topic: str, *, committed: bool = True) -> list[bytes | None]:
    one = reader(cluster, topic, committed=committed)
    read, _ = to_the_end(one)
    one.close()
    return [value for _, value in read]


def transactional(cluster: Any, name: str, **config: Any) -> Any:
    one = cluster.producer(transactional_id=name, **config)
    one.init_transactions(30.0)
    return one


def an_id() -> str:
    return f"id{time.time_ns():x}"


def code_of(error: pytest.ExceptionInfo[KafkaException]) -> int:
    return cause_of(error.value).code()


FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}


# ── records ─────────────────────────────────────────────────────────────────────────────────────


def test_records_come_back_as_they_were_written_and_in_their_order(cluster: Any) -> None:
    topic = cluster.topic()
    reports: list[Any] = []
    sender = cluster.producer()
    for n in range(50):
        sender.produce(
            topic,
            b"%d" % n,
            b"key",
            0,
            lambda error, message: reports.append((error, message.offset())),
            timestamp=1_700_000_000_000 + n,
            headers=[("a", b"1"), ("b", None)],
        )
    assert sender.flush(15) == 0
    assert reports == [(None, n) for n in range(50)]
    one = reader(cluster, topic)
    first = one.poll(15.0)
    assert (first.key(), first.value(), first.headers()) == (
        b"key",
        b"0",
        [("a", b"1"), ("b", None)],
    )
    assert first.timestamp()[1] == 1_700_000_000_000
    rest, end = to_the_end(one)
    assert (rest, end) == ([(n, b"%d" % n) for n in range(1, 50)], 50)


def test_a_key_without_a_partition_goes_where_its_hash_says(cluster: Any) -> None:
    topic = cluster.topic(4)
    landed: dict[bytes, int] = {}
    sender = cluster.producer()
    for n in range(20):
        sender.produce(
            topic,
            b"v",
            b"C-%d" % n,
            on_delivery=lambda _error, message: landed.update({message.key(): message.partition()}),
        )
    assert sender.flush(15) == 0
    assert landed == {b"C-%d" % n: partition_of(b"C-%d" % n, 4) for n in range(20)}


def test_a_reader_waits_for_what_comes_and_hears_of_each_end_once(cluster: Any) -> None:
    topic = cluster.topic()
    one = reader(cluster, topic)
    assert to_the_end(one) == ([], 0)
    assert one.poll(0.3) is None
    sender = cluster.producer()
    sender.produce(topic, b"x", partition=0)
    sender.flush(15)
    assert to_the_end(one) == ([(0, b"x")], 1)
    assert one.poll(0.3) is None


def test_a_partition_that_was_unassigned_is_read_anew_from_where_one_says(cluster: Any) -> None:
    topic = cluster.topic()
    sender = cluster.producer()
    for n in range(10):
        sender.produce(topic, b"%d" % n, partition=0)
    sender.flush(15)
    one = reader(cluster, topic)
    assert one.poll(15.0).offset() == 0
    one.incremental_unassign([TopicPartition(topic, 0)])
    assert one.poll(0.3) is None
    one.incremental_assign([TopicPartition(topic, 0, 7)])
    assert to_the_end(one) == ([(n, b"%d" % n) for n in (7, 8, 9)], 10)


@pytest.mark.parametrize("offset", [2, 99])
def test_an_offset_that_is_not_there_is_an_error_and_not_passed_over(
    cluster: Any, offset: int
) -> None:
    topic = cluster.topic()
    sender = cluster.producer()
    for n in range(10):
        sender.produce(topic, b"%d" % n, partition=0)
    sender.flush(15)
    cluster.delete_before(topic, 5)
    one = reader(cluster, topic, start=offset)
    message = one.poll(15.0)
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
    assert one.get_watermark_offsets(TopicPartition(topic, 0), timeout=15) == (5, 10)


# ── transactions ────────────────────────────────────────────────────────────────────────────────


def test_a_transaction_is_readable_as_a_whole_and_only_when_committed(cluster: Any) -> None:
    first, second = cluster.topic(), cluster.topic()
    owner = transactional(cluster, an_id())
    owner.begin_transaction()
    owner.produce(first, b"a", partition=0)
    owner.produce(second, b"b", partition=0)
    owner.flush(15)
    assert records_of(cluster, first) == records_of(cluster, second) == []
    assert records_of(cluster, first, committed=False) == [b"a"]
    owner.commit_transaction(15)
    cluster.sleep(0.5)  # the markers follow the answer
    assert (records_of(cluster, first), records_of(cluster, second)) == ([b"a"], [b"b"])


def test_what_was_aborted_is_never_read_and_leaves_a_hole(cluster: Any) -> None:
    topic = cluster.topic()
    owner = transactional(cluster, an_id())
    for value, commit in ((b"a", True), (b"b", False), (b"c", True)):
        owner.begin_transaction()
        owner.produce(topic, value, partition=0)
        if commit:
            owner.commit_transaction(15)
        else:
            owner.flush(15)
            owner.abort_transaction(15)
    cluster.sleep(0.5)
    one = reader(cluster, topic)
    # Each transaction is one record and one marker.
    assert to_the_end(one) == ([(0, b"a"), (4, b"c")], 6)


def test_behind_an_open_transaction_nothing_is_read_and_there_ends_the_log(cluster: Any) -> None:
    topic = cluster.topic()
    plain = cluster.producer()
    plain.produce(topic, b"before", partition=0)
    plain.flush(15)
    owner = transactional(cluster, an_id())
    owner.begin_transaction()
    owner.produce(topic, b"open", partition=0)
    owner.flush(15)
    plain.produce(topic, b"behind", partition=0)
    plain.flush(15)
    one = reader(cluster, topic)
    assert to_the_end(one) == ([(0, b"before")], 1)
    place = TopicPartition(topic, 0)
    assert one.get_watermark_offsets(place, timeout=15) == (0, 1)
    other = reader(cluster, topic, committed=False)
    assert other.get_watermark_offsets(place, timeout=15) == (0, 3)
    owner.commit_transaction(15)
    assert to_the_end(one) == ([(1, b"open"), (2, b"behind")], 4)


def test_the_report_of_a_record_says_where_it_stands_before_the_marker(cluster: Any) -> None:
    topic = cluster.topic()
    owner = transactional(cluster, an_id())
    offsets = []
    for _ in range(2):
        owner.begin_transaction()
        for _ in range(3):
            owner.produce(
                topic, b"v", partition=0, on_delivery=lambda _e, m: offsets.append(m.offset())
            )
        owner.commit_transaction(15)
    assert offsets == [0, 1, 2, 4, 5, 6]


def test_an_empty_transaction_can_be_committed(cluster: Any) -> None:
    owner = transactional(cluster, an_id())
    owner.begin_transaction()
    owner.commit_transaction(15)


# ── fencing ─────────────────────────────────────────────────────────────────────────────────────


def test_who_takes_an_id_over_ends_what_its_former_owner_had_open(cluster: Any) -> None:
    """Once it is granted, nothing of the former owner is open, and it can write nothing more."""
    topic, name = cluster.topic(), an_id()
    former = transactional(cluster, name)
    former.begin_transaction()
    former.produce(topic, b"former", partition=0)
    former.flush(15)
    successor = transactional(cluster, name)
    one = reader(cluster, topic)
    assert to_the_end(one) == ([], 2)
    former.produce(topic, b"more", partition=0)
    with pytest.raises(KafkaException) as error:
        former.commit_transaction(15)
    assert code_of(error) in FENCED
    successor.begin_transaction()
    successor.produce(topic, b"successor", partition=0)
    successor.commit_transaction(15)
    assert to_the_end(one)[0] == [(2, b"successor")]


def test_a_transaction_that_takes_too_long_is_aborted_and_its_owner_fenced(cluster: Any) -> None:
    topic = cluster.topic()
    owner = transactional(cluster, an_id(), transaction_timeout_ms=1000)
    owner.begin_transaction()
    owner.produce(topic, b"late", partition=0)
    owner.flush(15)
    one = reader(cluster, topic)
    assert to_the_end(one) == ([], 0)
    # A real broker looks every ten seconds for what took too long.
    assert to_the_end(one, 30.0) == ([], 2)
    with pytest.raises(KafkaException) as error:
        owner.commit_transaction(15)
    assert code_of(error) in FENCED


# ── offsets of groups ───────────────────────────────────────────────────────────────────────────


def committed(cluster: Any, group: str, topic: str, *, stable: bool = True) -> int:
    level = "read_committed" if stable else "read_uncommitted"
    one = cluster.consumer(group_id=group, isolation_level=level)
    try:
        return int(one.committed([TopicPartition(topic, 0)], timeout=3.0)[0].offset)
    finally:
        one.close()


def test_an_offset_is_there_when_it_was_committed_and_not_before(cluster: Any) -> None:
    topic, group = cluster.topic(), an_id()
    assert committed(cluster, group, topic) == OFFSET_INVALID
    one = cluster.consumer(group_id=group)
    one.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    one.close()
    assert committed(cluster, group, topic) == 7


@pytest.mark.parametrize("commit", [True, False])
def test_offsets_are_committed_with_the_transaction_or_not_at_all(
    cluster: Any, commit: bool
) -> None:
    """Who asks for what is stable does not get what may still change."""
    topic, group = cluster.topic(), an_id()
    member = cluster.consumer(group_id=group)
    member.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    owner = transactional(cluster, an_id())
    owner.begin_transaction()
    owner.produce(topic, b"v", partition=0)
    place = TopicPartition(topic, 0, 9)
    owner.send_offsets_to_transaction([place], member.consumer_group_metadata(), 15)
    assert committed(cluster, group, topic, stable=False) == 3
    with pytest.raises(KafkaException):
        committed(cluster, group, topic)
    if commit:
        owner.commit_transaction(15)
    else:
        owner.abort_transaction(15)
    cluster.sleep(0.5)
    assert committed(cluster, group, topic) == (9 if commit else 3)
    member.close()


# ── compaction ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_compacted_log_has_holes_and_the_same_end(cluster: Any) -> None:
    topic = cluster.topic(
        cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01"
    )
    owner = transactional(cluster, an_id())
    for n in range(6):
        owner.begin_transaction()
        for key in (b"a", b"b"):
            owner.produce(topic, key + b"%d" % n, key, 0)
        owner.commit_transaction(15)
        cluster.sleep(0.3)  # a real one closes a segment when the next record comes
    cluster.sleep(0.5)
    cluster.compact(topic)
    one = reader(cluster, topic)
    read, end = to_the_end(one)
    assert [value for _, value in read][-2:] == [b"a5", b"b5"]
    assert len(read) < 12
    assert end == 18
