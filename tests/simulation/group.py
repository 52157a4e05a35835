"""Consumer groups as the brokers keep them: members, generations, sessions, offsets of members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from aiokafka import errors
from simulation.brokers import Brokers
from simulation.log import Place
from simulation.world import Entry, World

REBALANCE_SECONDS = 10.0
"""How long the others wait for a member that does not join."""


@dataclass
class _Member:
    assignor: Any
    claim: Any
    session_seconds: float
    joined: bool = True
    session: Entry | None = None


class Group:
    """One group. Its methods are requests, done at once."""

    def __init__(self, world: World, brokers: Brokers, name: str) -> None:
        self._world = world
        self._brokers = brokers
        self.name = name
        self.generation = 0
        self.members: dict[str, _Member] = {}
        self._sharing_out = False
        self._numbers = 0
        self._deadline: Entry | None = None
        self._assignments: dict[str, Any] = {}

    def join(self, member_id: str, assignor: Any, claim: Any, session_seconds: float) -> str:
        """A member wants to be part of the next generation; its id."""
        if member_id not in self.members:
            self._numbers += 1
            member_id = f"member-{self._numbers}"
            self.members[member_id] = _Member(assignor, claim, session_seconds)
        member = self.members[member_id]
        member.joined, member.claim = True, claim
        self._extend(member_id)
        if not self._sharing_out:
            self._share_out_anew()
            member.joined = True
        self._world.at(0.001, self._finish)
        return member_id

    def assignment(self, member_id: str) -> tuple[int, Any] | None:
        """The generation and what the member got in it: nothing in one that is not its own, when it
        has to join again. None while others are waited for.
        """
        member = self.members.get(member_id)
        if member is None or not member.joined:
            return -1, None
        self._extend(member_id)
        if self._sharing_out:
            return None
        return self.generation, self._assignments[member_id]

    def heartbeat(self, member_id: str, generation: int) -> Any:
        """What the group says to a sign of life."""
        if member_id not in self.members:
            return errors.UnknownMemberIdError
        self._extend(member_id)
        if generation != self.generation:
            return errors.IllegalGenerationError
        return errors.RebalanceInProgressError if self._sharing_out else errors.NoError

    def commit(self, member_id: str, generation: int, offsets: Mapping[Place, int]) -> Any:
        """Offsets of a member of this generation, which lasts until all have joined the next."""
        if member_id not in self.members:
            return errors.UnknownMemberIdError
        if generation != self.generation:
            return errors.IllegalGenerationError
        self._extend(member_id)
        self._brokers.commit_offsets(self.name, offsets)
        return errors.NoError

    def leave(self, member_id: str) -> None:
        member = self.members.pop(member_id, None)
        if member is None:
            return
        if member.session is not None:
            member.session.cancel()
        if self._sharing_out:
            self._finish()
        else:
            self._share_out_anew()
            self._finish()

    def share_out_anew(self) -> None:
        """For no reason that a member would know of."""
        if not self._sharing_out and self.members:
            self._share_out_anew()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _extend(self, member_id: str) -> None:
        member = self.members[member_id]
        if member.session is not None:
            member.session.cancel()
        member.session = self._world.at(
            member.session_seconds, lambda: self._session_ended(member_id)
        )

    def _session_ended(self, member_id: str) -> None:
        self.leave(member_id)

    def _share_out_anew(self) -> None:
        self._sharing_out = True
        for member in self.members.values():
            member.joined = False
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._world.at(REBALANCE_SECONDS, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        if not self._sharing_out:
            return
        for member_id in [one for one, member in self.members.items() if not member.joined]:
            self.leave(member_id)
        self._finish()

    def _finish(self) -> None:
        if not self._sharing_out or not all(one.joined for one in self.members.values()):
            return
        self._sharing_out = False
        self.generation += 1
        if not self.members:
            return
        # The first is the one that shares out; what it would say is said here for it.
        leader = next(iter(self.members.values()))
        cluster = SimpleNamespace(
            partitions_for_topic=lambda topic: set(range(self._brokers.partitions(topic)))
        )
        claims = {member_id: member.claim for member_id, member in self.members.items()}
        self._assignments = leader.assignor.assign(cluster, claims)
