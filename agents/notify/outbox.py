"""What is to leave of one partition, and how far everything before is settled. Pure.

What kind of things those are, and when each may leave, is a `Trade`'s matter: letters (`letters`),
or notices of alerts (`notices`). What is known of a thing stands in the changelog under its key:
that it is about to leave, with the mark of who wrote that, or that it is settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from schemas.events import Day, Instant


class Now(NamedTuple):
    """The time, and the day at the creditor's."""

    at: Instant
    today: Day


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the changelog says of a thing, or a trade of what it has to remember.

    Attributes:
        offset: of its record.
        until: the last day on which it may leave. Its record may come a second time, further on
            (docs/guarantees.md), and must be known then; after that day it would be late.
        mark: of who is about to let it leave; empty when it is settled.
        result: what became of it.
        at: when that was; of what a trade remembers, what it says there.
    """

    offset: int
    until: Day
    mark: str = ""
    result: str = ""
    at: Instant = 0


@dataclass
class Waiting:
    """A thing that is to leave.

    Attributes:
        key: there is one such thing.
        way: that it takes; things on different ways do not wait for each other.
        offset: of its record.
        size: of its record, in bytes.
        due: before this it does not leave.
        mark: of who wrote down that it was about to leave; empty when nobody did.
        not_before: when to try again, on the caller's clock.
        tries: how often it was not taken.
        refused: why it is never to leave; empty: it is.
    """

    key: str
    way: str
    errand: Any
    offset: int
    size: int
    due: Instant = 0
    mark: str = ""
    not_before: float = 0.0
    tries: int = 0
    refused: str = ""


class Trade(Protocol):
    """One kind of things. Pure; belongs to one outbox."""

    queue_max: int
    """Things that may be due on one way; those that come then are refused."""

    def hear(self, offset: int, said: Any) -> Mapping[str, Known] | None:
        """What is to be remembered of a record by which things that wait may change; None: it
        changes none.
        """
        ...

    def recall(self, key: str, known: Known) -> None:
        """What was remembered, when reading begins again."""
        ...

    def errand(self, said: Any) -> Any | None:
        """What is to leave because of a record, if anything."""
        ...

    def is_off(self, said: Any, errand: Any) -> bool:
        """Whether it is not to leave any more, after a record or, with None, all that was heard."""
        ...

    def key_of(self, errand: Any) -> str: ...

    def way_of(self, errand: Any) -> str: ...

    def due(self, errand: Any) -> Instant:
        """The time before which it does not leave."""
        ...

    def may_leave(self, errand: Any, now: Now) -> bool:
        """Whether it may leave now that it is due."""
        ...

    def is_late(self, errand: Any, now: Now) -> bool:
        """Whether it may not leave any more."""
        ...

    def until(self, errand: Any) -> Day:
        """The last day on which its record, should it come again, must be known."""
        ...

    def gathers(self, errand: Any) -> str:
        """By what it leaves together with others; empty: by itself."""
        ...

    def message(self, errands: Sequence[Any]) -> Any:
        """What is given to a carrier of things that leave together."""
        ...


_TOGETHER_MAX = 200


class Outbox:
    """What is waiting, oldest first.

    Args:
        trade: what kind of things they are.
        known: what the changelog says of things.
    """

    def __init__(self, trade: Trade, known: Mapping[str, Known]) -> None:
        self.trade = trade
        self._known = dict(known)
        self._waiting: dict[str, Waiting] = {}
        self._on_way: Counter[str] = Counter()
        self._notes: dict[str, Known] = {}
        self.size = 0
        """Bytes of the records that wait."""
        for key, one in known.items():
            trade.recall(key, one)

    def take(self, offset: int, size: int, said: Any, now: Now) -> None:
        """Have something wait, or no longer, as a record says."""
        remembered = self.trade.hear(offset, said)
        if remembered is not None:
            self._known |= remembered
            self._notes |= remembered
            self._look_again(said)
            return
        errand = self.trade.errand(said)
        if errand is None:
            return
        key = self.trade.key_of(errand)
        known = self._known.get(key)
        if key in self._waiting or (known is not None and not known.mark):
            return
        way, mark = self.trade.way_of(errand), "" if known is None else known.mark
        waiting = Waiting(key, way, errand, offset, size, self.trade.due(errand), mark)
        if not mark and self.trade.is_off(None, errand):
            self._notes[key] = self._note(waiting, "", "withdrawn", now.at)
            return
        if not mark and self._is_full(way, now):
            waiting.refused, waiting.due = "the queue is full", 0
        self._waiting[key] = waiting
        self._on_way[way] += 1
        self.size += size

    def _look_again(self, said: Any) -> None:
        """What waits may have changed."""
        for key, waiting in list(self._waiting.items()):
            if waiting.mark or waiting.refused:
                continue
            if self.trade.is_off(said, waiting.errand):
                self._remove(key)
                self._notes[key] = self._note(waiting, "", "withdrawn")
            else:
                waiting.due = self.trade.due(waiting.errand)

    def _is_full(self, way: str, now: Now) -> bool:
        if self._on_way[way] < self.trade.queue_max:
            return False
        due = sum(1 for one in self._waiting.values() if one.way == way and one.due <= now.at)
        return due >= self.trade.queue_max

    def next(self, may_try: Callable[[Waiting], bool], now: Now) -> list[Waiting]:
        """The oldest that may leave, with those that leave together with it; empty: none may."""
        ready = (one for one in self._waiting.values() if self._may_leave(one, now))
        first = next(filter(may_try, ready), None)
        if first is None:
            return []
        if first.mark:  # what was about to leave together has the same fate
            return [one for one in self._waiting.values() if one.mark == first.mark]
        together = self.trade.gathers(first.errand)
        if not together or first.refused:
            return [first]
        found = [
            one
            for one in self._waiting.values()
            if one.way == first.way
            and not one.mark
            and not one.refused
            and self.trade.gathers(one.errand) == together
            and self._may_leave(one, now)
            and may_try(one)
        ]
        return found[:_TOGETHER_MAX]

    def _may_leave(self, waiting: Waiting, now: Now) -> bool:
        if waiting.mark or waiting.refused:
            return True
        return waiting.due <= now.at and self.trade.may_leave(waiting.errand, now)

    def still_has(self, things: Sequence[Waiting]) -> bool:
        """Whether all of them wait, and none was withdrawn meanwhile."""
        return all(self._waiting.get(one.key) is one for one in things)

    def begun(self, things: Sequence[Waiting], mark: str) -> dict[str, Known]:
        """They are about to leave; what is to be written of them."""
        for one in things:
            one.mark = mark
        return {one.key: self._note(one, mark) for one in things}

    def settled(
        self, things: Sequence[Waiting], result: str = "", at: Instant = 0
    ) -> dict[str, Known]:
        """Something became of them; what is to be written of it."""
        for one in things:
            self._remove(one.key)
        return {one.key: self._note(one, "", result, at) for one in things}

    def notes(self) -> dict[str, Known]:
        """What else is to be written before anybody reads from a later position: what became of
        things without us, and what the trade remembers.
        """
        notes, self._notes = self._notes, {}
        return notes

    def stays(self, things: Sequence[Waiting]) -> None:
        """They were about to leave and have not: they wait as before."""
        for one in things:
            one.mark = ""
            self._known.pop(one.key, None)

    def by(self, label: Callable[[Any], str]) -> Counter[str]:
        """How many wait."""
        return Counter(label(one.errand) for one in self._waiting.values())

    def due(self, now: Now) -> Iterator[Waiting]:
        """Those that should have left."""
        return (one for one in self._waiting.values() if self._may_leave(one, now))

    def position(self, next_offset: int) -> int:
        """The offset before which nothing waits."""
        return next((one.offset for one in self._waiting.values()), next_offset)

    @property
    def has_notes(self) -> bool:
        """Whether there is something to be written that no position tells of."""
        return bool(self._notes)

    def forget(self, position: int, today: Day) -> list[str]:
        """Drop what nobody needs any more when reading begins at `position`; the keys."""
        gone = [
            key
            for key, known in self._known.items()
            if known.offset < position and known.until < today
        ]
        for key in gone:
            del self._known[key]
        return gone

    def __len__(self) -> int:
        return len(self._waiting)

    def _note(self, waiting: Waiting, mark: str, result: str = "", at: Instant = 0) -> Known:
        known = Known(waiting.offset, self.trade.until(waiting.errand), mark, result, at)
        self._known[waiting.key] = known
        return known

    def _remove(self, key: str) -> None:
        waiting = self._waiting.pop(key)
        self._on_way[waiting.way] -= 1
        self.size -= waiting.size
