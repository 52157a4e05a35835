"""A partition of the brokers in memory: records, transactions that are open in it, what readers may
see of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes | None]]
Place = tuple[str, int]
"""Topic and partition."""


class Written(NamedTuple):
    """What a producer wants written."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


@dataclass(eq=False)
class Transaction:
    """One transaction, from its first record to the last marker."""

    began_at: float
    places: list[Place] = field(default_factory=list)
    offsets: dict[str, dict[Place, int]] = field(default_factory=dict)
    """Of consumer groups."""
    committed: bool | None = None
    """None while it is open."""
    markers_left: int = 0


@dataclass(frozen=True)
class Entry:
    """A record, or the marker that ends a transaction."""

    offset: int
    record: Written | None
    transaction: Transaction | None

    @property
    def readable(self) -> bool:
        """A record that counts, if its transaction has ended here."""
        return self.record is not None and (
            self.transaction is None or self.transaction.committed is True
        )


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.first = 0
        self.end = 0
        self.entries: list[Entry] = []
        self._open: dict[Transaction, int] = {}

    @property
    def stable_end(self) -> int:
        """Where the first transaction begins that has not ended here (Kafka's last stable
        offset).
        """
        return min(self._open.values(), default=self.end)

    def end_for(self, *, committed: bool) -> int:
        return self.stable_end if committed else self.end

    def append(self, record: Written | None, transaction: Transaction | None = None) -> int:
        """Write a record, or with None the marker that ends the transaction; the offset."""
        offset = self.end
        self.end += 1
        if transaction is not None:
            if record is None:
                self._open.pop(transaction, None)
            else:
                self._open.setdefault(transaction, offset)
        self.entries.append(Entry(offset, record, transaction))
        return offset

    def read(self, start: int, records: int, *, committed: bool) -> tuple[list[Entry], int]:
        """Up to so many readable records from `start` on, and where to read on behind them."""
        end = self.end_for(committed=committed)
        found: list[Entry] = []
        at = start
        for entry in self.entries[bisect_left(self.entries, start, key=lambda e: e.offset) :]:
            if entry.offset >= end or len(found) == records:
                break
            if entry.readable or (not committed and entry.record is not None):
                found.append(entry)
            at = entry.offset + 1
        else:
            at = max(at, end)
        return found, at

    def compact(self, *, deletions_too: bool = False) -> None:
        """Keep the last record of each key; the end stays. Deletions are kept for a day at least,
        for readers that are behind.
        """
        end = self.stable_end
        last = {
            entry.record.key: entry.offset
            for entry in self.entries
            if entry.record is not None and entry.readable and entry.offset < end
        }

        def stays(entry: Entry) -> bool:
            record = entry.record
            if entry.offset >= end:
                return True
            if record is None or last.get(record.key) != entry.offset:
                return False
            return record.value is not None or not deletions_too

        self.entries = [entry for entry in self.entries if stays(entry)]

    def delete_before(self, offset: int) -> None:
        """Retention: the log begins at `offset`."""
        self.first = max(self.first, offset)
        self.entries = [entry for entry in self.entries if entry.offset >= offset]
