"""The event loop of a simulated process: asyncio's own tasks and futures, on the world's clock.

Callbacks run in the order in which they were scheduled, as in asyncio, one per entry of the agenda,
so that other threads and processes come in between. What would run in another thread is a thread of
the world.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import warnings
import weakref
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from simulation.world import Gone, Process, World


class Loop:
    """The loop of one process: of `asyncio.AbstractEventLoop` what is used."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._self: Any = self
        """For asyncio's types, which know its own loops only."""
        self._tasks: list[weakref.ref[asyncio.Task[Any]]] = []
        process.remains.append(self._close_tasks)
        self._ready: deque[asyncio.Handle] = deque()
        self._scheduled = False
        self.complaints: list[str] = []
        """What went wrong and nobody caught."""

    def time(self) -> float:
        return self._world.now

    def is_running(self) -> bool:
        return self._process.alive

    def is_closed(self) -> bool:
        return not self._process.alive

    def get_debug(self) -> bool:
        return False

    # ── callbacks ───────────────────────────────────────────────────────────────────────────────

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._self, context)
        self._ready.append(handle)
        self._schedule()
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self._self, context)

        def due() -> None:
            if not handle.cancelled():
                self._ready.append(handle)
                self._schedule()

        self._world.at(delay, due, self._process)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when it is due."""

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._world.at(0, self._run_one, self._process)

    def _run_one(self) -> None:
        self._scheduled = False
        handle = self._ready.popleft()
        if self._ready:
            self._schedule()
        if handle.cancelled():
            return
        events._set_running_loop(self._self)
        try:
            handle._run()
        finally:
            events._set_running_loop(None)

    # ── tasks, futures, threads ─────────────────────────────────────────────────────────────────

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._self, name=name, context=context)
        self._tasks.append(weakref.ref(task))
        return task

    def _close_tasks(self) -> None:
        """The process is gone; nothing of them runs any more."""
        for reference in self._tasks:
            task = reference()
            if task is not None and not task.done():
                with contextlib.suppress(Gone, RuntimeError):
                    task.get_coro().close()
        with warnings.catch_warnings():
            # Some that had been asked for had not begun.
            warnings.simplefilter("ignore", RuntimeWarning)
            self._ready.clear()

    def run_in_executor(
        self, _executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def run() -> None:
            result, raised = None, None
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  handed on to who waits
                raised = error
            self.call_soon_threadsafe(settle, result, raised)

        self._world.spawn(self._process, run)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._process.alive:
            self.complaints.append(f"{context['message']}: {context.get('exception')!r}")
