"""What stands in for a Faust App: its stream, its signals, and its place in a consumer group.

Faust's own part is small by intention (docs/decisions/0003-faust-with-a-fast-lane.md): it hands
over what the transport's `getmany`, which is the product's, yields, throws away what waits when
partitions are shared out anew, and says so by two signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, NamedTuple

from faust.types import TP
from simulation.group import Group
from simulation.membership import Coordinator
from simulation.network import Network

from streams.fast_lane.assignment import Assignor
from streams.fast_lane.fetch import Fetch
from streams.fast_lane.transport import BatchConsumer, BatchTransport

_PATIENCE_SECONDS = 1.0

Hear = Callable[..., Awaitable[object]]
Agent = Callable[[Any], Coroutine[Any, Any, None]]


class _Signal:
    def __init__(self) -> None:
        self._hearers: list[Hear] = []

    def connect(self, hear: Hear) -> None:
        self._hearers.append(hear)

    async def send(self, app: App, places: set[TP]) -> None:
        for hear in self._hearers:
            await hear(app, places)


class _Event(NamedTuple):
    value: Any
    message: Any


class _Stream:
    def __init__(self) -> None:
        self.waiting: asyncio.Queue[_Event] = asyncio.Queue()

    async def events(self) -> AsyncIterator[_Event]:
        while True:
            yield await self.waiting.get()


class App:
    """One agent's App in one process."""

    def __init__(
        self,
        app_id: str,
        network: Network,
        group: Group,
        fetch: Fetch,
        assignor: Assignor,
        session_seconds: float,
    ) -> None:
        self.conf = SimpleNamespace(id=app_id)
        self.consumer_generation_id = -1
        self.on_partitions_assigned = _Signal()
        self.on_partitions_revoked = _Signal()
        self.transport = object.__new__(BatchTransport)
        self.transport.fetch = fetch
        self.transport.assignor = assignor
        self._network = network
        self._group = group
        self._session_seconds = session_seconds
        self._topics: tuple[str, ...] = ()
        self._agent: Agent | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stream = _Stream()
        self.consumer: Any = SimpleNamespace(
            app=self,
            transport=self.transport,
            flow_active=False,
            should_stop=False,
            _read_offset={},
        )

    # ── what an agent asks of it ────────────────────────────────────────────────────────────────

    def topic(self, *topics: str, **_how: Any) -> tuple[str, ...]:
        return topics

    def agent(self, topics: tuple[str, ...], *, name: str) -> Callable[[Agent], Agent]:
        del name
        self._topics = topics

        def register(agent: Agent) -> Agent:
            self._agent = agent
            return agent

        return register

    # ── running ─────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Called on the loop of the process."""
        loop = asyncio.get_running_loop()
        coordinator = Coordinator(
            self._network,
            self._group,
            self.transport.assignor,
            self._topics,
            self._session_seconds,
            self._revoked,
            self._assigned,
        )
        self._coordinator = coordinator
        client = SimpleNamespace(_coordinator=coordinator, commit=coordinator.commit)

        async def call_thread(what: Callable[..., Awaitable[Any]], *args: Any) -> Any:
            return await what(*args)

        self.consumer._thread = SimpleNamespace(
            thread_loop=loop, call_thread=call_thread, _ensure_consumer=lambda: client
        )
        assert self._agent is not None
        for part in (self._agent(self._stream), self._pump(), coordinator.run()):
            self._tasks.append(asyncio.create_task(part))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _pump(self) -> None:
        read = self.consumer._read_offset
        while True:
            async for tp, message in BatchConsumer.getmany(self.consumer, _PATIENCE_SECONDS):
                if message.offset >= read.get(tp, -1):
                    read[tp] = message.offset
                    self._stream.waiting.put_nowait(_Event(message.value, message))
            await asyncio.sleep(0)

    async def _revoked(self, had: set[TP]) -> None:
        self.consumer.flow_active = False
        self._throw_away()
        await self.on_partitions_revoked.send(self, had)

    async def _assigned(self, got: set[TP]) -> None:
        self._throw_away()
        self.consumer_generation_id = self._coordinator.generation
        await self.on_partitions_assigned.send(self, got)
        self.consumer.flow_active = True

    def _throw_away(self) -> None:
        while not self._stream.waiting.empty():
            self._stream.waiting.get_nowait()
