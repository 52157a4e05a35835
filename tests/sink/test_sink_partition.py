"""A partition of the sink: ClickHouse first, the offset second, whatever happens in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from faust.types import TP
from sink.sink_events import decision, invoice
from sink.sink_records import JOURNAL, KafkaRecord, planner, record

from agents.sink import partition as partition_module
from agents.sink.agent import lag_seconds
from agents.sink.partition import Inserts, SinkPartition, crowd
from agents.sink.plan import Batch


class Table:
    """Stands for ClickHouse and Kafka's offsets: takes what it is given, or refuses a while."""

    def __init__(self, refusals: int = 0, *, commits: bool = True) -> None:
        self.refusals = refusals
        self.commits = commits
        self.while_writing: Callable[[], object] | None = None
        self.log: list[tuple[str, object]] = []

    def write(self, batch: Batch) -> None:
        kind = "refused" if self.refusals else "written"
        self.log.append((kind, batch.token()))
        if self.refusals:
            self.refusals -= 1
            raise OperationalError(
                "Code: 252. DB::Exception: Too many parts, at row 'Jan Jansen'. (TOO_MANY_PARTS)"
            )
        meanwhile, self.while_writing = self.while_writing, None
        if meanwhile is not None:
            meanwhile()

    async def commit(self, tp: TP, offset: int, text: str) -> bool:
        kind = "intended" if text else "committed"
        self.log.append((kind if self.commits else f"not {kind}", (*tp, offset)))
        return self.commits

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.log]


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story, 10)

    asyncio.run(bounded())


def a_partition(
    table: Table,
    number: int = 0,
    *,
    rows: int = 3,
    seconds: float = 3600.0,
    inserts: Inserts | None = None,
    crowded: Callable[[int], bool] = lambda _bytes: False,
) -> SinkPartition:
    return SinkPartition(
        TP(JOURNAL, number),
        planner(),
        inserts or Inserts(table.write, ThreadPoolExecutor(1)),
        table.commit,
        topic_id="t-1",
        intended=None,
        batch_rows=rows,
        batch_seconds=seconds,
        crowded=crowded,
    )


def some(first: int, count: int) -> list[Any]:
    return [record(invoice(f"e-{n}", invoice_id=f"I-{n}"), n) for n in range(first, first + count)]


def take(partition: SinkPartition, records: list[Any], end: int | None = None) -> None:
    """What the lane and the agent do with a step."""
    batch = partition.begin(records)
    partition.take(batch.records)
    partition.finish(records[-1].offset + 1 if end is None else end, 100 * len(records))


async def _commit_until(partition: SinkPartition, done: Callable[[], bool]) -> None:
    while not done():
        await partition.commit()
        await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "_PATIENCE_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(partition_module, "_PATIENCE_LAST_SECONDS", 0.004)


def test_a_full_batch_is_written_and_then_its_offset_is_committed() -> None:
    table = Table()

    async def story() -> None:
        partition = a_partition(table, 2)
        take(partition, some(0, 2))
        assert await partition.commit() is None
        assert table.log == []
        take(partition, some(2, 2), end=6)
        assert await partition.commit() is not None
        assert await partition.commit() is None

    run(story())
    assert table.kinds() == ["intended", "written", "committed"]
    assert table.log[0][1] == (JOURNAL, 2, 0)
    assert table.log[-1][1] == (JOURNAL, 2, 6)


def test_a_batch_that_is_not_full_is_written_when_it_is_old_enough() -> None:
    table = Table()

    async def story() -> None:
        partition = a_partition(table, rows=1000, seconds=0.02)
        take(partition, some(0, 1))
        assert await partition.commit() is None
        await _commit_until(partition, lambda: "committed" in table.kinds())

    run(story())
    assert table.log[-1][1] == (JOURNAL, 0, 1)


def test_a_worker_that_stops_writes_what_there_is() -> None:
    table = Table()

    async def story() -> None:
        partition = a_partition(table, rows=1000)
        take(partition, some(0, 1))
        partition.hurry = True
        await partition.commit()

    run(story())
    assert table.kinds() == ["intended", "written", "committed"]


def test_what_was_done_is_said_together_with_what_comes_next_when_that_is_due() -> None:
    table = Table()

    async def story() -> None:
        partition = a_partition(table)
        take(partition, some(0, 3))
        table.while_writing = lambda: take(partition, some(3, 3))
        await partition.commit()

    run(story())
    assert [(kind, what) for kind, what in table.log if kind not in ("written", "refused")] == [
        ("intended", (JOURNAL, 0, 0)),
        ("intended", (JOURNAL, 0, 3)),
        ("committed", (JOURNAL, 0, 6)),
    ]


def test_holes_of_the_log_are_passed_without_an_insert() -> None:
    table = Table()

    async def story() -> None:
        partition = a_partition(table, seconds=0.0)
        partition.begin(())
        partition.finish(17, 0)
        await partition.commit()

    run(story())
    assert table.log == [("committed", (JOURNAL, 0, 17))]


def test_while_clickhouse_is_away_the_same_batch_waits_and_no_offset_is_committed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Table(refusals=4)

    async def story() -> None:
        partition = a_partition(table)
        take(partition, some(0, 3))
        assert await partition.commit() is None
        take(partition, some(3, 3))
        assert partition.in_flight_bytes >= 600
        await _commit_until(partition, lambda: "committed" in table.kinds())
        assert partition.in_flight_bytes == 0

    run(story())
    assert table.kinds() == [
        "intended", *["refused"] * 4, "written", "intended", "written", "committed",
    ]  # fmt: skip
    assert len({what for _, what in table.log[1:6]}) == 1
    assert table.log[-1][1] == (JOURNAL, 0, 6)
    assert "does not take rows, trying again in" in caplog.text
    assert "OperationalError, code 252" in caplog.text
    assert "Jan" not in caplog.text
    assert "takes rows again" in caplog.text


def test_while_clickhouse_is_away_one_partition_asks_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_PATIENCE_FIRST_SECONDS", "_PATIENCE_LAST_SECONDS"):
        monkeypatch.setattr(partition_module, name, 60.0)
    table = Table(refusals=1)

    async def story() -> None:
        inserts = Inserts(table.write, ThreadPoolExecutor(1))
        for number in range(4):
            partition = a_partition(table, number, inserts=inserts)
            take(partition, some(0, 3))
            assert await partition.commit() is None

    run(story())
    assert table.kinds() == ["intended", "refused"]


def test_rows_are_packed_while_they_wait_and_take_less_room() -> None:
    table = Table()

    async def story() -> None:
        partition = a_partition(table, rows=1_000_000)
        take(partition, some(0, 999))  # two rows each
        loose = partition.in_flight_bytes
        assert loose == 4 * 100 * 999
        take(partition, some(999, 1))
        packed = partition.in_flight_bytes
        assert packed != loose + 400
        take(partition, some(1_000, 1))
        assert partition.in_flight_bytes == packed + 400
        partition.hurry = True
        await partition.commit()

    run(story())
    assert table.kinds() == ["intended", "written", "committed"]


def test_when_much_waits_the_largest_batch_goes_before_it_is_full() -> None:
    """With many partitions all that may be in flight would be, and no batch would be full."""
    table = Table()
    partitions: list[SinkPartition] = []

    async def story() -> None:
        crowded = crowd(lambda: partitions, 8_000)
        inserts = Inserts(table.write, ThreadPoolExecutor(1))
        partitions.extend(
            a_partition(table, number, rows=1000, inserts=inserts, crowded=crowded)
            for number in range(3)
        )
        small, middle, large = partitions
        take(small, some(0, 1))
        take(middle, some(0, 2))
        take(large, some(0, 6))
        for one in partitions:
            await one.commit()
        assert table.log == []  # 3,600 of 8,000 bytes
        take(large, some(6, 1))
        for one in partitions:
            await one.commit()
        assert large.open_bytes == 0
        assert [what[1] for kind, what in table.log if kind == "committed"] == [2]  # type: ignore[index]
        assert (small.in_flight_bytes, middle.in_flight_bytes) == (400, 800)

    run(story())


def test_an_error_that_waiting_does_not_mend_is_raised() -> None:
    def broken(_batch: Batch) -> None:
        raise TypeError("a mistake of ours")

    async def story() -> None:
        table = Table()
        partition = a_partition(table, inserts=Inserts(broken, ThreadPoolExecutor(1)))
        take(partition, some(0, 3))
        with pytest.raises(TypeError, match="a mistake of ours"):
            await partition.commit()
        assert table.kinds() == ["intended"]

    run(story())


def test_an_intention_that_the_group_refused_is_followed_by_no_insert() -> None:
    table = Table(commits=False)

    async def story() -> None:
        partition = a_partition(table)
        take(partition, some(0, 3))
        await partition.commit()
        await partition.commit()
        assert table.kinds() == ["not intended"] * 2
        table.commits = True
        await partition.commit()

    run(story())
    assert table.kinds() == ["not intended"] * 2 + ["intended", "written", "committed"]


def test_an_offset_that_the_group_refused_is_committed_later_without_a_second_insert() -> None:
    table = Table()

    def refuse() -> None:
        table.commits = False

    async def story() -> None:
        partition = a_partition(table)
        take(partition, some(0, 3))
        table.while_writing = refuse
        await partition.commit()
        table.commits = True
        await partition.commit()

    run(story())
    assert table.kinds() == ["intended", "written", "not committed", "committed"]


def test_a_partition_that_was_given_away_is_neither_written_nor_committed() -> None:
    table = Table(refusals=1)

    async def story() -> None:
        partition = a_partition(table)
        take(partition, some(0, 3))
        await partition.commit()
        take(partition, some(3, 3))
        await partition.close()
        assert partition.in_flight_bytes == 0

    run(story())
    assert table.kinds() == ["intended", "refused"]


def test_the_lag_is_the_age_of_the_oldest_record_that_waits_by_table() -> None:
    table = Table()

    async def story() -> None:
        partition, other = a_partition(table), a_partition(table, 1)
        now = time.time()
        stamps = {"old": int(now * 1000) - 60_000, "older": int(now * 1000) - 90_000}
        late, early = record(invoice(), 0), record(decision(), 0)
        take(partition, [KafkaRecord(0, late.value, late.key, stamps["old"])])
        take(other, [KafkaRecord(0, early.value, early.key, stamps["older"])])
        lag = lag_seconds([partition, other], now)
        assert lag["journal_raw"] == pytest.approx(60, abs=0.01)
        assert lag["order_decisions_raw"] == pytest.approx(90, abs=0.01)
        assert lag["exposures_raw"] == 0
        partition.hurry = other.hurry = True
        await partition.commit()
        await other.commit()
        assert set(lag_seconds([partition, other], now).values()) == {0.0}

    run(story())
