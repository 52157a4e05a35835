"""Sinks as processes of their own that die, or freeze, where they are told to.

    python -m sink.lives '<a life>' ...

Each argument is a JSON object: `ends`, a point of `POINTS`, or null for one that lives until all is
written; `rows` that make a batch; `freezes` instead of dying; `name` of the worker. One comes after
the other; a frozen one is thawed when the last has ended, and has to end well then. One that lives
to the end prints how many bytes were in flight at most. All that is imported is imported once: a
life costs little more than its way into the group.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP
from urllib3.connection import HTTPConnection

from agents.policy_file import load_policy
from agents.sink import partition, writer
from agents.sink.agent import sink
from agents.sink.plan import SOURCES, Batch
from streams.app import Wiring
from streams.codec import Codec
from streams.fast_lane.commit import CommitOffset, CommitsTogether, Place
from streams.fast_lane.lane import Lane
from streams.kafka_client import cause_of, client_config, topic_facts
from streams.metrics import Metrics
from streams.registry import open_schema_ids
from streams.settings import Settings, load_settings

BEFORE_INTENTION = "before the intention is said"
AFTER_INTENTION = "after it, before the insert"
BETWEEN_TABLES = "in the insert, one of two tables has its rows"
IN_INSERT = "in the insert, whose answer comes to nobody"
AFTER_INSERT = "after the insert"
BEFORE_COMMIT = "before the offset is committed"
AFTER_COMMIT = "after it"
POINTS = (
    BEFORE_INTENTION,
    AFTER_INTENTION,
    BETWEEN_TABLES,
    IN_INSERT,
    AFTER_INSERT,
    BEFORE_COMMIT,
    AFTER_COMMIT,
)
_LOOK_SECONDS = 0.05


class Life(msgspec.Struct, forbid_unknown_fields=True):
    rows: int
    ends: str | None = None
    freezes: bool = False
    name: str = "a"
    longest: int = 200
    """Seconds after which it is taken for stuck: it says where it is, and ends."""
    slow: float = 0.0
    """Seconds that every insert takes longer: a slow disk."""


def main(lives: list[Life]) -> int:
    frozen: list[int] = []
    for life in lives:
        pid = os.fork()
        if pid == 0:
            os._exit(_live(life))
        _, status = os.waitpid(pid, os.WUNTRACED)
        if life.freezes and os.WIFSTOPPED(status):
            frozen.append(pid)
            continue
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if died != (life.ends is not None) or (status and not died):
            print(f"{life} ended with {status}", file=sys.stderr)
            return 1
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
        if status:
            print(f"the frozen one ended with {status}", file=sys.stderr)
            return 1
    return 0


def _live(life: Life) -> int:
    faulthandler.dump_traceback_later(life.longest, exit=True)
    try:
        settings = load_settings().model_copy(
            update={
                "sink_batch_rows": life.rows,
                "worker_name": life.name,
                "instance_id": f"lives-{life.name}",
            }
        )
        if life.ends is not None:
            _arm(life.ends, signal.SIGSTOP if life.freezes else signal.SIGKILL)
        if life.slow:
            _slow_down(life.slow)
        asyncio.run(_run(settings))
    except BaseException:  # noqa: BLE001  the child's only way to say it
        traceback.print_exc()
        return 1
    return 0


async def _run(settings: Settings) -> None:
    facts = topic_facts(AdminClient(client_config(settings)), SOURCES)
    wiring = Wiring(settings, Metrics(), facts)
    member = sink(wiring, Codec(open_schema_ids(None)), load_policy(None))
    await member.app.start()
    largest = _note_in_flight()
    while not await asyncio.to_thread(has_all, settings):  # noqa: ASYNC110  it asks a broker
        await asyncio.sleep(_LOOK_SECONDS)
    print(max(largest), flush=True)
    await member.stop()
    await member.leave()
    os._exit(0)  # what Faust still has to tidy up is nobody's concern


def _note_in_flight() -> list[int]:
    """How much was in flight, as often as the lane asks for it."""
    asked, heard = Lane._in_flight, [0]

    def in_flight(lane: Lane) -> int:
        heard.append(asked(lane))
        return heard[-1]

    _here(Lane)._in_flight = in_flight
    return heard


def has_all(settings: Settings) -> bool:
    """Whether the sinks' group has committed all there is."""
    group = Consumer(client_config(settings) | {"group.id": f"{settings.app_id}-sink"})
    try:
        places = [TopicPartition(one, n) for one in SOURCES for n in range(settings.partitions)]
        return all(
            max(one.offset, 0) >= group.get_watermark_offsets(one, 10)[1]
            for one in group.committed(places, 10)
        )
    except KafkaException as error:
        if cause_of(error).code() != KafkaError._TIMED_OUT:
            raise
        return False  # it was frozen while it asked
    finally:
        group.close()


# ── where it ends ───────────────────────────────────────────────────────────────────────────────


def _here(owner: Any) -> Any:
    """What belongs to a module or a class, to be replaced in this process."""
    return owner


def _arm(point: str, number: signal.Signals) -> None:
    """Have this process end at a point, when it comes there for the second time."""
    times = 0

    def ends() -> None:
        nonlocal times
        times += 1
        if times == 2:
            os.kill(os.getpid(), number)

    match point:
        case "before the intention is said":
            _at_commit(ends, intended=True, after=False)
        case "after it, before the insert":
            _at_commit(ends, intended=True, after=True)
        case "in the insert, one of two tables has its rows":
            _between_tables(ends)
        case "in the insert, whose answer comes to nobody":
            _unanswered(ends)
        case "after the insert":
            _after_insert(ends)
        case "before the offset is committed":
            _before_offset(ends)
        case "after it":
            _at_commit(ends, intended=False, after=True)
        case other:
            raise ValueError(other)


def _passing() -> Callable[[TP, int, str], bool]:
    """Tells of each commit in turn whether its offset is behind rows that were written. Where there
    is always more to write it is never said but with what is written next.
    """
    last: dict[TP, int] = {}

    def passes(tp: TP, offset: int, text: str) -> bool:
        before, last[tp] = last.get(tp, offset), offset
        return not text or offset > before

    return passes


def _at_commit(ends: Callable[[], None], *, intended: bool, after: bool) -> None:
    call, passes = CommitsTogether.__call__, _passing()

    async def commit(self: CommitsTogether, tp: TP, offset: int, text: str) -> bool:
        meant = bool(text) if intended else passes(tp, offset, text)
        if meant and not after:
            ends()
        done = await call(self, tp, offset, text)
        if meant and after:
            ends()
        return done

    _here(CommitsTogether).__call__ = commit


def _before_offset(ends: Callable[[], None]) -> None:
    send: Callable[..., Awaitable[bool]] = CommitOffset.all
    passes = _passing()

    async def all_of(self: CommitOffset, places: dict[TP, Place]) -> bool:
        passing = [tp for tp, place in places.items() if passes(tp, *place)]
        if passing:
            ends()
        return await send(self, places)

    _here(CommitOffset).all = all_of


def _between_tables(ends: Callable[[], None]) -> None:
    insert, last = writer.insert, [""]

    def of_one_table(client: Any, table: str, rows: Any, token: str) -> None:
        if last[0] == token:
            ends()
        last[0] = token
        insert(client, table, rows, token)

    _here(writer).insert = of_one_table


def _unanswered(ends: Callable[[], None]) -> None:
    insert, answer = writer.insert, HTTPConnection.getresponse

    def of_one_table(*arguments: Any) -> None:
        inserting.append(True)
        insert(*arguments)
        inserting.clear()

    def get(self: HTTPConnection) -> Any:
        if inserting:
            ends()
        return answer(self)

    inserting: list[bool] = []
    _here(writer).insert = of_one_table
    _here(HTTPConnection).getresponse = get


def _slow_down(seconds: float) -> None:
    insert = writer.insert

    def of_one_table(*arguments: Any) -> None:
        time.sleep(seconds)
        insert(*arguments)

    _here(writer).insert = of_one_table


def _after_insert(ends: Callable[[], None]) -> None:
    insert = partition.Inserts.insert

    async def ended(self: partition.Inserts, batch: Batch) -> bool:
        done = await insert(self, batch)
        ends()
        return done

    _here(partition.Inserts).insert = ended


if __name__ == "__main__":
    time.tzset()
    sys.exit(main([msgspec.convert(json.loads(one), Life) for one in sys.argv[1:]]))
