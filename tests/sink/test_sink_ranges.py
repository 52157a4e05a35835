"""Sinks that are killed, frozen and replaced at every point, against a Kafka and a ClickHouse in
memory: each row stands in its table once, not only where repeats are hidden.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from sink.sink_events import business_day, invoice, payment
from sink.sink_records import JOURNAL, STAMP, KafkaRecord, planner, record

from agents.sink.intention import Intention, intention_of, read_intention
from agents.sink.partition import Inserts, SinkPartition
from agents.sink.plan import Batch
from agents.sink.rows import Row

Point = Literal[
    "before the intention",
    "after the intention",
    "between two tables",
    "in an insert that is answered to nobody",
    "before the offset",
    "after the offset",
]
POINTS: tuple[Point, ...] = (
    "before the intention",
    "after the intention",
    "between two tables",
    "in an insert that is answered to nobody",
    "before the offset",
    "after the offset",
)
_TP = TP(JOURNAL, 0)
_LIMIT = 1 << 30


class KilledError(BaseException):
    """The sink's life ends here."""


@dataclass
class World:
    """A partition's log, what the group has committed of it, and the tables."""

    log: Sequence[KafkaRecord]
    topic_id: str = "t-1"
    committed: tuple[int, str] = (0, "")
    generation: int = 0
    tables: dict[str, list[Row]] = field(default_factory=dict)
    tokens: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.end = self.log[-1].offset + 1

    def insert(self, table: str, rows: Sequence[Row], token: str) -> None:
        """As ClickHouse does."""
        if (table, token) not in self.tokens:
            self.tokens.add((table, token))
            self.tables.setdefault(table, []).extend(rows)

    def insert_all(self, batch: Batch) -> None:
        for table, rows in batch.rows.items():
            self.insert(table, rows, batch.token())

    def told_once(self) -> bool:
        """Whether every record has its rows in the tables, each once."""
        wanted = Batch(*_TP)
        planner().extend(wanted, self.log)
        return {name: Counter(map(str, rows)) for name, rows in self.tables.items()} == {
            name: Counter(map(str, rows)) for name, rows in wanted.rows.items()
        }


class Life:
    """One sink, from its opening of the partition to its end.

    Args:
        world: that it lives in.
        ends: where it is killed, after it has come there so many times.
        after: how many times.
        frozen: at that point it is not killed but frozen; what it was about to insert it does later
            (`thaw`).
        believes: whether it looks at what was intended.
    """

    def __init__(
        self,
        world: World,
        ends: Point | None = None,
        after: int = 0,
        *,
        frozen: bool = False,
        believes: bool = True,
    ) -> None:
        self._world = world
        self._ends = ends
        self._after = after
        self._frozen = frozen
        self._believes = believes
        world.generation += 1
        self._generation = world.generation
        self._left: Batch | None = None

    def live(self, *, rows: int, step: int) -> None:
        with suppress(KilledError):
            asyncio.run(self._live(rows, step))

    def thaw(self) -> None:
        """What was under way when it was frozen happens now, and its commit is refused."""
        if self._left is not None:
            self._world.insert_all(self._left)

    async def _live(self, rows: int, step: int) -> None:
        world = self._world
        offset, text = world.committed
        with ThreadPoolExecutor(1) as executor:
            partition = SinkPartition(
                _TP,
                planner(),
                Inserts(self._write, executor),
                self._commit,
                topic_id=world.topic_id,
                intended=read_intention(text, world.topic_id) if self._believes else None,
                batch_rows=rows,
                batch_seconds=3600,
            )
            left = [one for one in world.log if one.offset >= offset]
            while left:
                records, left = left[:step], left[step:]
                batch = partition.begin(records)  # type: ignore[arg-type]  # fewer fields
                partition.take(batch.records)
                partition.finish(records[-1].offset + 1, 0)
                await partition.commit()
            if offset < world.end:
                partition.finish(world.end, 0)
            partition.hurry = True
            await partition.commit()

    def _come_to(self, point: Point) -> None:
        if point == self._ends:
            if self._after == 0:
                raise KilledError
            self._after -= 1

    async def _commit(self, _tp: TP, offset: int, text: str) -> bool:
        if text:
            self._come_to("before the intention")
        else:
            self._come_to("before the offset")
        if self._generation != self._world.generation:
            return False
        self._world.committed = (offset, text)
        self._come_to("after the intention" if text else "after the offset")
        return True

    def _write(self, batch: Batch) -> None:
        if self._frozen:
            self._left = batch
            raise KilledError
        for number, (table, rows) in enumerate(batch.rows.items()):
            if number:
                self._come_to("between two tables")
            self._world.insert(table, rows, batch.token())
            self._come_to("in an insert that is answered to nobody")


def a_log(count: int) -> list[KafkaRecord]:
    """Invoices, payments and days, at offsets with holes."""
    events = [
        [invoice(f"i-{n}", invoice_id=f"I-{n}"), payment(f"p-{n}"), business_day(19_000 + n)][n % 3]
        for n in range(count)
    ]
    return [record(event, n + n // 5) for n, event in enumerate(events)]


_lives = st.lists(
    st.tuples(
        st.sampled_from(POINTS),
        st.integers(0, 3),
        st.booleans(),
        st.integers(1, 12),
        st.integers(1, 9),
    ),
    max_size=7,
)


@settings(max_examples=60)
@given(_lives)
def test_killed_or_frozen_anywhere_and_cut_differently_every_time_each_row_is_there_once(
    lives: list[tuple[Point, int, bool, int, int]],
) -> None:
    world = World(a_log(40))
    frozen = []
    for point, after, freezes, rows, step in lives:
        life = Life(world, point, after, frozen=freezes)
        life.live(rows=rows, step=step)
        frozen.append(life)
    Life(world).live(rows=7, step=5)
    for life in frozen:
        life.thaw()
    assert world.told_once()
    assert world.committed == (world.log[-1].offset + 1, "")


@pytest.mark.parametrize("point", POINTS)
def test_at_each_point_the_range_that_was_intended_is_kept(point: Point) -> None:
    world = World(a_log(30))
    Life(world, point, 1).live(rows=7, step=7)
    Life(world).live(rows=11, step=4)
    assert world.told_once()


@pytest.mark.parametrize("point", ["in an insert that is answered to nobody", "before the offset"])
def test_without_the_intention_rows_come_twice_so_this_can_fail(point: Point) -> None:
    world = World(a_log(30))
    Life(world, point).live(rows=7, step=7)
    Life(world, believes=False).live(rows=11, step=4)
    assert not world.told_once()


def test_a_sink_whose_intention_is_refused_writes_nothing() -> None:
    world = World(a_log(10))
    late = Life(world)
    Life(world)  # the group has given the partition to this one
    late.live(rows=3, step=3)
    assert world.tables == {}
    assert world.committed == (0, "")


def test_of_a_range_that_compaction_thinned_nothing_is_written_again() -> None:
    world = World(a_log(30))
    Life(world, "before the offset").live(rows=30, step=30)
    before = {name: list(rows) for name, rows in world.tables.items()}
    world.log = [one for n, one in enumerate(world.log) if n not in (0, 3, 4, 29)]
    Life(world).live(rows=7, step=5)
    assert world.tables == before
    assert world.committed == (35, "")


def test_a_range_of_which_nothing_is_left_is_passed() -> None:
    world = World(a_log(30))
    Life(world, "after the intention").live(rows=6, step=6)
    world.log = world.log[12:]
    Life(world).live(rows=7, step=5)
    assert world.told_once()


def test_of_a_topic_that_was_made_anew_no_intention_is_believed() -> None:
    world = World(a_log(20))
    Life(world, "before the offset").live(rows=20, step=20)
    world.topic_id = "t-2"
    world.log = [
        KafkaRecord(one.offset, one.value, one.key, STAMP + 10_000_000 + one.offset)
        for one in world.log
    ]
    world.tables.clear()
    Life(world).live(rows=20, step=20)
    assert world.told_once()


def test_nor_if_the_sink_that_wrote_on_had_not_heard_of_it() -> None:
    """It says the old topic's id; the records say when they were written."""
    world = World(a_log(20))
    Life(world, "before the offset").live(rows=20, step=20)
    world.log = [
        KafkaRecord(one.offset, one.value, one.key, STAMP + 10_000_000 + one.offset)
        for one in world.log
    ]
    world.tables.clear()
    Life(world).live(rows=20, step=20)
    assert world.told_once()


def test_what_stands_beside_an_offset_and_is_no_range_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert read_intention("", "t-1") is None
    assert read_intention(None, "t-1") is None
    assert not caplog.messages
    assert read_intention("by hand", "t-1") is None
    assert read_intention('{"end": 7}', "t-1") is None
    assert len(caplog.messages) == 2


def test_an_intention_fits_beside_an_offset_however_large_its_numbers() -> None:
    batch = Batch("t" * 249, 2**31 - 1)
    batch.first_offset = batch.last_offset = batch.origin = 2**63 - 1
    intention = intention_of(batch, 2**63 - 1, "A" * 22)
    text = intention.as_metadata()
    assert len(text.encode()) < 512  # brokers take 4096 (`offset.metadata.max.bytes`)
    assert read_intention(text, "A" * 22) == intention
    # What confluent-kafka reads behind its end belongs to something else.
    assert read_intention(text + "\x01{", "A" * 22) == intention
    assert text.index("\0") == len(text) - 1


def test_a_range_that_is_taken_in_again_makes_nobody_wait_for_room() -> None:
    """It cannot be written before it is complete, so waiting for room would never end."""
    log = a_log(9)
    intended = Intention("t-1", log[7].offset, 0, log[6].offset, STAMP)

    async def story() -> None:
        with ThreadPoolExecutor(1) as executor:
            world = World(log)
            life = Life(world)
            partition = SinkPartition(
                _TP, planner(), Inserts(world.insert_all, executor), life._commit,
                topic_id="t-1", intended=intended, batch_rows=1, batch_seconds=0,
            )  # fmt: skip
            for one, counted in zip(log, [0] * 6 + [4, 8, 12], strict=True):
                partition.begin([one])  # type: ignore[list-item]  # fewer fields
                partition.take([one])  # type: ignore[list-item]
                partition.finish(one.offset + 1, 1)
                assert partition.in_flight_bytes in (counted, 28 + counted - 4), one
            await partition.commit()
            assert partition.in_flight_bytes == 0
            assert world.told_once()

    asyncio.run(story())
