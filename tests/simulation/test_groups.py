"""What the product relies on of consumer groups, asked of a real broker and of the one in memory:
who may commit, and what a sign of life is answered with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from confluent_kafka.admin import AdminClient
from simulation.brokers import Brokers
from simulation.group import Group
from simulation.world import World

from streams.topics import TopicSpec, apply

_SESSION_SECONDS = 6.0
_IT_HAS_JUST_STARTED = (errors.NotCoordinatorForGroupError, errors.GroupLoadInProgressError)


class InMemory:
    """A group of the simulation."""

    def __init__(self) -> None:
        self.world = World("groups")
        brokers = Brokers(self.world)
        brokers.make("topic", 1)
        self.group = Group(self.world, brokers, "group")
        self.sleep = self.world.sleep

    def member(self) -> Any:
        return _MemberInMemory(self)

    def close(self) -> None:
        pass


class _MemberInMemory:
    def __init__(self, cluster: InMemory) -> None:
        self._world, self._group = cluster.world, cluster.group
        self.id = ""
        self.generation = -1

    def begin_joining(self) -> None:
        nothing = SimpleNamespace(
            assign=lambda _cluster, claims: dict.fromkeys(claims, SimpleNamespace())
        )
        self.id = self._group.join(self.id, nothing, None, _SESSION_SECONDS)

    def join(self) -> None:
        self.generation, _ = self._world_says()

    def heartbeat(self, generation: int) -> Any:
        return self._group.heartbeat(self.id, generation)

    def commit(self, generation: int) -> Any:
        return self._group.commit(self.id, generation, {("topic", 0): 7})

    def leave(self) -> None:
        self._group.leave(self.id)

    def _world_says(self) -> tuple[int, Any]:
        while (answer := self._group.assignment(self.id)) is None:
            self._world.sleep(0.01)
        return answer


class Real:
    """A group of the session's broker, spoken to as aiokafka does."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.loop = asyncio.new_event_loop()
        self.topic = f"group{time.time_ns():x}"
        self._members: list[_RealMember] = []
        apply(AdminClient({"bootstrap.servers": bootstrap}), [TopicSpec(self.topic, 1, 1, {})])

    def sleep(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def member(self) -> Any:
        self._members.append(_RealMember(self))
        return self._members[-1]

    def close(self) -> None:
        for member in self._members:
            member.close()
        self.loop.close()


class _RealMember:
    """It has a connection of its own: a broker answers one request after the other."""

    def __init__(self, cluster: Real) -> None:
        self._loop, self._topic, self._group = cluster.loop, cluster.topic, cluster.topic
        self._client: Any = None
        self._bootstrap = cluster.bootstrap
        self._node = 0
        self._joining: asyncio.Task[None] | None = None
        self.id = ""
        self.generation = -1
        self._loop.run_until_complete(self._connect())

    def begin_joining(self) -> None:
        self._joining = self._loop.create_task(self._join())
        self._loop.run_until_complete(asyncio.sleep(0.5))

    def join(self) -> None:
        assert self._joining is not None
        self._loop.run_until_complete(asyncio.wait_for(self._joining, 30))

    def heartbeat(self, generation: int) -> Any:
        answer = self._ask(HeartbeatRequest(self._group, generation, self.id))
        return errors.for_code(answer.error_code)

    def commit(self, generation: int) -> Any:
        offsets = [(self._topic, [(0, 7, "")])]
        answer = self._ask(OffsetCommitRequest(self._group, generation, self.id, -1, offsets))
        return errors.for_code(answer.topics[0][1][0][1])

    def leave(self) -> None:
        self._ask(LeaveGroupRequest(self._group, self.id))

    def close(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
        self._loop.run_until_complete(self._client.close())

    async def _connect(self) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=self._bootstrap)
        await self._client.bootstrap()
        while True:
            try:
                self._node = await self._client.coordinator_lookup(
                    CoordinationType.GROUP, self._group
                )
            except errors.KafkaError:
                await asyncio.sleep(0.1)
            else:
                break
        await self._client.ready(self._node, group=ConnectionGroup.COORDINATION)

    async def _send(self, request: Any) -> Any:
        return await self._client.send(self._node, request, group=ConnectionGroup.COORDINATION)

    def _ask(self, request: Any) -> Any:
        return self._loop.run_until_complete(self._send(request))

    async def _join(self) -> None:
        session = int(_SESSION_SECONDS * 1000)
        while True:
            joined = await self._send(
                JoinGroupRequest(
                    self._group, session, 30_000, self.id, None, "consumer", [("any", b"")]
                )
            )
            error = errors.for_code(joined.error_code)
            if error is errors.MemberIdRequired:
                self.id = joined.member_id
                continue
            if error in _IT_HAS_JUST_STARTED:
                await asyncio.sleep(0.1)
                continue
            assert error is errors.NoError, error
            break
        self.id, self.generation = joined.member_id, joined.generation_id
        parts = [(member[0], b"") for member in joined.members]
        synced = await self._send(
            SyncGroupRequest(self._group, self.generation, self.id, None, parts)
        )
        assert errors.for_code(synced.error_code) is errors.NoError


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.connected)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    made: Any = InMemory() if request.param == "memory" else Real(request.getfixturevalue("kafka"))
    yield made
    made.close()


def joined(cluster: Any) -> Any:
    member = cluster.member()
    member.begin_joining()
    member.join()
    return member


def test_a_member_commits_in_its_generation_and_in_no_other(cluster: Any) -> None:
    member = joined(cluster)
    assert member.heartbeat(member.generation) is errors.NoError
    assert member.commit(member.generation) is errors.NoError
    for say in (member.heartbeat, member.commit):
        assert say(member.generation - 1) is errors.IllegalGenerationError


def test_a_newcomer_makes_the_others_join_again_who_may_commit_until_then(cluster: Any) -> None:
    first = joined(cluster)
    generation = first.generation
    second = cluster.member()
    second.begin_joining()
    assert first.heartbeat(generation) is errors.RebalanceInProgressError
    assert first.commit(generation) is errors.NoError
    first.begin_joining()
    first.join()
    second.join()
    assert first.generation == second.generation == generation + 1
    for say in (first.heartbeat, first.commit):
        assert say(generation) is errors.IllegalGenerationError
    assert first.commit(generation + 1) is errors.NoError


def test_who_leaves_is_known_no_more_and_the_others_share_out_anew(cluster: Any) -> None:
    first = joined(cluster)
    second = cluster.member()
    second.begin_joining()
    first.begin_joining()
    first.join()
    second.join()
    second.leave()
    assert first.heartbeat(first.generation) is errors.RebalanceInProgressError
    for say in (second.heartbeat, second.commit):
        assert say(second.generation) is errors.UnknownMemberIdError


@pytest.mark.slow
def test_who_is_silent_for_a_session_is_given_up(cluster: Any) -> None:
    first = joined(cluster)
    second = cluster.member()
    second.begin_joining()
    first.begin_joining()
    first.join()
    second.join()
    deadline = 3 * _SESSION_SECONDS
    while second.heartbeat(second.generation) is errors.NoError:
        cluster.sleep(0.5)
        deadline -= 0.5
        assert deadline > 0
    for say in (first.heartbeat, first.commit):
        assert say(first.generation) is errors.UnknownMemberIdError
