"""How long nobody answers when a worker goes, and how long its state takes to read back.

For each size of state, on one broker:

* all partitions restored from the changelog onto an empty disk, and again with the disk kept, by
  the code that a worker opens its partitions with;
* two workers, each with copies of what the other has: one is stopped as planned, and the longest
  silence of any partition is taken while orders come in steadily. That is finding out that somebody
  left, sharing out and opening; a kill adds the session time-out to it, whatever the size.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Self

import msgspec
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from agents.worker_process import worker_process
from benchmarks.bench import PATIENCE_SECONDS, Bench, BenchFailedError, bench_on_a_broker
from benchmarks.workload import DAY, customer_id, customers
from schemas.catalogue import JOURNAL, credit_changelog, topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import OrderPlaced
from streams.app import state_directory
from streams.cloud_events import headers_of
from streams.embedded.supervised import SupervisedProcess
from streams.fast_lane.asker import Asker
from streams.fast_lane.restore import restore
from streams.fast_lane.store import Memory, PartitionStore
from streams.kafka_client import client_config, producer_config, topic_facts
from streams.settings import Settings

_DECISIONS = topic_of("OrderDecision")
_OPEN_ORDERS = 2
_PER_SECOND = 200
_STEADY_SECONDS = 3.0
_WATCHED_SECONDS = 10.0
_UP_TO_DATE = "the standby is up to date"


class Takeover(msgspec.Struct, frozen=True):
    """One size of state."""

    accounts: int
    records: int
    """Of the changelog, as they were read onto the empty disk."""
    empty_disk_seconds: float
    kept_disk_seconds: float
    silence_seconds: float
    """With hot standbys, the longest of any partition."""

    @property
    def seconds_per_million(self) -> float:
        """Accounts, from an empty disk."""
        return self.empty_disk_seconds / self.accounts * 1_000_000


def run(settings: Settings, sizes: Sequence[int], tell: Callable[[str], None]) -> list[Takeover]:
    """Measure each size of state, in accounts, from the smallest on.

    Raises:
        BenchFailedError: something did not happen in time.
    """
    with bench_on_a_broker(settings, tell) as bench:
        bench.make_topics()
        measured: list[Takeover] = []
        for accounts in sorted(set(sizes)):
            before = measured[-1].accounts if measured else 0
            _grow(bench, before, accounts)
            tell(f"{accounts} accounts: from the changelog")
            empty, records = _restore_all(bench, bench.directory / f"empty-{accounts}")
            kept, _ = _restore_all(bench, _disk_of(bench, "a"))
            tell(f"{accounts} accounts: one of two workers stops")
            silence = _silence(bench, accounts)
            measured.append(Takeover(accounts, records, empty, kept, silence))
    return measured


def _grow(bench: Bench, before: int, accounts: int) -> None:
    """More accounts, each with a few documents, worked off by one worker."""
    bench.tell(f"{accounts} accounts with {_OPEN_ORDERS} open orders each")
    bench.produce(JOURNAL, islice(customers(accounts), before, None))
    bench.produce(JOURNAL, _open_orders(range(before, accounts)))
    with worker_process(_settings_of(bench, "a"), bench.claim, name="a", only=["credit"]) as worker:
        bench.wait_for_group(_group(bench), worker)


def _open_orders(accounts: range) -> Iterator[OrderPlaced]:
    for number in accounts:
        for n in range(_OPEN_ORDERS):
            yield _order(number, f"{number}-{n}")


def _order(number: int, name: str) -> OrderPlaced:
    return OrderPlaced(
        event_id=f"o-{name}",
        occurred_at=DAY * MICROSECONDS_PER_DAY,
        customer_id=customer_id(number),
        order_id=f"O-{name}",
        amount=1_00,
        currency="EUR",
    )


# ── from the changelog ──────────────────────────────────────────────────────────────────────────


class _Bytes:
    """Restoring decodes nothing."""

    def encode(self, _key: str, value: bytes) -> bytes:
        return value

    def decode(self, _key: str, raw: bytes) -> bytes:
        return raw


def _restore_all(bench: Bench, disk: Path) -> tuple[float, int]:
    """Seconds and records that all partitions take, at the same time, as when a worker starts."""
    config = client_config(bench.settings)
    changelog = credit_changelog(bench.settings.app_id)
    changelog_id = topic_facts(AdminClient(config), [changelog])[changelog].id
    memory = Memory(block_cache_bytes=64 << 20, write_buffer_bytes=128 << 20)
    asker = Asker(config, _group(bench))

    def one(partition: int) -> int:
        store = PartitionStore(disk / str(partition), _Bytes(), memory)
        try:
            return restore(
                store,
                config,
                asker,
                group=_group(bench),
                source=(JOURNAL, partition),
                changelog=changelog,
                changelog_id=changelog_id,
            ).records
        finally:
            store.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(bench.settings.partitions) as threads:
        records = sum(threads.map(one, range(bench.settings.partitions)))
    seconds = time.perf_counter() - began
    asker.close()
    return seconds, records


# ── with hot standbys ───────────────────────────────────────────────────────────────────────────


def _silence(bench: Bench, accounts: int) -> float:
    """The longest that a partition gave no answer when one of two workers was stopped."""
    with ExitStack() as parts:
        workers: dict[str, SupervisedProcess] = {}
        for name in ("a", "b"):
            settings = _settings_of(bench, name)
            workers[name] = parts.enter_context(
                worker_process(settings, bench.claim, name=name, only=["credit"])
            )
        # The second copies everything, gets its half, and the first then keeps copies of that.
        copies = bench.settings.partitions
        _wait_until(lambda: _copies(bench, "b") >= copies and _copies(bench, "a") >= copies // 2)
        answers = parts.enter_context(_Answers(bench, accounts))
        time.sleep(_STEADY_SECONDS)
        stopped = time.perf_counter()
        workers["a"].stop()
        time.sleep(max(0.0, stopped + _WATCHED_SECONDS - time.perf_counter()))
        workers["b"].check()
        return answers.longest_silence(stopped)


class _Answers:
    """Orders at a steady rate into the journal, and when each partition gave an answer."""

    def __init__(self, bench: Bench, accounts: int) -> None:
        self._bench = bench
        self._accounts = accounts
        self._times: dict[int, list[float]] = {n: [] for n in range(bench.settings.partitions)}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._place, self._read)]
        self._consumer: Consumer = bench.reader(_DECISIONS)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._consumer.close()

    def longest_silence(self, since: float) -> float:
        until = time.perf_counter()
        longest = 0.0
        for times in self._times.values():
            inside = [since, *(at for at in times if since < at < until), until]
            longest = max(longest, *(b - a for a, b in pairwise(inside)))
        return longest

    def _place(self) -> None:
        producer = Producer(producer_config(self._bench.settings))
        headers = headers_of("bench")
        began = time.perf_counter()
        for number, event in enumerate(self._orders()):
            if self._ended.wait(max(0.0, began + number / _PER_SECOND - time.perf_counter())):
                break
            producer.produce(
                JOURNAL,
                self._bench.codec.encode(event),
                event.customer_id.encode(),
                headers=list(headers(event)),
            )
            producer.poll(0)
        producer.flush()

    def _orders(self) -> Iterator[OrderPlaced]:
        draw = random.Random(self._accounts)
        for number in count():
            yield _order(draw.randrange(self._accounts), f"{self._accounts}-silence-{number}")

    def _read(self) -> None:
        while not self._ended.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                self._times[message.partition() or 0].append(time.perf_counter())


# ── what they share ─────────────────────────────────────────────────────────────────────────────


def _settings_of(bench: Bench, name: str) -> Settings:
    """Of one worker, whose log lies in a directory of its own."""
    directory = bench.directory / name
    directory.mkdir(exist_ok=True)
    return bench.settings.model_copy(update={"embedded_dir": directory})


def _group(bench: Bench) -> str:
    return f"{bench.settings.app_id}-credit"


def _disk_of(bench: Bench, name: str) -> Path:
    settings = bench.settings.model_copy(update={"worker_name": name})
    return state_directory(settings, _group(bench))


def _copies(bench: Bench, name: str) -> int:
    """How many copies a worker has brought up to date since it was started."""
    log = (bench.directory / name / "worker.log").read_text(encoding="utf-8", errors="replace")
    return log.count(_UP_TO_DATE)


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise BenchFailedError("the workers did not get their copies up to date in time")
        time.sleep(0.1)
