"""The state of a journal partition from its records alone, by the pure rules: the second opinion.

It reads what the credit agent reads and shares with it the rules, but nothing of how a worker
binds, commits and restores them.
"""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import msgspec

from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit.effects import (
    AccountLeft,
    AccountTouched,
    Continuation,
    Effect,
    Forward,
    GroupTouched,
    Sent,
    Standing,
)
from agents.credit.failures import Failures
from agents.credit.parking import AccountFailedError
from agents.credit.portfolio import NOTE, Totals
from agents.reconcile.expected import ExpectedFigures
from schemas.events import BusinessDayStarted, Event, FxRatePublished
from streams.cloud_events import SEAT
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.fast_lane.partition import origin_of
from streams.fast_lane.store import PartitionStore
from streams.record import Record

_DIRECT = Sent()
_NOTHING = Standing("", 0, 0)
_RECORDS_PER_WRITE = 20_000
_decode_sent = msgspec.json.Decoder(Sent).decode


class Recomputation:
    """Folds a partition's records into a store that was empty.

    Args:
        store: takes the state.
        codec: decodes the records.
        policies: by which is decided.
        figures: learns which accounts have new figures.
    """

    def __init__(
        self, store: PartitionStore, codec: Codec, policies: PolicyBook, figures: ExpectedFigures
    ) -> None:
        self.store = store
        self.figures = figures
        self._codec = codec
        self._policies = policies
        self._failures = Failures()
        self._totals = Totals()
        self._totals_written = Totals()
        self._unwritten: list[Record] = []

    def apply(self, record: Record) -> list[Any]:
        """Fold one record; what goes out because of it, in order. An account on which the rules
        fail is parked, as a worker does.
        """
        self._unwritten.append(record)
        while True:
            try:
                said = self._apply(record)
            except AccountFailedError:
                self._go_back()
            else:
                break
        if len(self._unwritten) >= _RECORDS_PER_WRITE:
            self.write()
        return said

    def _go_back(self) -> None:
        """To what was written last, and from there to just before the last record again."""
        self.store.roll_back()
        self._totals = deepcopy(self._totals_written)
        for record in self._unwritten[:-1]:
            self._apply(record)

    def stand_at(self, offset: int) -> None:
        """All before this offset has been applied: put the state on disk as a commit would."""
        self.figures.close(self.store)
        self.store.advance(offset)
        self.store.set_note(NOTE, msgspec.msgpack.encode(self._totals))
        self.write()

    def write(self) -> None:
        """Put on disk what is not, and forget what is too much for memory."""
        self.figures.close_when_many(self.store)
        snapshot = self.store.snapshot()
        self.store.write(snapshot.changes, changelog_offset=0, now=time.time())
        self.store.settle()
        self.store.trim()
        self._totals_written = deepcopy(self._totals)
        self._unwritten.clear()

    def _apply(self, record: Record) -> list[Any]:
        said = self._reduce(record)
        self.store.advance(record.offset + 1)
        return said

    def _reduce(self, record: Record) -> list[Any]:
        origin = origin_of(record)
        if origin is not None and self.store.is_repeat(*origin):
            return []
        try:
            event = self._codec.decode(record.value)
        except InvalidMessage:
            return []
        sent = _DIRECT
        if record.headers and record.headers[-1][0] == SEAT:
            sent = _decode_sent(record.headers[-1][1] or b"")
        if isinstance(event, BusinessDayStarted):
            self.figures.close(self.store)
        elif isinstance(event, FxRatePublished):
            self.figures.rate_moves(self.store)
        place = (record.partition, record.offset)
        effects = self._failures.reduce(place, self.store, event, self._policies, sent)
        return [said for effect in effects if (said := self._follow(effect)) is not None]

    def _follow(self, effect: Effect) -> Event | Refusal | Forward | None:
        match effect:
            case AccountTouched():
                self._totals.move(effect.before, effect.after)
                self.figures.touch(effect.account_id)
            case AccountLeft():
                self._totals.move(effect.before, _NOTHING)
                self.figures.touch(effect.account_id)
            case GroupTouched():
                self.figures.touch_group(effect.group_id)
            case Continuation():
                pass  # the journal has it
            case _:
                return effect
        return None
