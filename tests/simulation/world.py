"""The simulated world: one virtual clock, one seeded source of chance, processes with threads that
can be frozen and killed.

Everything that happens is an entry in one agenda, run by one real thread. A simulated thread is a
greenlet: it runs until it waits, so with one seed all threads of all processes interleave in one
and the same way. What happens "at once" happens up to a few microseconds later, in an order that
chance decides.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

EPOCH = 1_772_000_000.0
"""What the wall clock shows when a world begins."""
_AT_ONCE_SECONDS = 20e-6
_LATENCY_SECONDS = (0.0002, 0.004)
_SLOW_SECONDS = 0.3
"""One journey over the network in fifty takes up to this long."""


class Gone(BaseException):
    """The process to which this thread belongs has ended."""


class NothingHappensError(AssertionError):
    """Everybody waits, and nothing will ever happen."""


class Process:
    """A worker's process, or that of a test."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.cut_until = 0.0
        """No packet passes between it and the brokers before that time."""
        self.ended_because: str | None = None
        """Why it ended by itself."""
        self.parked: list[Entry] = []
        self.threads: list[Any] = []
        self.at_end: list[Callable[[], None]] = []
        self.remains: list[Callable[[], None]] = []
        """What clears away what is left of it, when it has ended."""


class Entry:
    """Something that is to happen. A process that is gone or frozen does nothing."""

    __slots__ = ("process", "what")

    def __init__(self, process: Process | None, what: Callable[[], object]) -> None:
        self.process = process
        self.what: Callable[[], object] | None = what

    def cancel(self) -> None:
        self.what = None


class World:
    """Agenda, clock and chance."""

    def __init__(self, seed: int | str) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.current: Process | None = None
        self.before_step: Callable[[Process], None] = lambda _process: None
        """Hears of every step of a process before it is taken; may kill it."""
        self._agenda: list[tuple[float, int, Entry]] = []
        self._number = count()
        self._unburied: list[Process] = []
        self._main = getcurrent()

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    def at(self, delay: float, what: Callable[[], object], process: Process | None = None) -> Entry:
        """Have something happen `delay` seconds from now, 0: at once."""
        entry = Entry(process, what)
        self._push(delay, entry)
        return entry

    def _push(self, delay: float, entry: Entry) -> None:
        at = self.now + (delay if delay > 0 else self.chance.random() * _AT_ONCE_SECONDS)
        heapq.heappush(self._agenda, (at, next(self._number), entry))

    def step(self) -> None:
        """Let the next thing happen. Raises `NothingHappensError` when there is none."""
        while self._agenda:
            at, _, entry = heapq.heappop(self._agenda)
            process = entry.process
            if entry.what is None or (process is not None and not process.alive):
                continue
            self.now = max(self.now, at)
            self.steps += 1
            if process is not None:
                if not process.frozen:
                    self.before_step(process)
                if not process.alive:
                    return
                if process.frozen:
                    process.parked.append(entry)
                    continue
            self.current = process
            with contextlib.suppress(Gone):
                entry.what()
            self.current = None
            return
        raise NothingHappensError

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Let things happen until `until` holds; whether it did within `seconds`."""
        deadline = self.now + seconds
        while not until():
            if self.now > deadline:
                return False
            self.step()
        return True

    def latency(self) -> float:
        """How long a packet travels."""
        low, high = _LATENCY_SECONDS
        seconds = low + (high - low) * self.chance.random() ** 3
        return self.chance.random() * _SLOW_SECONDS if self.chance.random() < 0.02 else seconds

    # ── threads ─────────────────────────────────────────────────────────────────────────────────

    def spawn(self, process: Process, run: Callable[[], object]) -> Any:
        """Start a thread of a process."""

        def body() -> None:
            with contextlib.suppress(Gone):
                run()

        thread = greenlet(body, parent=self._main)
        process.threads = [one for one in process.threads if not one.dead]
        process.threads.append(thread)
        self.at(0, lambda: self._switch(thread), process)
        return thread

    def _switch(self, thread: Any) -> None:
        if not thread.dead:
            thread.switch()

    def suspend(
        self, register: Callable[[Callable[[], None]], object], seconds: float | None
    ) -> bool:
        """Stop the thread that calls until what `register` was given is called; whether it was
        within `seconds`.
        """
        thread, process = getcurrent(), self.current
        self.still_alive(process)
        woken: list[bool] = []
        timer: Entry | None = None

        def resume(by_call: bool) -> None:
            if woken:
                return
            woken.append(by_call)
            if timer is not None:
                timer.cancel()
            if thread is not self._main:
                self.at(0, lambda: self._switch(thread), process)

        if seconds is not None:
            timer = self.at(seconds, lambda: resume(False), process)
        register(lambda: resume(True))
        if thread is self._main:
            while not woken:
                self.step()
        else:
            self._main.switch()
            self.still_alive(process)
        return woken[0]

    def still_alive(self, process: Process | None) -> None:
        """Raise `Gone` in a thread whose process is no more."""
        if process is not None and not process.alive:
            raise Gone

    def sleep(self, seconds: float) -> None:
        self.suspend(lambda _wake: None, seconds)

    # ── processes ───────────────────────────────────────────────────────────────────────────────

    def kill(self, process: Process) -> None:
        """End a process there and then: nothing of it runs any more."""
        if not process.alive:
            return
        process.alive = False
        process.parked.clear()
        for hear in process.at_end:
            hear()
        self._unburied.append(process)
        self.at(0, self.bury)

    def bury(self) -> None:
        """Unwind what the dead were at, which can do nothing any more: else the collector would, at
        any time, in the midst of something else.
        """
        dead, self._unburied = self._unburied, []
        for process in dead:
            for thread in process.threads:
                self.current = process
                while not thread.dead:
                    with contextlib.suppress(Gone):  # from one that had not begun
                        thread.throw(Gone)
            for clear_away in process.remains:
                self.current = process
                clear_away()
            process.threads.clear()
            process.remains.clear()
            self.current = None

    def freeze(self, process: Process) -> None:
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """It goes on as if no time had passed; what is due happens at once."""
        process.frozen = False
        parked, process.parked = process.parked, []
        for entry in parked:
            self._push(0, entry)


class Pulse:
    """Wakes the threads that wait for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[Callable[[], None]] = []

    def wait(self, seconds: float | None = None) -> bool:
        """Whether the pulse was given within `seconds`."""
        return self._world.suspend(self._waiting.append, seconds)

    def give(self) -> None:
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()
