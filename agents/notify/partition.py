"""A partition of what is to leave, as the notify agent has it: on each way one thing after the
other, all ways at once.

    take()    things wait in the outbox, or are withdrawn from it
    commit()  on each way the oldest that may leave now:
              begin     the carrier has all but the last word; it can still be taken back
              write     "about to leave" and the words, in a transaction; fails if somebody else
                        has the partition
              finish    the last word; it cannot be taken back
              write     what became of it, to whom it concerns and the changelog at once

Who finds "about to leave" and nothing behind it, since the one that wrote it was killed between the
two, does not send a mail again: it is `uncertain`, and a person finds out. A service that drops
repeats by their key is simply asked again (docs/decisions/0023-letters-leave-once.md).

The outbox belongs to the event loop; threads only wait for carriers and brokers.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import msgspec
from faust.types import TP

from agents.notify.carriers import (
    Carrier,
    CarrierAwayError,
    InDoubtError,
    Leaving,
    NotNowError,
    Outcome,
    RefusedError,
    Words,
)
from agents.notify.outbox import Known, Now, Outbox, Trade, Waiting
from streams.errors import InvalidMessage
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.partition import OutsidePartition
from streams.fast_lane.transaction import CommitError, FencedError, Transactions
from streams.record import Record

logger = logging.getLogger(__name__)

_TURN_SECONDS = 0.2
"""How long the ways are left alone before it is looked whether more may leave."""
_PATIENCE_SECONDS = 4.0
"""How long a commit waits for a letter that is leaving: the group waits for it when partitions are
shared out anew.
"""
_AWAY_FIRST_SECONDS = 1.0
_NOT_NOW_SECONDS = (60.0, 300.0, 900.0)
_LEAVING_SECONDS = 1.0
_RECORD_BYTES = 256

_in_process = itertools.count()

LEAVING = Outcome("leaving")
"""Of what is with its carrier just now, in this process."""


@dataclass(frozen=True)
class Office:
    """What the partitions of one topic share.

    Attributes:
        trade: makes that of one partition.
        carriers: makes those of one partition, by way.
        decode: what a record says.
        reports: the records that say what became of a thing.
        kept: those that keep the words of what is about to leave.
        refuse: the dead letter of a record that says nothing.
        now: the time.
        mark: of this process.
        remembered: what became of things whose outcome could not be written, by their mark;
            `LEAVING` while nobody knows, None when they have not left. With that, only the end of a
            process leaves anything uncertain.
        counted: hears of each outcome, by channel.
        channel: of a thing, for figures.
        name: of a thing, for the log.
        about: what a line of the log about it is about.
        away_seconds: after how long at most it is tried again to reach a carrier.
    """

    trade: Callable[[], Trade]
    carriers: Callable[[], Mapping[str, Carrier]]
    decode: Callable[[bytes | None], Any]
    reports: Callable[[TP, Waiting, Outcome], Sequence[Outgoing]]
    kept: Callable[[Waiting, Words], Sequence[Outgoing]]
    refuse: Callable[[Record, InvalidMessage], Outgoing]
    now: Callable[[], Now]
    mark: str
    remembered: dict[str, Outcome | None]
    counted: Callable[[str, str], object]
    channel: Callable[[Any], str]
    name: Callable[[Any], str]
    about: Callable[[Any], dict[str, str]]
    away_seconds: float = 60.0


class NotifyPartition(OutsidePartition):
    """One partition; the lane's kind is `Partition`."""

    def __init__(
        self,
        tp: TP,
        office: Office,
        transactions: Transactions,
        changelog: str,
        known: Mapping[str, Known],
        next_offset: int | None,
        *,
        may_send: Callable[[TP], bool],
        tell_group: Callable[[TP, int], Awaitable[object]],
        executor: Executor,
    ) -> None:
        super().__init__(tp)
        self.stopping = False
        """The worker stops: nothing more leaves."""
        self._office = office
        self._transactions = transactions
        self._changelog = changelog
        self._carriers = office.carriers()
        self._outbox = Outbox(office.trade(), known)
        self._away: dict[str, tuple[float, float]] = {}
        """By way: until when it is not tried, and how long that is."""
        self._may_send = may_send
        self._tell_group = tell_group
        self._executor = executor
        self._next_offset = next_offset
        self._committed = next_offset
        self._told: int | None = None
        self._unreadable: list[tuple[Record, InvalidMessage]] = []
        self._work: asyncio.Task[None] | None = None
        self._ways: dict[str, asyncio.Task[None]] = {}
        """What is leaving, by way."""
        self._writing = asyncio.Lock()

    # ── taking in ───────────────────────────────────────────────────────────────────────────────

    def take(self, records: Sequence[Record]) -> None:
        """Have things wait to leave."""
        now = self._office.now()
        for record in records:
            try:
                said = self._office.decode(record.value)
            except InvalidMessage as fault:
                self._unreadable.append((record, fault))
                continue
            size = _RECORD_BYTES + len(record.value or b"")
            self._outbox.take(record.offset, size, said, now)

    def finish(self, end: int, size: int) -> None:
        del size
        self._next_offset = end
        self.stepping = False

    # ── letting go ──────────────────────────────────────────────────────────────────────────────

    async def commit(self) -> float | None:
        """Let things leave for a while. What takes long goes on leaving by itself.

        Raises `FencedError`, `CommitError`: what is committed counts, and has to be read again.
        """
        work = self._work = self._work or asyncio.create_task(self._let_leave())
        done, _ = await asyncio.wait({work}, timeout=_PATIENCE_SECONDS)
        if done:
            if self._work is work:  # another call may have waited for it too
                self._work = None
            work.result()
        return None

    async def _let_leave(self) -> None:
        """Goes on while anything is leaving, so that what is slow on one way keeps nothing on
        another.
        """
        while True:
            while not self.stopping and self._may_send(self.tp):
                things = self._outbox.next(self._may_try, self._office.now())
                if not things:
                    break
                self._ways[things[0].way] = asyncio.create_task(self._let_go(things))
            await self._catch_up()
            if not self._ways:
                return
            await asyncio.wait(
                self._ways.values(), timeout=_TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for way, task in list(self._ways.items()):
                if task.done():
                    del self._ways[way]
                    task.result()

    async def _catch_up(self) -> None:
        """Write how far all is settled, if that is further than what is written."""
        async with self._writing:
            if self._has_moved():
                unreadable, self._unreadable = self._unreadable, []
                refused = [self._office.refuse(record, fault) for record, fault in unreadable]
                position = self._position()
                await self._run(self._write, position, refused, self._changes(position))
        if self._committed is not None and self._committed != self._told:
            await self._tell_group(self.tp, self._committed)
            self._told = self._committed

    def _has_moved(self) -> bool:
        return self._next_offset is not None and (
            bool(self._unreadable) or self._outbox.has_notes or self._position() != self._committed
        )

    def _may_try(self, waiting: Waiting) -> bool:
        if waiting.way in self._ways:
            return False
        now = time.monotonic()
        away_until, _ = self._away.get(waiting.way, (0.0, 0.0))
        if waiting.refused or self._outbox.trade.is_late(waiting.errand, self._office.now()):
            return waiting.not_before <= now
        return max(waiting.not_before, away_until) <= now

    def _changes(self, position: int) -> dict[str, Known | None]:
        """What is to be written with a position."""
        gone = self._outbox.forget(position, self._office.now().today)
        return {**self._outbox.notes(), **dict.fromkeys(gone)}

    def _position(self) -> int:
        """The offset before which all is settled."""
        end = self._next_offset or 0
        if self._unreadable:
            end = min(end, self._unreadable[0][0].offset)
        return min(self._outbox.position(end), end)

    async def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)

    async def _let_go(self, things: Sequence[Waiting]) -> None:
        """What leaves together: from the first word to what became of it."""
        outcome = self._known_outcome(things)
        if outcome is None:
            begun = await self._run(self._begin, things)
            if begun is None:
                return
            outcome = begun if isinstance(begun, Outcome) else await self._leave(things, begun)
        if outcome is None or outcome is LEAVING or not self._outbox.still_has(things):
            return
        async with self._writing:
            now = self._office.now()
            settled = self._outbox.settled(things, outcome.result, now.at)
            position = self._position()
            changes = {**self._changes(position), **settled}
            await self._run(self._report, things, outcome, position, changes)

    def _known_outcome(self, things: Sequence[Waiting]) -> Outcome | None:
        """What became of things without asking a carrier; None: one is to be asked."""
        first, office = things[0], self._office
        late = self._outbox.trade.is_late(first.errand, office.now())
        carrier = self._carriers.get(first.way)
        remembered = office.remembered.get(first.mark)
        if remembered is LEAVING:
            first.not_before = time.monotonic() + _LEAVING_SECONDS
            return LEAVING
        if remembered is not None:
            return remembered
        if first.refused:
            return Outcome("failed", first.refused)
        if first.mark and first.mark not in office.remembered:
            if late or carrier is None or not carrier.repeatable:
                return Outcome("uncertain", "it was cut short while it was leaving")
        elif late:
            return Outcome("late")
        if carrier is None:
            return Outcome("failed", f"there is no way to send by {first.way or 'this name'}")
        return None

    async def _leave(self, things: Sequence[Waiting], leaving: Leaving) -> Outcome | None:
        """Write that it is about to leave, and have the carrier say the last word; None: it has not
        left.
        """
        remembered = self._office.remembered
        mark = f"{self._office.mark}-{next(_in_process)}"
        async with self._writing:
            if self.stopping or not self._outbox.still_has(things):
                leaving.drop()
                return None
            known = self._outbox.begun(things, mark)
            # Not further on: what was noted besides goes with the outcome.
            position = things[0].offset if self._committed is None else self._committed
            remembered[mark] = None
            try:
                await self._run(self._write, position, self._kept(things, leaving), known)
            except (FencedError, CommitError):
                leaving.drop()
                raise
            remembered[mark] = LEAVING
        remembered[mark] = await self._run(self._finish, things, leaving)
        if remembered[mark] is None:
            async with self._writing:
                position = things[0].offset if self._committed is None else self._committed
                await self._run(self._write, position, (), {one.key: None for one in things})
                self._outbox.stays(things)
            return remembered.pop(mark)
        return remembered[mark]

    # ── in a thread ─────────────────────────────────────────────────────────────────────────────

    def _begin(self, things: Sequence[Waiting]) -> Leaving | Outcome | None:
        """What the carrier has but for the last word, or what became of it; None: it waits on."""
        first = things[0]
        try:
            message = self._outbox.trade.message([one.errand for one in things])
            leaving = self._carriers[first.way].begin(message)
        except CarrierAwayError as error:
            self._is_away(things, str(error))
        except NotNowError as error:
            self._not_now(things, str(error))
        except RefusedError as error:
            return error.outcome
        except Exception as error:  # whatever is wrong with one is no reason to stop others
            logger.exception(
                "%s cannot be made into a message",
                self._office.name(first.errand),
                extra=self._office.about(first.errand),
            )
            return Outcome("failed", f"{type(error).__name__}: {error}")
        else:
            return leaving
        return None

    def _finish(self, things: Sequence[Waiting], leaving: Leaving) -> Outcome | None:
        try:
            said = leaving.finish()
        except CarrierAwayError as error:
            self._is_away(things, str(error))
            return None
        except NotNowError as error:
            self._not_now(things, str(error))
            return None
        except RefusedError as error:
            outcome = error.outcome
        except InDoubtError as error:
            outcome = Outcome("uncertain", str(error))
        else:
            outcome = Outcome("sent", said)
        self._away.pop(things[0].way, None)
        return outcome

    def _report(
        self,
        things: Sequence[Waiting],
        outcome: Outcome,
        position: int,
        changes: Mapping[str, Known | None],
    ) -> None:
        """Say what became of it, to whom it concerns and to ourselves, at once."""
        office = self._office
        reports = [record for one in things for record in office.reports(self.tp, one, outcome)]
        self._write(position, reports, changes)
        log = logger.info if outcome.result == "sent" else logger.warning
        for one in things:
            office.remembered.pop(one.mark, None)
            name, channel = office.name(one.errand), office.channel(one.errand)
            office.counted(channel, outcome.result)
            # What was answered stands in the report: it may name a person.
            log("%s by %s: %s", name, channel, outcome.result, extra=office.about(one.errand))

    def _kept(self, things: Sequence[Waiting], leaving: Leaving) -> list[Outgoing]:
        """The words, written down before they leave."""
        words = leaving.words
        if words is None:
            return []
        return [record for one in things for record in self._office.kept(one, words)]

    def _write(
        self, position: int, events: Sequence[Outgoing], changes: Mapping[str, Known | None]
    ) -> None:
        raw = {
            key.encode(): None if known is None else msgspec.json.encode(known)
            for key, known in changes.items()
        }
        self._transactions.write(position, events, changelog=self._changelog, changes=raw)
        self._committed = position

    def _is_away(self, things: Sequence[Waiting], why: str) -> None:
        way = things[0].way
        _, before = self._away.get(way, (0.0, 0.0))
        longest = self._office.away_seconds
        # Not all at the same moment, when what they wait for is back.
        seconds = min(before * 2 or _AWAY_FIRST_SECONDS, longest) * random.uniform(0.8, 1.0)  # noqa: S311
        self._away[way] = (time.monotonic() + seconds, seconds)
        channel = self._office.channel(things[0].errand)
        logger.warning("%s cannot be sent now, trying again in %.0f s: %s", channel, seconds, why)

    def _not_now(self, things: Sequence[Waiting], why: str) -> None:
        for one in things:
            one.tries += 1
            seconds = _NOT_NOW_SECONDS[min(one.tries, len(_NOT_NOW_SECONDS)) - 1]
            one.not_before = time.monotonic() + seconds
        logger.warning(
            "%s is not taken, again in %.0f s: %s",
            *(self._office.name(things[0].errand), seconds, why),
            extra=self._office.about(things[0].errand),
        )

    async def close(self) -> None:
        """Let go of it. What is leaving goes on, and is reported unless somebody else has the
        partition by then.
        """
        self.stopping = True
        under_way = {*self._ways.values()}
        if self._work is not None:  # a commit that waits for it too forgets it when it is done
            under_way.add(self._work)
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=_PATIENCE_SECONDS)
            for task in under_way:
                # Whatever it ends with, who comes next goes on from what is written.
                task.add_done_callback(lambda task: task.cancelled() or task.exception())
            if late:
                return
        for carrier in self._carriers.values():
            carrier.close()

    # ── what is asked ───────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many wait, by channel."""
        return self._outbox.by(self._office.channel)

    @property
    def overdue(self) -> Mapping[str, int]:
        """Since when the oldest that should have left waits, by channel."""
        found: dict[str, int] = {}
        for one in self._outbox.due(self._office.now()):
            channel = self._office.channel(one.errand)
            found[channel] = min(found.get(channel, one.due), one.due)
        return found

    @property
    def away(self) -> list[str]:
        """Ways whose carriers cannot be reached."""
        return list(self._away)

    @property
    def next_offset(self) -> int | None:
        return self._next_offset

    @property
    def in_flight_bytes(self) -> int:
        return self._outbox.size

    @property
    def wants_commit(self) -> bool:
        return (
            self._work is not None
            or len(self._outbox) > 0
            or self._has_moved()
            or self._committed != self._told
        )
