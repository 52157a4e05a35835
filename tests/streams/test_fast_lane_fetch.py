"""Reading a real broker's partitions: from where, up to where, and nothing that was given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP

from streams.fast_lane import fetch as fetch_module
from streams.fast_lane.fetch import Fetch
from streams.fast_lane.fetched import Fetched
from streams.kafka_client import client_config, producer_config
from streams.settings import Settings
from streams.topics import TopicSpec, apply

pytestmark = pytest.mark.connected

_PATIENCE = 20.0


class Log:
    """A topic of one partition that belongs to one test."""

    def __init__(self, bootstrap: str) -> None:
        self.settings = Settings(
            kafka_bootstrap=bootstrap, replication_factor=1, min_insync_replicas=1
        )
        self.tp = TP(f"fetch{time.time_ns():x}", 0)
        self.admin = AdminClient(client_config(self.settings))
        apply(self.admin, [TopicSpec(self.tp.topic, 1, 1, {})])

    def append(self, *values: bytes, **transaction: Any) -> None:
        producer = Producer(producer_config(self.settings) | transaction)
        if transaction:
            producer.init_transactions()
            producer.begin_transaction()
        headers: Any = [("a", b"1"), ("b", None)]
        for value in values:
            producer.produce(self.tp.topic, value, partition=0, headers=headers)
        if transaction:
            producer.commit_transaction()
        producer.flush()

    def commit(self, group: str, offset: int) -> None:
        member = Consumer(client_config(self.settings) | {"group.id": group})
        member.commit(offsets=[TopicPartition(*self.tp, offset)], asynchronous=False)
        member.close()

    def delete_before(self, offset: int) -> None:
        for future in self.admin.delete_records([TopicPartition(*self.tp, offset)]).values():
            future.result()

    def fetch(
        self,
        story: Callable[[Fetch], Awaitable[None]],
        group: str = "nobody",
        *,
        oldest_first: bool = False,
    ) -> None:
        async def run() -> None:
            fetch = Fetch(client_config(self.settings), group, oldest_first=oldest_first)
            fetch.start()
            try:
                await story(fetch)
            finally:
                await fetch.stop()

        asyncio.run(run())


async def read(fetch: Fetch, end: int) -> list[Fetched]:
    """All that comes until the log is read up to `end`."""
    found: list[Fetched] = []
    deadline = time.monotonic() + _PATIENCE
    while not found or found[-1].end < end:
        assert time.monotonic() < deadline, found
        if await fetch.arrival(0.5):
            found.append(fetch.take()[1])
    return found


async def end_of(fetch: Fetch, tp: TP) -> int:
    deadline = time.monotonic() + _PATIENCE
    while (end := fetch.end_of(tp)) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return end


def values(found: list[Fetched]) -> list[bytes | None]:
    return [record.value for one in found for record in one.records]


@pytest.fixture
def log(kafka: str) -> Log:
    return Log(kafka)


def test_it_reads_from_where_it_was_told_without_gaps(log: Log) -> None:
    log.append(*(b"%d" % n for n in range(100)))

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, 40)
        found = await read(fetch, 100)
        assert values(found) == [b"%d" % n for n in range(40, 100)]
        assert found[0].start == 40
        assert all(one.end == two.start for one, two in pairwise(found))
        first = found[0].records[0]
        assert (first.topic, first.partition, first.offset) == (*log.tp, 40)
        assert list(first.headers) == [("a", b"1"), ("b", None)]
        assert abs(first.timestamp / 1000 - time.time()) < 60
        assert fetch.queued_bytes == sum(one.size for one in found)
        assert await end_of(fetch, log.tp) == 100

    log.fetch(story)


def test_without_an_offset_it_begins_where_the_group_stands(log: Log) -> None:
    log.append(b"0", b"1", b"2")
    log.commit("settled", 2)

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, None)
        assert values(await read(fetch, 3)) == [b"2"]

    log.fetch(story, group="settled")


def test_a_group_that_never_committed_begins_with_the_first_record_there_is(log: Log) -> None:
    log.append(b"0", b"1", b"2")
    log.delete_before(1)

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, None)
        found = await read(fetch, 3)
        assert (found[0].start, values(found)) == (1, [b"1", b"2"])

    log.fetch(story)


def test_a_log_that_ends_with_a_transaction_is_read_to_its_very_end(log: Log) -> None:
    log.append(b"0", b"1", **{"transactional.id": log.tp.topic})

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, 0)
        found = await read(fetch, 3)  # the third is the transaction's marker
        assert values(found) == [b"0", b"1"]
        assert await end_of(fetch, log.tp) == 3

    log.fetch(story)


def test_a_wanted_record_that_is_gone_shows_in_the_start(log: Log) -> None:
    """The lane sees the gap; see `unseen`."""
    log.append(*(b"%d" % n for n in range(10)))
    log.delete_before(6)

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, 2)
        found = await read(fetch, 10)
        assert (found[0].start, len(values(found))) == (6, 4)

    log.fetch(story)


def test_after_a_reopening_nothing_of_the_former_reading_comes(log: Log) -> None:
    log.append(*(b"%d" % n for n in range(20)))

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, 0)
        await read(fetch, 20)
        log.append(b"20", b"21")
        await asyncio.sleep(0.5)  # they are on their way, and nobody asks for them
        fetch.open(log.tp, 10)
        found = await read(fetch, 22)
        assert (found[0].start, len(values(found))) == (10, 12)
        fetch.close_all()
        log.append(b"22")
        assert not await fetch.arrival(0.5)

    log.fetch(story)


def test_nothing_is_read_while_the_lane_has_enough(log: Log) -> None:
    log.append(b"0")

    async def story(fetch: Fetch) -> None:
        fetch.may_read = lambda: False
        fetch.open(log.tp, 0)
        assert not await fetch.arrival(0.5)
        fetch.may_read = lambda: True
        assert values(await read(fetch, 1)) == [b"0"]

    log.fetch(story)


def test_a_topic_that_cannot_be_found_is_waited_for(log: Log) -> None:
    """It may be on its way; the rest is read meanwhile."""
    log.append(b"0")

    async def story(fetch: Fetch) -> None:
        fetch.open(TP(log.tp.topic + "-later", 0), 0)
        fetch.open(log.tp, 0)
        assert values(await read(fetch, 1)) == [b"0"]

    log.fetch(story)


def test_with_much_to_catch_up_on_all_topics_come_in_the_order_of_time(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the records of one of them are: it is left alone until the other is as far."""
    monkeypatch.setattr(fetch_module, "_WAITING_BYTES", 64 << 10)
    monkeypatch.setattr(fetch_module, "_MUCH_RECORDS", 0)
    monkeypatch.setattr(fetch_module, "_PATIENCE_SECONDS", 60.0)
    other = Log(log.settings.kafka_bootstrap or "")
    producer = Producer(producer_config(log.settings))
    count, began = 2_000, int(time.time() * 1000) - 3_600_000
    for number in range(count):
        at = began + number * 10
        producer.produce(log.tp.topic, b"%d" % number, partition=0, timestamp=at)
        producer.produce(other.tp.topic, b"%2000d" % number, partition=0, timestamp=at)
    producer.flush()

    async def story(fetch: Fetch) -> None:
        fetch.may_read = lambda: False
        fetch.open(log.tp, 0)
        fetch.open(other.tp, 0)
        assert await end_of(fetch, log.tp) == await end_of(fetch, other.tp) == count
        assert not await fetch.arrival(0.1)
        fetch.may_read = lambda: True
        found: dict[TP, list[Fetched]] = {log.tp: [], other.tp: []}
        newest = 0
        deadline = time.monotonic() + _PATIENCE
        while sum(len(values(lots)) for lots in found.values()) < 2 * count:
            assert time.monotonic() < deadline, found
            if await fetch.arrival(0.5):
                tp, lot = fetch.take()
                fetch.queued_bytes -= lot.size
                found[tp].append(lot)
                assert lot.records[0].timestamp >= newest - 250
                newest = max(newest, lot.records[-1].timestamp)
        for lots in found.values():
            numbers = [int(value or b"") for value in values(lots)]
            assert numbers == list(range(count))
            assert all(one.end == two.start for one, two in pairwise(lots))
        log.append(b"live")
        assert values(await read(fetch, count + 1)) == [b"live"]

    log.fetch(story, oldest_first=True)


class Silent:
    """In the place of an `Asker`: brokers that answer the third question about a topic."""

    def __init__(self, _config: Any, _group: str) -> None:
        self._asked = 0

    def committed(self, _place: TopicPartition, _timeout: float) -> int:
        self._asked += 1
        if self._asked < 3:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return 1

    def close(self) -> None:
        """Nothing to let go of."""


def test_a_beginning_that_was_asked_for_in_vain_is_asked_for_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told that not everything is read; what has a known beginning is read meanwhile."""
    monkeypatch.setattr(fetch_module, "Asker", Silent)
    other = Log(log.settings.kafka_bootstrap or "")
    log.append(b"0", b"1")
    other.append(b"2")

    async def story(fetch: Fetch) -> None:
        fetch.open(log.tp, None)
        fetch.open(other.tp, 0)
        assert not fetch.is_reading()
        found = values(await read(fetch, 1)) + values(await read(fetch, 2))
        assert set(found) == {b"1", b"2"}
        assert fetch.is_reading()

    log.fetch(story)


def test_stopping_while_no_broker_answers_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    monkeypatch.setattr(fetch_module, "_ASK_SECONDS", 0.2)
    monkeypatch.setattr(fetch_module, "stop_the_process", lambda why, *_: failures.append(why))

    async def story() -> None:
        fetch = Fetch({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, "nobody")
        fetch.start()
        fetch.open(TP("anything", 0), None)
        await asyncio.sleep(0.5)  # it asks for the group's offset, in vain
        await fetch.stop()

    asyncio.run(story())
    assert failures == []
