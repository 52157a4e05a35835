"""Events of a topic as server-sent events, live and from where a client left off.

An event's id is a cursor: how far the client has come in each partition. A client that comes back
with it (`Last-Event-ID`) gets what it missed from the topic, then goes on live, on any gateway.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from agents.gateway.problems import malformed
from schemas.events import Event
from schemas.json_lines import to_line
from schemas.money import UnknownCurrencyError
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.follow import Follower, follow_on
from streams.kafka_client import Complaint
from streams.record import Record

_LISTEN_SECONDS = 0.2
_WAITING_MAX = 1_000
"""Events that may wait for a client; one that is slower is let go, and comes back for the rest."""
_ALIVE_SECONDS = 15.0
_CURSOR = re.compile(r"[0-9]{1,5}:[0-9]{1,19}(,[0-9]{1,5}:[0-9]{1,19})*", re.ASCII)

Wanted = Callable[[Event], bool]


class _Item(NamedTuple):
    partition: int
    offset: int
    event: Event


class Feed:
    """Follows one topic, for any number of clients of one event loop.

    Args:
        config: of the client.
        topic: whose events they are.
        codec: decodes them.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, codec: Codec) -> None:
        self._config = config
        self._topic = topic
        self._decode = codec.decode
        self._loop = asyncio.get_running_loop()
        self._clients: set[asyncio.Queue[_Item | None]] = set()
        self._position: dict[int, int] = {}
        """The offset behind the last event that was handed out, by partition."""
        self._up = asyncio.Event()
        self._next: dict[int, int] | None = None
        """The thread's: the offset behind the last event that was read, by partition."""
        self._stopping = False
        self._complain = Complaint()
        self._history = asyncio.Semaphore(4)
        self._thread = threading.Thread(target=self._run, name=f"feed {topic}", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    async def stream(self, cursor: str | None, wanted: Wanted) -> AsyncIterator[bytes]:
        """What is sent to a client, until it goes away or is too slow.

        Args:
            cursor: where it left off; None: what comes from now on.
            wanted: which events it wants to have.

        Raises `Problem` 400, before anything else, for a cursor that is none.
        """
        left_off = None if cursor is None else parse_cursor(cursor)
        queue: asyncio.Queue[_Item | None] = asyncio.Queue(_WAITING_MAX + 1)
        self._clients.add(queue)
        try:
            await self._up.wait()
            position = dict(self._position)
            yield b"retry: 2000\n\n"
            if left_off is not None:
                position |= left_off
                for item in await self._missed(position):
                    position[item.partition] = item.offset + 1
                    if wanted(item.event):
                        yield _frame(item.event, position)
            while True:
                try:
                    next_item = await asyncio.wait_for(queue.get(), _ALIVE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if next_item is None:
                    return
                if next_item.offset < position.get(next_item.partition, 0):
                    continue  # it was among what was missed
                position[next_item.partition] = next_item.offset + 1
                if wanted(next_item.event):
                    yield _frame(next_item.event, position)
        finally:
            self._clients.discard(queue)

    def close(self) -> None:
        """Let all clients go."""
        self._stopping = True
        self._thread.join()
        for queue in list(self._clients):
            _let_go(queue)

    async def _missed(self, position: Mapping[int, int]) -> list[_Item]:
        async with self._history:
            return await asyncio.to_thread(self._read_from, position)

    def _read_from(self, position: Mapping[int, int]) -> list[_Item]:
        follower = Follower(self._config, [self._topic], begin=position)
        found: list[_Item] = []
        try:
            while not follower.has_read_what_was_there:
                found += self._items(follower.read(_LISTEN_SECONDS))
        finally:
            follower.close()
        return found

    def _items(self, records: Any) -> list[_Item]:
        return [
            _Item(record.partition, record.offset, event)
            for record in records
            if (event := self._event(record)) is not None
        ]

    def _event(self, record: Record) -> Event | None:
        try:
            return self._decode(record.value)
        except InvalidMessage as error:
            self._complain("%s-%s@%s: %s", *record[:3], error.reason)
            return None

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        follow_on(self._follow, self._topic, lambda: self._stopping)

    def _follow(self) -> None:
        follower = Follower(self._config, [self._topic], begin=self._next)
        if self._next is None:
            self._next = follower.ends
            self._loop.call_soon_threadsafe(self._begin, dict(self._next))
        try:
            while not self._stopping:
                items = self._items(follower.read(_LISTEN_SECONDS))
                if items:
                    self._next |= {item.partition: item.offset + 1 for item in items}
                    self._loop.call_soon_threadsafe(self._hand_out, items)
        finally:
            follower.close()

    def _begin(self, position: dict[int, int]) -> None:
        self._position = position
        self._up.set()

    def _hand_out(self, items: list[_Item]) -> None:
        self._position |= {item.partition: item.offset + 1 for item in items}
        for queue in list(self._clients):
            if queue.qsize() + len(items) > _WAITING_MAX:
                _let_go(queue)
                self._clients.discard(queue)
                continue
            for item in items:
                queue.put_nowait(item)


def parse_cursor(text: str) -> dict[int, int]:
    """How far a client has come: the offset that follows, by partition. Raises `Problem` 400."""
    if not _CURSOR.fullmatch(text):
        raise malformed("Last-Event-ID is none of ours")
    return {int(n): int(at) for n, _, at in (one.partition(":") for one in text.split(","))}


def _let_go(queue: asyncio.Queue[_Item | None]) -> None:
    while queue.full():
        queue.get_nowait()
    queue.put_nowait(None)


def _frame(event: Event, position: Mapping[int, int]) -> bytes:
    cursor = ",".join(f"{partition}:{at}" for partition, at in sorted(position.items()))
    try:
        line = to_line(event)
    except UnknownCurrencyError:
        return f"id: {cursor}\n: an event in a currency that is not known\n\n".encode()
    return f"id: {cursor}\nevent: {type(event).__name__}\ndata: {line}\n\n".encode()
