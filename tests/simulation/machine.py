"""A machine with a worker on it: the product's intake and credit agents in one process, which can
be started, stopped and killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from simulation.loop import Loop
from simulation.plant import Plant
from simulation.world import Process

from agents.core.policy import PolicyBook
from agents.credit.agent import credit
from agents.intake.agent import intake
from schemas.catalogue import CREDIT_CHANGELOG, TOPICS, credit_changelog
from streams.app import Member, Wiring
from streams.codec import Codec
from streams.metrics import Metrics
from streams.settings import Settings

APP_ID = "headroom"
_MAY_END = "Lane._revoked failed: TimeoutError()"
"""A worker that cannot commit before the group shares out anew, for as long as it has, ends itself:
its supervisor starts another, which goes on from what is committed.
"""
_STOP_SECONDS = 10.0
"""A third of what a worker has to stop, as all limits of time are here."""
CHANGELOG = credit_changelog(APP_ID)


def topics() -> list[str]:
    """All that there are, the changelog by its own name."""
    return [CHANGELOG if name == CREDIT_CHANGELOG else name for name in TOPICS]


class Machine:
    """One worker and its disk."""

    def __init__(
        self, plant: Plant, name: str, codec: Codec, policy: PolicyBook, **settings: Any
    ) -> None:
        self.name = name
        self.plant = plant
        self.process: Process | None = None
        self.ends: list[str] = []
        """Why its processes ended by themselves."""
        self.complaints: list[str] = []
        self._codec = codec
        self._policy = policy
        self._settings = Settings(
            kafka_bootstrap="memory:9092",
            app_id=APP_ID,
            worker_name=name,
            clock="replayed",
            session_timeout_seconds=6,
            **settings,
        )
        self.back_after: Callable[[], float] = lambda: 1.0
        """How long its supervisor takes to start another process when one has ended."""
        self._is_retired = False
        self._loop: Loop | None = None
        self._members: list[Member] = []

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.alive

    def start(self) -> None:
        if self.runs or self._is_retired:
            return
        self._collect()
        self.process = process = self.plant.process(self.name)
        self._loop = loop = Loop(self.plant.world, process)
        process.at_end.append(self._come_back)
        self.plant.world.at(0, lambda: loop.create_task(self._main()), process)

    def retire(self) -> None:
        """Kill it, and start nothing here any more."""
        self.kill()
        self._is_retired = True

    def _come_back(self) -> None:
        self.plant.world.at(self.back_after(), self.start)

    def kill(self) -> None:
        if self.process is not None:
            self.plant.world.kill(self.process)

    def stop(self) -> None:
        """As SIGTERM does."""
        if self.runs:
            assert self._loop is not None
            loop = self._loop
            self.plant.world.at(0, lambda: loop.create_task(self._end()), self.process)

    def lose_power(self, batches: int) -> None:
        """The last that was written is not on disk."""
        self.kill()
        for path in self.plant.disks.of(self.name):
            self.plant.disks.directories[path].lose(batches)

    def lose_disk(self) -> None:
        self.kill()
        for path in self.plant.disks.of(self.name):
            self.plant.disks.remove(path)

    def _collect(self) -> None:
        if self.process is not None:
            why = self.process.ended_because
            if why is not None and why != _MAY_END:
                self.ends.append(why)
        if self._loop is not None:
            self.complaints += self._loop.complaints
        self.process = self._loop = None

    def report(self) -> list[str]:
        """All that went wrong here so far."""
        if not self.runs:
            self._collect()
        more = [] if self._loop is None else self._loop.complaints
        return [f"{self.name}: {what}" for what in (*self.ends, *self.complaints, *more)]

    async def _main(self) -> None:
        wiring = Wiring(self._settings, Metrics(), self.plant.brokers.facts(topics()))
        self._members = [intake(wiring, self._codec), credit(wiring, self._codec, self._policy)]
        for member in self._members:
            member.app.start()  # type: ignore[unused-coroutine]

    async def _end(self) -> None:
        """As `agents.worker` does it: what does not end in time is ended."""
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(self._end_one(member) for member in self._members))
        except TimeoutError:
            pass
        else:
            assert self._loop is not None
            for member in self._members:
                await self._loop.run_in_executor(None, member.close)
        self.kill()

    async def _end_one(self, member: Member) -> None:
        await member.stop()
        await member.leave()
        member.app.stop()  # type: ignore[unused-coroutine]
