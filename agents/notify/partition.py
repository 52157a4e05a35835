"""A partition of the dunning steps as the notify agent has it: letters leave one after the other.

    take()    steps wait in the outbox, or are withdrawn from it
    commit()  the oldest letter, if any may leave now:
              begin     the carrier has all but the last word; it can still be taken back
              write     "about to leave" and the words, in a transaction; fails if somebody else
                        has the partition
              finish    the last word; it cannot be taken back
              write     what became of it, to the journal's inputs and the changelog at once

Who finds "about to leave" and nothing behind it, since the one that wrote it was killed between the
two, does not send a mail again: it reports `uncertain`, and a person finds out. A service that
drops repeats by their key is simply asked again (docs/decisions/0023-letters-leave-once.md).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
from faust.types import TP

from agents.notify.carriers import (
    Carrier,
    CarrierAwayError,
    Errand,
    InDoubtError,
    Leaving,
    NotNowError,
    Outcome,
    RefusedError,
)
from agents.notify.outbox import LETTERS, Known, Outbox, Waiting, is_late
from schemas.events import (
    Day,
    DunningStep,
    DunningStepReported,
    Event,
    Instant,
    LetterWritten,
)
from streams.errors import InvalidMessage
from streams.fast_lane.fetch import Record
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.partition import OutsidePartition
from streams.fast_lane.transaction import CommitError, FencedError, Transactions

logger = logging.getLogger(__name__)

_TURN_SECONDS = 0.5
_PATIENCE_SECONDS = 4.0
"""How long a commit waits for a letter that is leaving: the group waits for it when partitions are
shared out anew.
"""
_AWAY_FIRST_SECONDS = 1.0
_AWAY_LAST_SECONDS = 60.0
_NOT_NOW_SECONDS = (60.0, 300.0, 900.0)
_RECORD_BYTES = 256

_in_process = itertools.count()


@dataclass(frozen=True)
class Office:
    """What the partitions of an agent share.

    Attributes:
        carriers: makes those of one partition, by channel.
        decode: the event of a record.
        report: the record that says what became of a step.
        keep: the record that keeps the words of a letter.
        refuse: the dead letter of a record that is no step.
        today: the day at the creditor's.
        mark: of this process.
        remembered: what became of letters whose outcome could not be written, by their mark; None
            when they have not left. With that, only the end of a process leaves anything uncertain.
        counted: hears of each outcome.
    """

    carriers: Callable[[], Mapping[str, Carrier]]
    decode: Callable[[bytes | None], Event]
    report: Callable[[DunningStepReported], Outgoing]
    keep: Callable[[LetterWritten], Outgoing]
    refuse: Callable[[Record, InvalidMessage], Outgoing]
    today: Callable[[], Day]
    mark: str
    remembered: dict[str, Outcome | None]
    counted: Callable[[str, str], object]


class NotifyPartition(OutsidePartition):
    """One partition of the dunning steps; the lane's kind is `Partition`."""

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
        """The worker stops: no further letter leaves."""
        self._office = office
        self._transactions = transactions
        self._changelog = changelog
        self._carriers = office.carriers()
        self._outbox = Outbox(known, {*LETTERS, *self._carriers})
        self._away: dict[str, tuple[float, float]] = {}
        """By channel: until when it is not tried, and how long that is."""
        self._may_send = may_send
        self._tell_group = tell_group
        self._executor = executor
        self._next_offset = next_offset
        self._committed = next_offset
        self._told: int | None = None
        self._unreadable: list[tuple[Record, InvalidMessage]] = []
        self._work: asyncio.Task[None] | None = None

    # ── taking in ───────────────────────────────────────────────────────────────────────────────

    def take(self, records: Sequence[Record]) -> None:
        """Have steps wait to leave."""
        for record in records:
            try:
                event = self._office.decode(record.value)
            except InvalidMessage as fault:
                self._unreadable.append((record, fault))
                continue
            size = _RECORD_BYTES + len(record.value or b"")
            self._outbox.take(record.offset, size, event)

    def finish(self, end: int, size: int) -> None:
        del size
        self._next_offset = end
        self.stepping = False

    # ── letting go ──────────────────────────────────────────────────────────────────────────────

    async def commit(self) -> float | None:
        """Let letters leave for a while. One that takes long goes on leaving by itself.

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
        started = time.monotonic()
        run = asyncio.get_running_loop().run_in_executor
        while not self.stopping and self._may_send(self.tp):
            waiting = self._outbox.next(self._may_try)
            if waiting is None:
                break
            outcome = await run(self._executor, self._attempt, waiting)
            if outcome is not None:
                await run(self._executor, self._report, waiting, outcome, *self._settle(waiting))
            if time.monotonic() - started > _TURN_SECONDS:
                break
        if self._has_moved():
            unreadable, self._unreadable = self._unreadable, []
            refused = [self._office.refuse(record, fault) for record, fault in unreadable]
            position = self._position()
            await run(self._executor, self._write, position, refused, self._changes(position))
        if self._committed is not None and self._committed != self._told:
            await self._tell_group(self.tp, self._committed)
            self._told = self._committed

    def _has_moved(self) -> bool:
        """Whether more is settled than is written."""
        return self._next_offset is not None and (
            bool(self._unreadable) or self._position() != self._committed
        )

    def _may_try(self, waiting: Waiting) -> bool:
        now = time.monotonic()
        away_until, _ = self._away.get(waiting.errand.channel, (0.0, 0.0))
        return max(waiting.not_before, away_until) <= now

    def _settle(self, waiting: Waiting) -> tuple[int, dict[str, Known | None]]:
        """From where to read on when its outcome is written, and what to write of it."""
        known = self._outbox.settled(waiting)
        position = self._position()
        return position, {**self._changes(position), waiting.key: known}

    def _changes(self, position: int) -> dict[str, Known | None]:
        """What is to be written with a position."""
        gone = self._outbox.forget(position, self._office.today())
        return {**self._outbox.notes(), **dict.fromkeys(gone)}

    def _position(self) -> int:
        """The offset before which all is settled."""
        end = self._next_offset or 0
        if self._unreadable:
            end = min(end, self._unreadable[0][0].offset)
        return min(self._outbox.position(end), end)

    # ── in a thread, while the outbox stands still but for steps that come in ────────────────────

    def _attempt(self, waiting: Waiting) -> Outcome | None:
        """What became of the letter, None when it waits on."""
        errand = waiting.errand
        carrier = self._carriers.get(errand.channel)
        late = is_late(errand, self._office.today())
        remembered = self._office.remembered.get(waiting.mark)
        if remembered is not None:
            return remembered
        if waiting.mark and waiting.mark not in self._office.remembered:
            if late or carrier is None or not carrier.repeatable:
                return Outcome("uncertain", "it was cut short while the letter was leaving")
        elif late:
            return Outcome("late")
        if carrier is None:
            return Outcome("failed", f"there is no way to send by {errand.channel}")
        try:
            leaving = carrier.begin(errand)
        except CarrierAwayError as error:
            self._is_away(errand.channel, str(error))
        except NotNowError as error:
            self._not_now(waiting, str(error))
        except RefusedError as error:
            return error.outcome
        except Exception as error:  # whatever is wrong with one letter is no reason to stop others
            logger.exception(
                "step %s cannot be made into a letter", waiting.key, extra=_about(waiting.errand)
            )
            return Outcome("failed", f"{type(error).__name__}: {error}")
        else:
            self._away.pop(errand.channel, None)
            return self._leave(waiting, leaving)
        return None

    def _leave(self, waiting: Waiting, leaving: Leaving) -> Outcome | None:
        mark = f"{self._office.mark}-{next(_in_process)}"
        known = self._outbox.begun(waiting, mark)
        # Not further on: what was noted besides goes with the outcome.
        position = waiting.offset if self._committed is None else self._committed
        remembered = self._office.remembered
        remembered[mark] = None
        try:
            self._write(position, self._kept(waiting, leaving), {waiting.key: known})
        except (FencedError, CommitError):
            leaving.drop()
            raise
        try:
            said = leaving.finish()
        except CarrierAwayError as error:
            self._is_away(waiting.errand.channel, str(error))
        except NotNowError as error:
            self._not_now(waiting, str(error))
        except RefusedError as error:
            remembered[mark] = error.outcome
        except InDoubtError as error:
            remembered[mark] = Outcome("uncertain", str(error))
        else:
            remembered[mark] = Outcome("sent", said)
        if remembered[mark] is None:
            self._write(position, (), {waiting.key: None})
            self._outbox.stays(waiting)
            return remembered.pop(mark)
        return remembered[mark]

    def _report(
        self,
        waiting: Waiting,
        outcome: Outcome,
        position: int,
        changes: Mapping[str, Known | None],
    ) -> None:
        """Say what became of it, to the journal and to ourselves, at once. Of what was told to
        whoever collects a claim the journal hears nothing.
        """
        errand = waiting.errand
        reports: tuple[Outgoing, ...] = ()
        if isinstance(errand, DunningStep):
            reports = (self._office.report(self._reported(waiting.key, errand, outcome)),)
        self._write(position, reports, changes)
        self._office.remembered.pop(waiting.mark, None)
        self._office.counted(errand.channel, outcome.result)
        log = logger.info if outcome.result == "sent" else logger.warning
        # What was answered stands in the report: it may name a person.
        log("%s by %s: %s", waiting.key, errand.channel, outcome.result, extra=_about(errand))

    def _reported(self, key: str, step: DunningStep, outcome: Outcome) -> DunningStepReported:
        return DunningStepReported(
            event_id=_id_of(key, outcome.result),
            occurred_at=_now(),
            customer_id=step.customer_id,
            step_id=step.step_id,
            attempt=step.attempt or 1,
            channel=step.channel,
            result=outcome.result,
            on=self._office.today(),
            detail=outcome.detail,
        )

    def _kept(self, waiting: Waiting, leaving: Leaving) -> tuple[Outgoing, ...]:
        """The words of a letter, written down before it leaves."""
        words, step = leaving.words, waiting.errand
        if words is None or not isinstance(step, DunningStep):
            return ()
        letter = LetterWritten(
            event_id=_id_of(waiting.key, "written"),
            occurred_at=_now(),
            customer_id=step.customer_id,
            step_id=step.step_id,
            attempt=step.attempt or 1,
            channel=step.channel,
            to=words.to,
            language=words.language,
            subject=words.subject,
            text=words.text,
            html=words.html,
        )
        return (self._office.keep(letter),)

    def _write(
        self, position: int, events: Sequence[Outgoing], changes: Mapping[str, Known | None]
    ) -> None:
        raw = {
            key.encode(): None if known is None else msgspec.json.encode(known)
            for key, known in changes.items()
        }
        self._transactions.write(position, events, changelog=self._changelog, changes=raw)
        self._committed = position

    def _is_away(self, channel: str, why: str) -> None:
        _, before = self._away.get(channel, (0.0, 0.0))
        seconds = min(before * 2 or _AWAY_FIRST_SECONDS, _AWAY_LAST_SECONDS)
        self._away[channel] = (time.monotonic() + seconds, seconds)
        logger.warning("%s cannot be sent now, trying again in %.0f s: %s", channel, seconds, why)

    def _not_now(self, waiting: Waiting, why: str) -> None:
        waiting.tries += 1
        seconds = _NOT_NOW_SECONDS[min(waiting.tries, len(_NOT_NOW_SECONDS)) - 1]
        waiting.not_before = time.monotonic() + seconds
        logger.warning(
            "step %s is not taken, again in %.0f s: %s",
            *(waiting.key, seconds, why),
            extra=_about(waiting.errand),
        )

    async def close(self) -> None:
        """Let go of it. A letter that is leaving goes on, and is reported unless somebody else has
        the partition by then.
        """
        self.stopping = True
        work = self._work  # a commit that waits for it too forgets it when it is done
        if work is not None:
            done, _ = await asyncio.wait({work}, timeout=_PATIENCE_SECONDS)
            # Whatever it ends with, who comes next goes on from what is written.
            work.add_done_callback(lambda work: work.cancelled() or work.exception())
            if not done:
                return
        for carrier in self._carriers.values():
            carrier.close()

    # ── what is asked ───────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many letters wait, by channel."""
        return self._outbox.by_channel()

    @property
    def away(self) -> list[str]:
        """Channels whose carriers cannot be reached."""
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


def _about(errand: Errand) -> dict[str, str]:
    """What a line of the log is about."""
    return {
        "event_id": errand.event_id,
        "step_id": errand.step_id,
        "account": errand.customer_id,
    }


def _id_of(key: str, what: str) -> str:
    return blake2b(f"{key}\0{what}".encode(), digest_size=16).hexdigest()


def _now() -> Instant:
    return int(time.time() * 1_000_000)
