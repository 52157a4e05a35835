"""A worker's place in its consumer group: whether it still has one, giving it up, asking for
another round.

aiokafka keeps the membership, in a thread of its own; what is done here runs there.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiokafka import errors
from aiokafka.protocol.group import HeartbeatRequest

from streams.fast_lane.transport import consumer_of

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_ANSWER_SECONDS = 2.0
_GOOD_FOR_SECONDS = 0.5
"""An answer counts this long: nobody is given what we have before our session is over, which lasts
six seconds at least.
"""
_LEAVE_SECONDS = 5.0


class Standing(enum.Enum):
    """What the group says of this worker."""

    MEMBER = enum.auto()
    REPLACED = enum.auto()
    """It has been given up: its partitions may be others' by now."""
    UNKNOWN = enum.auto()
    """Nobody answered, or the group is just sharing out anew."""


class Membership:
    """The worker's place in the group of one Faust App. The methods belong to the App's loop."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._confirmed: tuple[int, float] = (-1, 0.0)

    async def ask(self, generation: int) -> Standing:
        """Ask the group whether this worker is a member of that generation."""
        confirmed, at = self._confirmed
        if confirmed == generation and time.monotonic() - at < _GOOD_FOR_SECONDS:
            return Standing.MEMBER
        asked = time.monotonic()
        standing = await self._in_its_thread(_heartbeat(self._coordinator, generation))
        if standing is Standing.MEMBER:
            self._confirmed = (generation, asked)
        return standing

    def is_current(self, generation: int) -> bool:
        """Whether this worker thinks so itself: it may not have heard yet that it is not."""
        return bool(self._coordinator.generation == generation)

    async def leave(self) -> None:
        """Give the place up at once, so that the others need not wait for the session to end.

        A static member keeps its place when it stops, as aiokafka has it: it is expected back.
        """
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._in_its_thread(_leave(self._coordinator))
        except TimeoutError:
            logger.warning(
                "%s: the group does not answer; the others take over when this"
                " worker's session has ended",
                self._app.conf.id,
            )

    def ask_for_a_round(self) -> None:
        """Have the partitions shared out anew. May be called from any thread."""
        thread = self._app.consumer._thread  # noqa: SLF001
        thread.thread_loop.call_soon_threadsafe(self._coordinator.request_rejoin)

    @property
    def _coordinator(self) -> Any:
        return consumer_of(self._app)._coordinator  # noqa: SLF001

    async def _in_its_thread(self, what: Coroutine[Any, Any, _Result]) -> _Result:
        loop = self._app.consumer._thread.thread_loop  # noqa: SLF001
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(what, loop))


async def _heartbeat(coordinator: Any, generation: int) -> Standing:
    if coordinator.generation != generation:
        return Standing.REPLACED
    request = HeartbeatRequest(coordinator.group_id, generation, coordinator.member_id)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await coordinator._send_req(request)  # noqa: SLF001
    except (errors.KafkaError, TimeoutError):
        return Standing.UNKNOWN
    error = errors.for_code(answer.error_code)
    if error is errors.NoError:
        return Standing.MEMBER
    return Standing.REPLACED if issubclass(error, _NO_MEMBER) else Standing.UNKNOWN


async def _leave(coordinator: Any) -> None:
    # Closing does all that is needed, and says good-bye for a member without a name of its own.
    coordinator._group_instance_id = None  # noqa: SLF001
    await coordinator.close()


_NO_MEMBER = (errors.UnknownMemberIdError, errors.IllegalGenerationError)
