"""Where a room's rules keep what they remember: an ordered map of keys to values.

The rules see only the protocol `Ledger`. In the pipeline a partition store stands behind it, in
`headroom simulate` and in tests the `MemoryLedger`.

Keys are text. What belongs to one credit account starts with the account's id and a NUL, so one
account is one range; what belongs to the whole partition starts with a NUL. No id may hold a NUL
(intake refuses it).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

from sortedcontainers import SortedDict

_KEYS_AT_A_TIME = 64
_GONE: Any = object()


class Ledger(Protocol):
    """An ordered map. Values are live objects: who changes one puts it again."""

    def get(self, key: str) -> Any: ...

    def put(self, key: str, value: Any) -> None: ...

    def delete(self, key: str) -> None: ...

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        """Keys with start <= key < end, ascending, own writes included.

        The caller may not write into the range while it iterates; `list()` it first.
        """
        ...


class MemoryLedger:
    """A ledger in memory, nothing more."""

    def __init__(self) -> None:
        self._values: SortedDict[str, Any] = SortedDict()

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        self._values[key] = value

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        values, first = self._values, True
        while True:
            # A few keys at a time: an iterator of the map loses its place with any write.
            keys = list(islice(values.irange(start, end, (first, False)), _KEYS_AT_A_TIME))
            for key in keys:
                value = values.get(key, _GONE)
                if value is not _GONE:
                    yield key, value
            if len(keys) < _KEYS_AT_A_TIME:
                return
            start, first = keys[-1], False
