"""Who of a consumer group gets which partition, and who keeps a copy of its state.

Every member says with its request to join what it has (`Claim`); one of them, chosen by the broker,
shares out (`share_out`) and every member hears its part (`Share`). Three wishes, the first counts
most:

1. Who has the state at hand answers: a partition goes on with its owner or, when that is gone, with
   a standby. A member that lacks the state gets it only when nobody has it.
2. Every member has as many partitions of a topic as the others, or one more.
3. Nothing moves without need.

Where they are at odds, who should have a partition copies its state first (`warming`) and asks for
another round when it has it. So a worker that comes with an empty disk holds up nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

Places = dict[str, list[int]]
"""Partitions by topic."""

_VERSION = 0


class Claim(msgspec.Struct, frozen=True):
    """What a member has when it joins.

    `round` is the one in which it got what it `owns`: a member that missed rounds owns nothing any
    more. `ready` are the partitions of which it keeps a copy that is up to date.
    """

    worker: str
    topics: list[str]
    round: int = 0
    owns: Places = {}
    ready: Places = {}


class Share(msgspec.Struct, frozen=True):
    """What a member gets: partitions to work on, to copy as a standby, and to copy in order to work
    on them later.
    """

    round: int
    active: Places
    standby: Places
    warming: Places

    def copies(self, topic: str) -> frozenset[int]:
        """The partitions whose state the member is to follow."""
        return frozenset((*self.standby.get(topic, ()), *self.warming.get(topic, ())))


NOTHING = Share(0, {}, {}, {})


def share_out(
    topics: Mapping[str, int],
    claims: Mapping[str, Claim],
    *,
    stateful: Collection[str] = (),
    standbys: int = 0,
) -> dict[str, Share]:
    """Share out all partitions.

    Args:
        topics: and how many partitions each has.
        claims: of the members, by their ids.
        stateful: topics whose partitions have a state.
        standbys: how many members should keep a copy of each, beside the one that works on it.
    """
    last_round = max(claim.round for claim in claims.values())
    parts: dict[str, _Part] = {member: _Part() for member in claims}
    for topic, count in sorted(topics.items()):
        members = [member for member, claim in claims.items() if topic in claim.topics]
        members.sort(key=lambda member: (claims[member].worker, member))
        if not members:
            continue
        table = _Table(
            count,
            members,
            {
                partition: member
                for member in members
                if claims[member].round == last_round
                for partition in claims[member].owns.get(topic, ())
                if partition < count
            },
            {member: frozenset(claims[member].ready.get(topic, ())) for member in members},
            Counter({member: parts[member].load for member in members}),
        )
        due = table.balanced()
        for partition in range(count):
            rightful = due[partition]
            active = table.able(partition, rightful) if topic in stateful else rightful
            parts[active].active[topic].append(partition)
            if active != rightful:
                parts[rightful].warming[topic].append(partition)
            if topic in stateful:
                for standby in table.standbys(partition, {active, rightful}, standbys):
                    parts[standby].standby[topic].append(partition)
    return {
        member: Share(last_round + 1, dict(part.active), dict(part.standby), dict(part.warming))
        for member, part in parts.items()
    }


@dataclass(frozen=True)
class _Part:
    active: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    standby: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    warming: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def load(self) -> int:
        return sum(map(len, self.active.values()))


class _Table:
    """One topic, and what its members have of it."""

    def __init__(
        self,
        count: int,
        members: list[str],
        owners: dict[int, str],
        ready: dict[str, frozenset[int]],
        load: Counter[str],
    ) -> None:
        self._count = count
        self._members = members
        self._owners = owners
        self._ready = ready
        self._load = load
        self._copies: Counter[str] = Counter()

    def balanced(self) -> dict[int, str]:
        """Who should have each partition: owners what they have, as far as that is their share."""
        fewest, more = divmod(self._count, len(self._members))
        kept: dict[str, list[int]] = {member: [] for member in self._members}
        for partition in range(self._count):
            if partition in self._owners:
                kept[self._owners[partition]].append(partition)
        poor = [member for member in self._members if len(kept[member]) < fewest]
        for member in sorted(self._members, key=lambda one: -len(kept[one])):
            room = fewest
            if len(kept[member]) > fewest and more:
                room, more = fewest + 1, more - 1
            # What somebody with too little has a copy of goes first.
            kept[member].sort(key=lambda p: (any(p in self._ready[one] for one in poor), p))
            del kept[member][room:]
        due = {partition: member for member, own in kept.items() for partition in own}
        for partition in range(self._count):
            if partition not in due:
                with_room = [
                    one
                    for one in self._members
                    if len(kept[one]) < fewest or (len(kept[one]) == fewest and more)
                ]
                member = min(
                    with_room,
                    key=lambda one: (
                        partition not in self._ready[one],
                        len(kept[one]),
                        self._load[one] + len(kept[one]),
                    ),
                )
                more -= len(kept[member]) == fewest
                kept[member].append(partition)
                due[partition] = member
        return due

    def able(self, partition: int, rightful: str) -> str:
        """Who works on it now: the rightful member, unless only others have the state."""
        owner = self._owners.get(partition)
        if owner == rightful or partition in self._ready[rightful]:
            return rightful
        if owner is not None:
            return owner
        ready = [member for member in self._members if partition in self._ready[member]]
        return min(ready, key=lambda one: self._load[one], default=rightful)

    def standbys(self, partition: int, taken: set[str], wanted: int) -> list[str]:
        """Who keeps a copy: who has one already, else who has the fewest."""
        free = [member for member in self._members if member not in taken]
        free.sort(key=lambda one: (not self._has(one, partition), self._copies[one]))
        chosen = free[:wanted]
        self._copies.update(chosen)
        return chosen

    def _has(self, member: str, partition: int) -> bool:
        return partition in self._ready[member] or self._owners.get(partition) == member


class Assignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Carries claims and shares in the group protocol's requests. Belongs to the consumer's thread.

    Args:
        worker: name of this member that is the same after a restart.
        stateful: topics whose partitions have a state.
        standbys: how many copies of each.
    """

    name = "headroom"

    def __init__(self, worker: str, *, stateful: Collection[str] = (), standbys: int = 0) -> None:
        self._worker = worker
        self._stateful = frozenset(stateful)
        self._standbys = standbys
        self.ready: Callable[[], Places] = dict
        """Says which partitions this member has an up-to-date copy of."""
        self.share = NOTHING
        """What this member got in the last round."""

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What the member says of itself when it joins: its claim."""
        names = sorted(topics)
        claim = Claim(self._worker, names, self.share.round, self.share.active, self.ready())
        return ConsumerProtocolMemberMetadata(_VERSION, names, msgspec.json.encode(claim))

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Everybody's share, by the member that the broker chose."""
        claims = {
            member: msgspec.json.decode(metadata.user_data, type=Claim)
            for member, metadata in members.items()
        }
        names = {topic for claim in claims.values() for topic in claim.topics}
        topics = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in names}
        shares = share_out(topics, claims, stateful=self._stateful, standbys=self._standbys)
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, sorted(share.active.items()), msgspec.json.encode(share)
            )
            for member, share in shares.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        self.share = msgspec.json.decode(assignment.user_data, type=Share)
