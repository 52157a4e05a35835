"""State and offset on a real broker: one transaction, one owner, and back from the changelog."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.fast_lane.asker import Asker
from streams.fast_lane.commit import EffectivelyOnce, ExactlyOnce, Guarantee
from streams.fast_lane.outlet import Outgoing, Outlet
from streams.fast_lane.restore import Restored, StateLostError, restore
from streams.fast_lane.store import Memory, PartitionStore
from streams.fast_lane.transaction import FencedError, Transactions
from streams.kafka_client import client_config, producer_config, topic_facts
from streams.log_reader import LogReader
from streams.settings import Settings
from streams.topics import TopicSpec, apply

pytestmark = pytest.mark.connected

MEMORY = Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)


class Bytes:
    def encode(self, _key: str, value: bytes) -> bytes:
        return value

    def decode(self, _key: str, raw: bytes) -> bytes:
        return raw


class Place:
    """A journal, a changelog and an output topic that belong to one test."""

    def __init__(self, bootstrap: str, directory: Path, guarantee: str) -> None:
        self.guarantee = guarantee
        self.answers: list[tuple[float, str]] = []
        self.settings = Settings(
            kafka_bootstrap=bootstrap, replication_factor=1, min_insync_replicas=1
        )
        run = f"fl{time.time_ns():x}"
        self.group, self.journal, self.out = f"{run}-g", f"{run}-journal", f"{run}-out"
        self.changelog = f"{run}-changelog"
        self.directory = directory
        self.admin = AdminClient(client_config(self.settings))
        self.make(self.journal, self.out, self.changelog)
        self.outlet = Outlet(producer_config(self.settings))
        self._group = Consumer({**client_config(self.settings), "group.id": self.group})
        self._asker = Asker(client_config(self.settings), self.group)
        self._stores: list[PartitionStore] = []
        producer = Producer(producer_config(self.settings))
        for n in range(50):
            producer.produce(self.journal, b"%d" % n, partition=0)
        producer.flush()

    def make(self, *topics: str) -> None:
        compact = {"cleanup.policy": "compact"}
        apply(self.admin, [TopicSpec(t, 1, 1, compact if "change" in t else {}) for t in topics])

    def transactions(self) -> Transactions:
        return Transactions(
            producer_config(self.settings),
            transactional_id=f"{self.group}-0",
            source=(self.journal, 0),
        )

    def answered(self, seconds: float, trace_id: str) -> None:
        self.answers.append((seconds, trace_id))

    def own(self) -> Guarantee:
        """As the setting under test wants it."""
        if self.guarantee == "exactly_once":
            return ExactlyOnce(self.answered, self.transactions(), self.changelog)
        return EffectivelyOnce(self.outlet, self.transactions(), self.changelog)

    def readable(self) -> list[bytes | None]:
        """What a reader of committed records sees of the output now."""
        return [one.value for one in LogReader(client_config(self.settings), self.out, 0)]

    def open(self, disk: str = "a", asker: Any = None) -> tuple[PartitionStore, Restored]:
        store = PartitionStore(self.directory / disk, Bytes(), MEMORY)
        self._stores.append(store)
        return store, restore(
            store,
            client_config(self.settings),
            asker or self._asker,
            group=self.group,
            source=(self.journal, 0),
            changelog=self.changelog,
            changelog_id=topic_facts(self.admin, [self.changelog])[self.changelog].id,
        )

    def commit(self, owner: Guarantee, store: PartitionStore, next_offset: int) -> None:
        store.advance(next_offset)
        snapshot = store.snapshot()
        end = owner.commit(owner.seal(), snapshot.changes, next_offset, [])
        store.write(snapshot.changes, changelog_offset=end, now=time.time())
        store.settle()
        told = TopicPartition(self.journal, 0, next_offset)
        self._group.commit(offsets=[told], asynchronous=False)

    def close(self) -> None:
        for store in self._stores:
            store.close()
        self.outlet.close()
        self._asker.close()
        self._group.close()


@pytest.fixture(params=["effectively_once", "exactly_once"])
def place(kafka: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(kafka, tmp_path, request.param)
    yield made
    made.close()


def test_a_new_partition_begins_where_the_journal_does(place: Place) -> None:
    place.own()
    store, restored = place.open()
    assert (restored.records, restored.next_offset, store.next_offset) == (0, 0, None)


def test_an_empty_disk_reads_all_and_a_kept_one_what_it_missed(place: Place) -> None:
    """Deletions too; both end with the same state and the same offset."""
    owner = place.own()
    store, _ = place.open("kept")
    for n in range(20):
        store.put(f"A\0i{n:02}", b"%d" % n)
    assert not store.is_repeat("orders@u:0", 41)
    place.commit(owner, store, 10)
    store.close()
    place._stores.clear()

    other, restored = place.open("other")
    assert restored.records >= 20
    owner = place.own()
    other.put("A\0i05", b"changed")
    other.delete("A\0i06")
    place.commit(owner, other, 30)

    for disk, fewest, most in (("kept", 3, 6), ("empty", 20, 99)):
        again, restored = place.open(disk)
        assert fewest <= restored.records <= most, disk
        assert restored.next_offset == 30
        values = dict(again.scan("A\0i", "A\0j"))
        assert (len(values), values["A\0i05"], values["A\0i19"]) == (19, b"changed", b"19")
        assert again.is_repeat("orders@u:0", 41)


def test_a_former_owner_is_fenced_and_changes_nothing(place: Place) -> None:
    """Not even its offset: the transaction that it tries is refused as a whole."""
    former = place.own()
    store, _ = place.open("former")
    store.put("A\0a", b"old")
    place.commit(former, store, 5)
    place.own()
    store.put("A\0a", b"zombie")
    with pytest.raises(FencedError, match="was fenced, by another worker"):
        place.commit(former, store, 9)
    successor, restored = place.open("successor")
    assert (restored.next_offset, successor.get("A\0a")) == (5, b"old")


def test_state_waits_for_the_events_that_led_to_it(place: Place) -> None:
    """When the offset is committed, everything published before it can be read."""
    owner = place.own()
    store, _ = place.open()
    for n in range(200):
        owner.send(Outgoing(place.out, b"k", b"%d" % n, []))
    store.put("A\0a", b"1")
    place.commit(owner, store, 7)
    assert place.readable() == [b"%d" % n for n in range(200)]
    assert place.open("other")[1].next_offset == 7


def test_events_of_a_former_owner_that_were_not_committed_are_as_the_setting_says(
    place: Place,
) -> None:
    """Exactly once: nobody ever reads them. Effectively once: they are there, to be repeated."""
    former = place.own()
    store, _ = place.open("former")
    former.send(Outgoing(place.out, b"k", b"decided", []))
    store.put("A\0a", b"zombie")
    if place.guarantee == "effectively_once":
        former.flight.seal()
        former.flight.wait()
    place.own()
    with pytest.raises(FencedError):
        place.commit(former, store, 9)
    again = [] if place.guarantee == "exactly_once" else [b"decided"]
    assert place.readable() == again


def test_an_answer_counts_as_given_when_it_can_be_read(place: Place) -> None:
    if place.guarantee == "effectively_once":
        place.outlet.close()
        place.outlet = Outlet(producer_config(place.settings), place.answered)
    owner = place.own()
    store, _ = place.open()
    asked = int((time.time() - 5) * 1000)
    owner.send(Outgoing(place.out, b"k", b"answer", [], answers=asked, trace_id="a" * 32))
    owner.send(Outgoing(place.out, b"k", b"no answer", []))
    store.put("A\0a", b"1")
    place.commit(owner, store, 7)
    ((seconds, trace_id),) = place.answers
    assert 5 <= seconds < 60
    assert trace_id == "a" * 32


def test_a_disk_of_a_changelog_that_was_made_anew_is_not_trusted(place: Place) -> None:
    owner = place.own()
    store, _ = place.open("disk")
    store.put("A\0a", b"old")
    place.commit(owner, store, 5)
    store.close()
    place._stores.clear()
    remake(place, place.changelog)
    with pytest.raises(StateLostError, match="holds no state"):
        place.open("disk")


def test_a_state_behind_its_offset_is_never_worked_on(place: Place) -> None:
    """Somebody moved the group's offset forward: the events in between would be lost."""
    owner = place.own()
    store, _ = place.open("disk")
    store.put("A\0a", b"old")
    place.commit(owner, store, 5)
    consumer = Consumer({**client_config(place.settings), "group.id": place.group})
    consumer.commit(offsets=[TopicPartition(place.journal, 0, 20)], asynchronous=False)
    consumer.close()
    with pytest.raises(StateLostError, match="processed up to 20, but its state stands at 5"):
        place.open("other")


class TakenOverMeanwhile(Asker):
    """During its questions another worker takes the partition over and goes on."""

    def __init__(self, place: Place, go_on: Callable[[], None]) -> None:
        super().__init__(client_config(place.settings), place.group)
        self._changelog = place.changelog
        self._go_on = go_on

    def bounds(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        bounds = super().bounds(place, timeout)
        if place.topic == self._changelog:
            self._go_on()
        return bounds


def test_a_takeover_while_a_partition_is_opened_is_no_loss(place: Place) -> None:
    """The successor tells the group more than the state that is read here can know."""
    owner = place.own()
    store, _ = place.open("disk")
    store.put("A\0a", b"old")
    place.commit(owner, store, 5)

    def go_on() -> None:
        successor = place.own()
        store.put("A\0a", b"new")
        place.commit(successor, store, 20)

    asker = TakenOverMeanwhile(place, go_on)
    _, restored = place.open("other", asker)
    asker.close()
    assert restored.next_offset in (5, 20)


def remake(place: Place, topic: str) -> None:
    def until(holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    place.admin.delete_topics([topic])[topic].result()
    until(lambda: topic not in place.admin.list_topics(timeout=10).topics)
    place.make(topic)
    until(lambda: topic in place.admin.list_topics(timeout=10).topics)
