"""How what was computed becomes durable, and in which order: the two settings of
`HEADROOM_GUARANTEE`. docs/guarantees.md says what each of them promises.

`effectively_once`, for an agent with state (`EffectivelyOnce`):

1. outgoing events leave with the step that led to them over the `Outlet`, an idempotent producer
   that never gives up on a message;
2. every so often the state is frozen (`PartitionStore.snapshot`) and the `Flight` of the events
   that led to it sealed;
3. when the flight has landed (all its events are acknowledged), one Kafka transaction writes the
   changed state to the changelog, with the journal offset up to which it goes, and what is said
   once per commit (exposures); the consumer group is told the offset afterwards;
4. the same bytes go to the disk.

A crash between any two of these repeats events, with the same content and id since they are a pure
function of the journal, and loses none.

Without state (intake; `AcknowledgedFirst`) step 3 is a plain commit of the offset. That loses
nothing either: the offset is committed only after all that came of the records before it is
acknowledged; and repeats are dropped by the reader, since a journal record names the input record
that it comes from. Records of one input partition reach a journal partition in their order and
without holes: they are sent in that order, by an idempotent producer whose messages neither expire
nor overtake each other, and a successor begins at or before the first that was not acknowledged. So
the highest origin that a journal partition has seen stands for all before it. A worker that was
replaced without knowing it can append repeats, but its commit is refused (its generation is over).

`exactly_once` (`ExactlyOnce`, `InTransaction`): the events of a flight are held and leave inside
the transaction of step 3, so that who reads committed records sees each of them once; they wait for
the commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol

from aiokafka.errors import CommitFailedError
from aiokafka.errors import KafkaError as ConsumerKafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.types import TP

from streams.fast_lane.outlet import Answered, Flight, Outgoing, Outlet
from streams.fast_lane.transaction import Transactions
from streams.fast_lane.transport import consumer_of

logger = logging.getLogger(__name__)


class Guarantee(Protocol):
    """What a setting of `HEADROOM_GUARANTEE` means for one partition: its events, its state, its
    offset.

    `send` and `seal` are called by the event loop, `commit` by one thread at a time.
    """

    flight: Flight
    """The flight that is boarding."""

    def send(self, outgoing: Outgoing) -> None:
        """An event of the step that was computed."""
        ...

    def seal(self) -> Flight:
        """All events of the state that was just frozen have been sent."""
        ...

    def commit(
        self,
        flight: Flight,
        changes: Mapping[bytes, bytes | None],
        next_offset: int,
        latest: Sequence[Outgoing],
    ) -> int:
        """Make durable the flight's events, the changed state, what is said once per commit, and
        the offset.

        Returns the changelog offset that follows the state.

        Raises:
            FencedError: the commit did not happen; the partition may be somebody else's.
            CommitError: it is not known whether the commit happened.
        """
        ...


class _StateInTransaction:
    """State and its offset in one fenced transaction, once the events that left have landed; with
    it go those that were held.
    """

    def __init__(self, transactions: Transactions, changelog: str) -> None:
        self._transactions = transactions
        self._changelog = changelog
        self.flight = Flight()

    def seal(self) -> Flight:
        flight, self.flight = self.flight, Flight()
        flight.seal()
        return flight

    def commit(
        self,
        flight: Flight,
        changes: Mapping[bytes, bytes | None],
        next_offset: int,
        latest: Sequence[Outgoing],
    ) -> int:
        flight.wait()
        return self._transactions.write(
            next_offset, [*flight.held, *latest], changelog=self._changelog, changes=changes
        )


class EffectivelyOnce(_StateInTransaction):
    """Events at once, state and offset behind them."""

    def __init__(self, outlet: Outlet, transactions: Transactions, changelog: str) -> None:
        super().__init__(transactions, changelog)
        self._outlet = outlet

    def send(self, outgoing: Outgoing) -> None:
        self._outlet.send(outgoing, self.flight)


class ExactlyOnce(_StateInTransaction):
    """Events, state and offset together."""

    def __init__(self, answered: Answered, transactions: Transactions, changelog: str) -> None:
        super().__init__(transactions, changelog)
        self._answered = answered

    def send(self, outgoing: Outgoing) -> None:
        self.flight.hold(outgoing)

    def commit(
        self,
        flight: Flight,
        changes: Mapping[bytes, bytes | None],
        next_offset: int,
        latest: Sequence[Outgoing],
    ) -> int:
        end = super().commit(flight, changes, next_offset, latest)
        now = time.time()
        for outgoing in flight.held:
            if outgoing.answers:
                self._answered(max(now - outgoing.answers / 1000, 0.0), outgoing.trace_id)
        return end


class PassGuarantee(Protocol):
    """The same for a partition of an agent without state."""

    def send(self, outgoing: Outgoing, flight: Flight) -> None:
        """An event of the step that was computed."""
        ...

    async def commit(self, flight: Flight, next_offset: int) -> bool:
        """Make the sealed flight's events durable, and the offset behind them.

        Returns whether the offset was committed; if not, whoever has the partition next does the
        records again.

        Raises `FencedError` and `CommitError` as a transaction does.
        """
        ...


class AcknowledgedFirst:
    """Events at once; the offset when all of them are acknowledged."""

    def __init__(
        self, outlet: Outlet, commit_offset: CommitOffset, tp: TP, executor: Executor
    ) -> None:
        self._outlet = outlet
        self._commit_offset = commit_offset
        self._tp = tp
        self._executor = executor

    def send(self, outgoing: Outgoing, flight: Flight) -> None:
        self._outlet.send(outgoing, flight)

    async def commit(self, flight: Flight, next_offset: int) -> bool:
        await asyncio.get_running_loop().run_in_executor(self._executor, flight.wait)
        return await self._commit_offset(self._tp, next_offset)


Place = tuple[int, str]
"""An offset and the text that is kept beside it."""


class CommitOffset:
    """Commits offsets as the group member that the App is, so that a member of an old generation is
    refused.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, tp: TP, offset: int) -> bool:
        """Whether it was. If not, whoever has the partition next does the records again."""
        return await self.all({tp: (offset, "")})

    async def all(self, places: Mapping[TP, Place]) -> bool:
        """Commit several in one request; whether all of them were."""
        thread = self._app.consumer._thread  # noqa: SLF001
        consumer = consumer_of(self._app)
        offsets = {
            TopicPartition(*tp): OffsetAndMetadata(offset, text)
            for tp, (offset, text) in places.items()
        }
        try:
            await thread.call_thread(consumer.commit, offsets)
        except CommitFailedError:
            # So it is with every round, for who commits while the others join already.
            logger.info("offset %s: the group shares out anew", _shown(places))
            return False
        except ConsumerKafkaError as error:
            logger.warning("offset %s not committed: %s", _shown(places), error)
            return False
        return True


def _shown(places: Mapping[TP, Place]) -> str:
    return ", ".join(f"{offset} of {tp.topic}-{tp.partition}" for tp, (offset, _) in places.items())


class CommitsTogether:
    """The same for many partitions at once: what comes while a request is under way goes with the
    next one, all of it.
    """

    def __init__(self, commit_offset: CommitOffset) -> None:
        self._commit_offset = commit_offset
        self._sending = asyncio.Lock()
        self._round = _Round()

    async def __call__(self, tp: TP, offset: int, text: str) -> bool:
        """Commit an offset with a text beside it; whether it was."""
        ours = self._round
        ours.places[tp] = (offset, text)
        async with self._sending:
            if ours is self._round:
                self._round = _Round()
                await self._send(ours)
        return tp in ours.committed

    async def _send(self, ours: _Round) -> None:
        if await self._commit_offset.all(ours.places):
            ours.committed |= ours.places.keys()
        elif len(ours.places) > 1:
            # One that is refused must not keep the others from going on.
            for tp, place in ours.places.items():
                if await self._commit_offset.all({tp: place}):
                    ours.committed.add(tp)


class _Round:
    """What goes in one request, and what of it was committed."""

    def __init__(self) -> None:
        self.places: dict[TP, Place] = {}
        self.committed: set[TP] = set()


class InTransaction:
    """Events and offset in one fenced transaction."""

    def __init__(self, transactions: Transactions, executor: Executor) -> None:
        self._transactions = transactions
        self._executor = executor

    def send(self, outgoing: Outgoing, flight: Flight) -> None:
        flight.hold(outgoing)

    async def commit(self, flight: Flight, next_offset: int) -> bool:
        write = self._transactions.write
        await asyncio.get_running_loop().run_in_executor(
            self._executor, write, next_offset, flight.held
        )
        return True
