"""A partition of the notify agent: what it does at once, and when it is let go of meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from alerts.told import AT, alert, decision, notice, recipient
from faust.types import TP

from agents.alerts.notice import Bundle, decode, encode
from agents.notify.carriers import CarrierAwayError, Words
from agents.notify.letters import Letters
from agents.notify.notices import Notices
from agents.notify.outbox import Known, Now
from agents.notify.partition import NotifyPartition, Office
from streams.fast_lane.transaction import FencedError
from streams.record import Record

_TO = {name: recipient(name, "chat") for name in ("quick", "slow")}
_KEY = "d-O-0-held>quick"


class Chat:
    """Keeps what it was given once `open` is set; is away so many times before."""

    repeatable = False
    words: Words | None = None

    def __init__(self, *, is_open: bool = True) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        if is_open:
            self.open.set()
        self.given: list[str] = []
        self.away = 0
        self._bundle: Bundle | None = None

    def begin(self, errand: Bundle) -> Chat:
        self._bundle = errand
        return self

    def finish(self) -> str:
        assert self._bundle is not None
        self.reached.set()
        assert self.open.wait(10)
        if self.away:
            self.away -= 1
            raise CarrierAwayError("away")
        self.given += [one.alert.said["order_id"] for one in self._bundle.notices]
        return "200"

    def drop(self) -> None:
        """Nothing was given yet."""

    def close(self) -> None:
        """Nothing to let go of."""


class Log:
    """What transactions would write; `fenced` once somebody else has the partition."""

    def __init__(self) -> None:
        self.known: dict[str, Known | None] = {}
        self.position = 0
        self.fenced = False

    def write(
        self, position: int, _events: Sequence[Any], *, changelog: str, changes: Mapping[bytes, Any]
    ) -> None:
        assert changelog == "changelog"
        if self.fenced:
            raise FencedError("another has it")
        self.position = position
        for key, raw in changes.items():
            decoded = None if raw is None else msgspec.json.decode(raw, type=Known)
            self.known[key.decode()] = decoded


def office(chats: Mapping[str, Chat]) -> Office:
    return Office(
        trade=lambda: Notices(_TO),
        carriers=lambda: {f"to {name}": chat for name, chat in chats.items()},
        decode=decode,
        reports=lambda _tp, _waiting, _outcome: (),
        kept=lambda _waiting, _words: (),
        refuse=cast("Any", None),
        now=lambda: Now(AT, AT // 86_400_000_000),
        mark="here",
        remembered={},
        counted=lambda _channel, _result: None,
        channel=lambda _said: "chat",
        name=lambda _said: "an alert",
        about=lambda _said: {},
    )


def partition(one: Office, log: Log, executor: ThreadPoolExecutor) -> NotifyPartition:
    return NotifyPartition(
        TP("notices", 0),
        one,
        cast("Any", log),
        "changelog",
        {key: value for key, value in log.known.items() if value is not None},
        log.position,
        may_send=lambda _tp: True,
        tell_group=lambda _tp, _offset: asyncio.sleep(0),
        executor=executor,
    )


def take(one: NotifyPartition, *names: str) -> None:
    """Have each of them told of an order of its own."""
    records = [
        Record("notices", 0, n, 0, None, encode(notice(_TO[name], alert(decision(f"O-{n}")))), ())
        for n, name in enumerate(names)
    ]
    one.take(records)
    one.finish(len(records), 0)


def run(story: Callable[[ThreadPoolExecutor], Coroutine[Any, Any, None]]) -> None:
    async def in_time() -> None:
        with ThreadPoolExecutor(4) as executor:
            await asyncio.wait_for(story(executor), 30)

    asyncio.run(in_time())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  what is waited for happens in a thread
        await asyncio.sleep(0.01)


def test_a_slow_way_keeps_nothing_on_another_waiting() -> None:
    quick, slow = Chat(), Chat(is_open=False)

    async def story(executor: ThreadPoolExecutor) -> None:
        log = Log()
        one = partition(office({"quick": quick, "slow": slow}), log, executor)
        take(one, "slow", "quick", "slow", "quick")
        commit = asyncio.create_task(one.commit())
        await until(lambda: quick.given == ["O-1", "O-3"])
        assert slow.given == []
        assert log.position == 0  # the slow one is still to be settled
        slow.open.set()
        await commit
        assert slow.given == ["O-0", "O-2"]
        assert log.position == 4
        assert {one.mark for one in log.known.values() if one is not None} == {""}

    run(story)


def test_what_is_leaving_does_not_leave_again_where_the_partition_is_opened_anew() -> None:
    """The transactions of the first are fenced while its message is with the carrier."""
    chat = Chat(is_open=False)

    async def story(executor: ThreadPoolExecutor) -> None:
        log, log_of_successor, shared = Log(), Log(), office({"quick": chat})
        first = partition(shared, log, executor)
        take(first, "quick")
        commit = asyncio.create_task(first.commit())
        await until(chat.reached.is_set)
        log.fenced = True
        log_of_successor.known = dict(log.known)
        second = partition(shared, log_of_successor, executor)
        take(second, "quick")
        await second.commit()
        assert chat.given == []
        chat.open.set()
        (failed,) = await asyncio.gather(commit, return_exceptions=True)
        assert isinstance(failed, FencedError)
        while log_of_successor.position < 1:
            await second.commit()
            await asyncio.sleep(0.05)
        assert chat.given == ["O-0"]
        known = log_of_successor.known[_KEY]
        assert known is not None
        assert (known.mark, known.result) == ("", "sent")

    run(story)


def test_what_another_process_was_letting_leave_is_uncertain() -> None:
    chat = Chat()

    async def story(executor: ThreadPoolExecutor) -> None:
        log = Log()
        log.known = {_KEY: Known(0, 99_999, "elsewhere-1")}
        one = partition(office({"quick": chat}), log, executor)
        take(one, "quick", "quick")
        await one.commit()
        known = log.known[_KEY]
        assert known is not None
        assert known.result == "uncertain"
        assert chat.given == ["O-1"]

    run(story)


def test_who_is_away_is_tried_again_and_nothing_is_said_of_it_meanwhile() -> None:
    chat = Chat()
    chat.away = 1

    async def story(executor: ThreadPoolExecutor) -> None:
        log = Log()
        one = partition(office({"quick": chat}), log, executor)
        take(one, "quick")
        await one.commit()
        assert (one.away, log.position, log.known[_KEY]) == (["to quick"], 0, None)
        assert (one.waiting, one.overdue) == ({"chat": 1}, {"chat": AT})
        one._away.clear()
        await one.commit()
        assert (chat.given, one.away, log.position) == (["O-0"], [], 1)

    run(story)


def test_a_commit_that_ends_while_the_partition_is_closed_is_no_trouble() -> None:
    small = cast("Any", SimpleNamespace(carriers=dict, trade=Letters, now=lambda: Now(0, 0)))

    async def story(executor: ThreadPoolExecutor) -> None:
        one = partition(small, Log(), executor)
        one._work = asyncio.create_task(asyncio.sleep(0.01))
        await asyncio.gather(one.commit(), one.close())

    run(story)
