"""The order in which an agent of several topics gets their records: that of time.

Brokers give of each partition so many bytes in turn. With much to catch up on, an agent that took
what comes would be minutes further in topics with small records (orders) than in those with large
ones (invoices, payments): orders would be held for money that came long before them.

So of the partitions of which something is here, the one whose next record is the oldest goes first.
What is not here yet is waited for by the reader, a little (`streams.fast_lane.fetch`): a partition
whose broker is away keeps nobody from going on.
(docs/decisions/0039-intake-reads-in-the-order-of-time.md)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from streams.fast_lane.fetched import Fetched, split

_Whose = TypeVar("_Whose", bound=Hashable)

_SLICE_MS = 250
"""How much younger than another's next record one may be and still go before it: else every record
would be a step of its own.
"""
_AT_ONCE = 0


class OldestFirst(Generic[_Whose]):
    """What was read, and waits for its turn; of each partition in the partition's order."""

    def __init__(self) -> None:
        self._waiting: dict[_Whose, deque[tuple[Fetched, int]]] = {}
        self._bytes: dict[_Whose, int] = {}
        self._next: dict[_Whose, int] = {}
        """From when the next record of each partition is, milliseconds since 1970."""

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def bytes_of(self, whose: _Whose) -> int:
        """What waits of a partition takes so much memory."""
        return self._bytes.get(whose, 0)

    def put(self, whose: _Whose, fetched: Fetched, now_ms: int) -> None:
        """Have the records wait behind those of their partition that do already.

        None counts as younger than `now_ms`: those of a sender whose clock is ahead would be the
        last for as long as there are others.
        """
        self._waiting.setdefault(whose, deque()).append((fetched, now_ms))
        self._bytes[whose] = self._bytes.get(whose, 0) + fetched.size
        self._note_next(whose)

    def take(self) -> tuple[_Whose, Fetched]:
        """The oldest, and what comes behind it in its partition and is about as old. Raises
        `ValueError` when nothing waits.
        """
        whose = min(self._next, key=lambda one: self._next[one])
        until = _SLICE_MS + min(
            (at for other, at in self._next.items() if other != whose), default=1 << 62
        )
        fetched, read_at = self._waiting[whose].popleft()
        if read_at > until:
            younger = (n for n, record in enumerate(fetched.records) if record.timestamp > until)
            at = max(next(younger, len(fetched.records)), 1)
            if at < len(fetched.records):
                fetched, rest = split(fetched, at)
                self._waiting[whose].appendleft((rest, read_at))
        self._bytes[whose] -= fetched.size
        self._note_next(whose)
        return whose, fetched

    def drop(self, whose: _Whose) -> None:
        """Nobody wants the partition's records any more."""
        for kept in (self._waiting, self._bytes, self._next):
            kept.pop(whose, None)

    def _note_next(self, whose: _Whose) -> None:
        if not self._waiting[whose]:
            self.drop(whose)
            return
        fetched, read_at = self._waiting[whose][0]
        self._next[whose] = (
            min(fetched.records[0].timestamp, read_at) if fetched.records else _AT_ONCE
        )
