"""A member of a consumer group: what aiokafka's consumer is to the product, without its fetching.

The product's own `Membership` and `CommitOffset` use it as they use aiokafka's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka import errors
from confluent_kafka import KafkaException
from faust.types import TP
from simulation.group import Group
from simulation.network import Network

_HEARTBEAT_SECONDS = 0.15
_ASK_AGAIN_SECONDS = 0.02

Hear = Callable[[set[TP]], Awaitable[object]]


class Coordinator:
    """The member's side of the group's protocol.

    Args:
        revoked: hears what it had, before it joins anew; the group waits for it.
        assigned: hears what it got.
    """

    def __init__(
        self,
        network: Network,
        group: Group,
        assignor: Any,
        topics: Any,
        session_seconds: float,
        revoked: Hear,
        assigned: Hear,
    ) -> None:
        self.group_id = group.name
        self.generation = -1
        self.member_id = ""
        self._network = network
        self._group = group
        self._assignor = assignor
        self._topics = topics
        self._session_seconds = session_seconds
        self._revoked = revoked
        self._assigned = assigned
        self._has: set[TP] = set()
        self._rejoin = asyncio.Event()
        self._joining = False
        self._closed = False

    async def run(self) -> None:
        """Join, and again whenever the group shares out anew."""
        beating = asyncio.create_task(self._beat())
        while not self._closed:
            self._rejoin.clear()
            await self._join()
            await self._rejoin.wait()
        beating.cancel()

    def request_rejoin(self) -> None:
        self._rejoin.set()

    async def close(self) -> None:
        """Say good-bye."""
        self._closed = True
        self._rejoin.set()
        member_id = self.member_id
        await self.call("leave", lambda: self._group.leave(member_id))
        self._reset()

    async def commit(self, offsets: Mapping[Any, Any]) -> None:
        """Raises `CommitFailedError` for one that is no member of the generation any more."""
        member_id, generation = self.member_id, self.generation
        places = {(place.topic, place.partition): one.offset for place, one in offsets.items()}
        error = await self.call(
            "group commit", lambda: self._group.commit(member_id, generation, places)
        )
        if error is not errors.NoError:
            raise errors.CommitFailedError

    async def _send_req(self, heartbeat: Any) -> Any:
        """A heartbeat of the product's own."""
        member_id, generation = heartbeat._member_id, heartbeat._generation_id
        error = await self.call("heartbeat", lambda: self._group.heartbeat(member_id, generation))
        return SimpleNamespace(error_code=error.errno)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _join(self) -> None:
        await self._revoked(self._has)
        self._has = set()
        self._joining = True
        assignment: Any = None
        while assignment is None and not self._closed:
            claim = self._assignor.metadata(self._topics)
            self.member_id = await self.call("join", self._request(claim))
            self.generation, assignment = await self._outcome(self.member_id)
        self._joining = False
        if self._closed:
            return
        self._assignor.on_assignment(assignment)
        self._has = {TP(t, p) for t, partitions in assignment.assignment for p in partitions}
        await self._assigned(self._has)

    def _request(self, claim: Any) -> Callable[[], str]:
        member_id = self.member_id
        return lambda: self._group.join(member_id, self._assignor, claim, self._session_seconds)

    async def _outcome(self, member_id: str) -> tuple[int, Any]:
        """What comes of joining, once all have."""
        while True:
            answer = await self.call("sync", lambda: self._group.assignment(member_id))
            if answer is not None:
                return answer  # type: ignore[no-any-return]  # the group's own
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            if self._joining or self.generation < 0:
                continue
            member_id, generation = self.member_id, self.generation
            error = await self.call(
                "heartbeat",
                lambda m=member_id, g=generation: self._group.heartbeat(m, g),  # type: ignore[misc]
            )
            if generation != self.generation or error is errors.NoError:
                continue
            if error is not errors.RebalanceInProgressError:
                self._reset()
            self._rejoin.set()

    def _reset(self) -> None:
        self.generation = -1
        self.member_id = ""

    async def call(self, name: str, request: Callable[[], Any]) -> Any:
        """Ask the group, however long it takes."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def deliver(answer: object, error: KafkaException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        self._network.send(name, request, deliver)
        return await future
