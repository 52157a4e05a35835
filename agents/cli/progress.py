"""How far long work is: a bar on a terminal, nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

_STEPS_SHOWN = 500
"""A bar that moves with every record would cost more than the record."""


class Stages:
    """One bar per stage of the work, on stderr."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def track(self, name: str, total: int) -> Callable[[int], None]:
        """Begin a stage of so many steps; what it returns is told how many more are done."""
        stage: TaskID = self._progress.add_task(name, total=total)
        done = shown = 0

        def advance(steps: int) -> None:
            nonlocal done, shown
            done += steps
            if done - shown >= _STEPS_SHOWN or done >= total:
                shown = done
                self._progress.update(stage, completed=done)

        return advance
