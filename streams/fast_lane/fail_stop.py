"""Stopping at once when something is wrong that no rule foresees.

Faust acknowledges a record whose agent raised, and a worker that goes on after an error that it
does not understand may skip an event or store a state that nobody can trust. So the process ends
there and then, and the supervisor starts it anew: everything since the last commit is done again,
with the same result.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

from streams.logs import shown

logger = logging.getLogger(__name__)

EXIT_CODE = 70
"""EX_SOFTWARE of sysexits: restart me."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def stop_the_process(why: str, error: BaseException | None = None) -> NoReturn:
    """Log why and end the process without any clean-up: nothing more is written, committed or
    answered.
    """
    logger.critical("worker stops: %s", why, exc_info=error)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def fail_stop(
    agent: Callable[_Parameters, Coroutine[Any, Any, _Result]],
) -> Callable[_Parameters, Coroutine[Any, Any, _Result]]:
    """An agent, or another task of the worker, from which no exception leaves: it stops the
    process.
    """

    @functools.wraps(agent)
    async def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return await agent(*args, **kwargs)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the point of this function
            stop_the_process(f"{agent.__qualname__} failed: {shown(error)}", error)

    return guarded
