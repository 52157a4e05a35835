"""How fast the sink is: records into ClickHouse, beside what the engine takes at most.

* The sink's path (decode, rows, Arrow, insert, what is intended and done) from records in memory
  into the embedded engine, and a bare loop of clickhouse-connect that inserts the same rows, as
  Arrow tables that were made before. Both in this process, in turn, since the machine's pace
  changes.
* The same from a real broker, by a worker with the sink alone.
* How long it takes from a decision in its topic until a reader sees its row, at a steady rate.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from statistics import median, quantiles

import msgspec
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from confluent_kafka import Message, Producer
from faust.types import TP

from agents.sink.migrations import migrate
from agents.sink.partition import Inserts, SinkPartition, crowd
from agents.sink.plan import Batch, Planner
from agents.sink.tables import DATABASE, TABLES
from agents.sink.writer import Writer, as_arrow
from agents.worker_process import worker_process
from benchmarks.bench import Bench, BenchFailedError, bench_on_a_broker
from benchmarks.workload import business, orders
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import Event, ExposureChanged, OrderDecision, OrderPlaced
from streams.clickhouse import open_clickhouse
from streams.cloud_events import headers_of
from streams.embedded.clickhouse import close_engine, find_endpoint
from streams.embedded.parts import clickhouse_directory
from streams.embedded.supervised import SupervisedProcess
from streams.errors import InvalidMessage
from streams.garbage import settle
from streams.kafka_client import producer_config
from streams.partitioning import partition_of
from streams.record import Record
from streams.settings import Settings

CUSTOMERS = 2_000
_DECISIONS = topic_of("OrderDecision")
_STEP_RECORDS = 1_000
_LOOK_SECONDS = 0.01
_BEGAN = 1_700_000_000_000
_WARM_UP_SECONDS = 5.0
_POLL_SECONDS = 0.02
_LATE_SECONDS = 60.0


class Speed(msgspec.Struct, frozen=True):
    """Rows a second into the embedded engine; `processor_microseconds` of all cores, a row."""

    name: str
    rows: int
    rows_per_second: float
    processor_microseconds: float | None


class Visible(msgspec.Struct, frozen=True):
    """Seconds from before the produce call until a query finds the row."""

    per_second: int
    samples: int
    p50: float
    p99: float


class Report(msgspec.Struct, frozen=True):
    """One run. `ratio` is of the sink's path to the bare loop, the median of the rounds."""

    bare: Speed
    path: Speed
    ratio: float
    from_broker: Speed
    visible: Visible


def run(
    settings: Settings,
    *,
    events: int,
    rounds: int,
    per_second: int,
    seconds: int,
    tell: Callable[[str], None],
) -> Report:
    """Measure everything.

    Args:
        settings: of the broker; without one an embedded one is started in a directory of its own.
        events: of the journal. Each third of them is an order, which has a decision and figures.
        rounds: how often the path and the bare loop take turns.
        per_second: decisions a second for the latency.
        seconds: length of that.
        tell: says what is going on.

    Raises:
        BenchFailedError: something did not come to its end.
    """
    with bench_on_a_broker(settings, tell) as bench:
        bare, path, ratio = _in_this_process(bench, events, rounds)
        bench.make_topics()
        bench.tell(f"{events} events into the broker, then a worker")
        _produce(bench, events)
        with _worker(bench) as worker, closing(_beside_the_worker(bench, worker)) as client:
            from_broker = _from_the_broker(client, worker, bare.rows)
            bench.tell(f"decisions until they are seen, {per_second} a second")
            visible = _until_visible(bench, client, worker, per_second, seconds)
    return Report(bare, path, ratio, from_broker, visible)


# ── in this process ─────────────────────────────────────────────────────────────────────────────


def _in_this_process(bench: Bench, events: int, rounds: int) -> tuple[Speed, Speed, float]:
    bench.tell(f"{events} events of {CUSTOMERS} customers, in memory")
    logs = _records(bench, events)
    planner = Planner(bench.codec.decode, msgspec.json.encode, (InvalidMessage,))
    tables = _arrow(planner, logs, bench.settings.sink_batch_rows)
    rows = sum(table.num_rows for _, table in tables)
    gc.collect()
    settle()  # as a worker does
    bare, path = [], []
    # Of its own, so that the worker can have the other one.
    own = bench.settings.model_copy(
        update={"clickhouse_dsn": None, "embedded_dir": bench.directory / "in-process"}
    )
    with closing(open_clickhouse(own)) as client:
        migrate(client)
        for number in range(rounds):
            bench.tell(f"round {number + 1} of {rounds}: bare inserts, then the sink")
            bare.append(_timed("bare inserts", rows, lambda: _insert(client, tables)))
            _empty(client)
            path.append(
                _timed("the sink's path", rows, lambda: _sink(client, planner, logs, bench))
            )
            found = sum(_count(client, table) for table in TABLES)
            if found != rows:
                raise BenchFailedError(f"{found} rows in the tables, {rows} were written")
            _empty(client)
    close_engine()
    ratios = [b.rows_per_second / a.rows_per_second for a, b in zip(bare, path, strict=True)]
    return _middle(bare), _middle(path), median(ratios)


def _records(bench: Bench, events: int) -> dict[TP, list[Record]]:
    """What lies in the topics, by partition."""
    logs: dict[TP, list[Record]] = {}
    headers = headers_of("credit")
    for topic, event in _told(events):
        key = str(getattr(event, "customer_id", "")).encode()
        tp = TP(topic, partition_of(key, bench.settings.partitions))
        log = logs.setdefault(tp, [])
        value = bench.codec.encode(event)
        log.append(Record(*tp, len(log), _BEGAN + len(log), key, value, list(headers(event))))
    return logs


def _told(events: int) -> Iterator[tuple[str, Event]]:
    """Events and their topics: the journal, and of each order a decision and figures."""
    for number, event in enumerate(business(events, CUSTOMERS)):
        yield JOURNAL, event
        if isinstance(event, OrderPlaced):
            yield _DECISIONS, _decision(event, number)
            yield topic_of("ExposureChanged"), _figures(event, number)


def _decision(order: OrderPlaced, number: int, of: str = "speed") -> OrderDecision:
    held = number % 10 == 0
    return OrderDecision(
        event_id=f"{order.event_id}/{of}/1",
        occurred_at=order.occurred_at,
        customer_id=order.customer_id,
        order_id=order.order_id,
        decision="held" if held else "approved",
        reasons=["credit_limit_exceeded"] if held else [],
        amount=order.amount,
        currency="EUR",
        exposure_before=412_345,
        exposure_after=412_345 + order.amount,
        credit_limit=800_000,
        headroom=387_655 - order.amount,
        utilisation="0.6127",
        decision_number=1,
        cause_event_id=order.event_id,
        policy_version="default",
        account_currency="EUR",
    )


def _figures(order: OrderPlaced, number: int, of: str = "speed") -> ExposureChanged:
    return ExposureChanged(
        event_id=f"{order.event_id}/{of}/{number}",
        occurred_at=order.occurred_at,
        customer_id=order.customer_id,
        currency="EUR",
        exposure=412_345 + order.amount,
        open_receivables=300_000,
        delivered_not_invoiced=0,
        open_orders=112_345 + order.amount,
        unapplied_credit=0,
        credit_limit=800_000,
        headroom=387_655 - order.amount,
        utilisation="0.6127",
        overdue=0,
        oldest_overdue_days=0,
        held_orders=0,
        cause_event_id=order.event_id,
    )


def _arrow(
    planner: Planner, logs: dict[TP, list[Record]], batch_rows: int
) -> list[tuple[str, pa.Table]]:
    """The same rows in the same batches."""
    tables = []
    for tp, records in logs.items():
        for first in range(0, len(records), batch_rows):
            batch = Batch(*tp)
            planner.extend(batch, records[first : first + batch_rows])
            tables += [(name, as_arrow(batch, name, rows)) for name, rows in batch.rows.items()]
    return tables


def _timed(name: str, rows: int, work: Callable[[], object]) -> Speed:
    began, used = time.perf_counter(), time.process_time()
    work()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return Speed(name, rows, rows / seconds, used / rows * 1e6)


def _insert(client: Client, tables: list[tuple[str, pa.Table]]) -> None:
    for name, table in tables:
        client.insert_arrow(f"{DATABASE}.{name}", table)


def _sink(client: Client, planner: Planner, logs: dict[TP, list[Record]], bench: Bench) -> None:
    asyncio.run(_sinking(client, planner, logs, bench.settings))


async def _sinking(
    client: Client, planner: Planner, logs: dict[TP, list[Record]], settings: Settings
) -> None:
    """As the lane does it: steps of one partition after the other, commits beside them."""
    writer = Writer(lambda: client)
    with ThreadPoolExecutor(1) as executor:
        inserts = Inserts(writer.write, executor)
        partitions: dict[TP, SinkPartition] = {}
        bound = settings.in_flight_bytes
        crowded = crowd(partitions.values, bound)
        partitions |= {
            tp: SinkPartition(
                tp,
                planner,
                inserts,
                _committed,
                topic_id="bench",
                intended=None,
                batch_rows=settings.sink_batch_rows,
                batch_seconds=settings.sink_batch_seconds,
                crowded=crowded,
            )
            for tp in logs
        }
        committing = [asyncio.create_task(_commits(one)) for one in partitions.values()]
        for first in range(0, max(map(len, logs.values())), _STEP_RECORDS):
            for tp, records in logs.items():
                while sum(one.in_flight_bytes for one in partitions.values()) > bound:  # noqa: ASYNC110  a poll
                    await asyncio.sleep(_LOOK_SECONDS)
                step = records[first : first + _STEP_RECORDS]
                if step:
                    partition = partitions[tp]
                    partition.begin(step)
                    partition.take(step)
                    partition.finish(
                        step[-1].offset + 1, sum(256 + len(one.value or b"") for one in step)
                    )
                    await asyncio.sleep(0)
        for one in partitions.values():
            one.hurry = True
        while any(one.wants_commit for one in partitions.values()):  # noqa: ASYNC110  a poll
            await asyncio.sleep(_LOOK_SECONDS)
        for task in committing:
            task.cancel()


async def _committed(_tp: TP, _offset: int, _text: str) -> bool:
    return True


async def _commits(partition: SinkPartition) -> None:
    while True:
        await partition.commit()
        await asyncio.sleep(_LOOK_SECONDS)


def _count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {DATABASE}.{table}").result_rows[0][0])  # noqa: S608  ours


def _empty(client: Client) -> None:
    for table in TABLES:
        client.command(f"TRUNCATE TABLE {DATABASE}.{table}")


def _middle(speeds: list[Speed]) -> Speed:
    return sorted(speeds, key=lambda one: one.rows_per_second)[len(speeds) // 2]


# ── through a broker ────────────────────────────────────────────────────────────────────────────


def _produce(bench: Bench, events: int) -> None:
    by_topic: dict[str, list[Event]] = {}
    for topic, event in _told(events):
        by_topic.setdefault(topic, []).append(event)
    for topic, told in by_topic.items():
        bench.produce(topic, told)


def _from_the_broker(client: Client, worker: SupervisedProcess, rows: int) -> Speed:
    """From the first rows that are there to the last."""
    first_at, first = 0.0, 0
    deadline = time.monotonic() + _LATE_SECONDS
    while (found := _rows(client)) < rows:
        worker.check()
        if found and not first:
            first_at, first = time.perf_counter(), found
        if time.monotonic() > deadline:
            raise BenchFailedError(f"the worker: {found} of {rows} rows in time")
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - first_at
    return Speed("from a broker, one worker", rows - first, (rows - first) / seconds, None)


def _until_visible(
    bench: Bench, client: Client, worker: SupervisedProcess, per_second: int, seconds: int
) -> Visible:
    """Decisions at a steady rate, with an event of the journal and figures for each; the time of
    each until a query finds its row. The first seconds only warm up.
    """
    watch = _Watch(client)
    watch.start()
    producer = Producer(producer_config(bench.settings))
    start = time.perf_counter()
    count = int(per_second * (seconds + _WARM_UP_SECONDS))
    for number, order in enumerate(orders(count, CUSTOMERS, seed=7)):
        pause = start + number / per_second - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        counts = time.perf_counter() - start >= _WARM_UP_SECONDS
        told: list[tuple[str, Event]] = [
            (_DECISIONS, _decision(order, number, of="latency")),
            (JOURNAL, order),
            (topic_of("ExposureChanged"), _figures(order, number, of="latency")),
        ]
        for topic, event in told:
            noted = watch.expects(counts=counts) if topic == _DECISIONS else None
            key = order.customer_id.encode()
            producer.produce(topic, bench.codec.encode(event), key, on_delivery=noted)
        producer.poll(0)
    producer.flush()
    deadline = time.monotonic() + _LATE_SECONDS
    while watch.left() and time.monotonic() < deadline:
        worker.check()
        time.sleep(_POLL_SECONDS)
    watch.stop()
    if watch.left():
        raise BenchFailedError(f"{watch.left()} of {count} decisions were not seen in time")
    parts = quantiles(watch.taken, n=100, method="inclusive")
    return Visible(per_second, len(watch.taken), parts[49], parts[98])


class _Watch:
    """Looks all the time which decisions can be seen, and notes how long each took."""

    def __init__(self, client: Client) -> None:
        self.taken: list[float] = []
        self._client = client
        self._waiting: dict[int, deque[tuple[int, float, bool]]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="bench-reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def left(self) -> int:
        return sum(map(len, self._waiting.values()))

    def expects(self, *, counts: bool) -> Callable[[object, Message], None]:
        """One that is about to be sent; what is returned hears where it went."""
        began = time.perf_counter()

        def sent(_error: object, message: Message) -> None:
            queue = self._waiting.setdefault(message.partition() or 0, deque())
            queue.append((message.offset() or 0, began, counts))

        return sent

    def _look(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            reached = self._client.query(
                f"SELECT partition, max(offset) FROM {DATABASE}.order_decisions"  # noqa: S608  ours
                f" WHERE topic = '{_DECISIONS}' GROUP BY partition"
            ).result_rows
            now = time.perf_counter()
            for partition, offset in reached:
                queue = self._waiting.get(partition, deque())
                while queue and queue[0][0] <= offset:
                    _, began, counts = queue.popleft()
                    if counts:
                        self.taken.append(now - began)


def _worker(bench: Bench) -> AbstractContextManager[SupervisedProcess]:
    return worker_process(bench.settings, bench.claim, name="bench", only=["sink"], wait=False)


def _beside_the_worker(bench: Bench, worker: SupervisedProcess) -> Client:
    """A client of the engine that the worker has open."""
    deadline = time.monotonic() + _LATE_SECONDS
    while bench.settings.clickhouse_dsn is None and (
        find_endpoint(clickhouse_directory(bench.settings)) is None
    ):
        worker.check()
        if time.monotonic() > deadline:
            raise BenchFailedError("the worker did not open the engine in time")
        time.sleep(_POLL_SECONDS)
    return open_clickhouse(bench.settings)


def _rows(client: Client) -> int:
    found = client.query(
        "SELECT sum(total_rows) FROM system.tables WHERE database = {d:String} AND name IN"
        " {t:Array(String)}",
        {"d": DATABASE, "t": list(TABLES)},
    )
    return int(found.result_rows[0][0] or 0)
