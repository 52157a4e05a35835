"""What stands in for the modules `time`, `threading` and `queue` where the product runs in a
simulated world. Threads are switched only where they wait.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from simulation.world import EPOCH, Pulse, World


class Time:
    """The module `time`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sleep = world.sleep

    def time(self) -> float:
        return EPOCH + self._world.now

    def monotonic(self) -> float:
        return 1_000.0 + self._world.now

    perf_counter = monotonic


class Threading:
    """The module `threading`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def Thread(self, **what: Any) -> _Thread:  # noqa: N802  as the module has it
        return _Thread(self._world, what["target"])

    def Event(self) -> _Event:  # noqa: N802
        return _Event(self._world)

    def Condition(self) -> _Condition:  # noqa: N802
        return _Condition(self._world)


class _Thread:
    def __init__(self, world: World, target: Callable[[], object]) -> None:
        self._world = world
        self._target = target
        self._ended = _Event(world)

    def start(self) -> None:
        process = self._world.current
        assert process is not None
        self._world.spawn(process, self._run)

    def join(self) -> None:
        self._ended.wait()

    def _run(self) -> None:
        self._target()
        self._ended.set()


class _Event:
    def __init__(self, world: World) -> None:
        self._pulse = Pulse(world)
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._pulse.give()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            self._pulse.wait(timeout)
        return self._is_set


class _Condition:
    """Nobody else runs between two waits, so its lock has nothing to do."""

    def __init__(self, world: World) -> None:
        self._pulse = Pulse(world)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def notify_all(self) -> None:
        self._pulse.give()

    def wait_for(self, holds: Callable[[], Any]) -> None:
        while not holds():
            self._pulse.wait()


class Queues:
    """The module `queue`."""

    Empty = queue.Empty

    def __init__(self, world: World) -> None:
        self._world = world

    def SimpleQueue(self) -> _SimpleQueue:  # noqa: N802
        return _SimpleQueue(self._world)


class _SimpleQueue:
    def __init__(self, world: World) -> None:
        self._pulse = Pulse(world)
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._pulse.give()

    def get_nowait(self) -> Any:
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def get(self, timeout: float) -> Any:
        if not self._items:
            self._pulse.wait(timeout)
        return self.get_nowait()
