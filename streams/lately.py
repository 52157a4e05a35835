"""Whether something happens too often."""

from __future__ import annotations

import time
from collections import deque

_MINUTE = 60.0


class Lately:
    """Counts what happens, and forgets it after a minute.

    Args:
        most: so many within a minute are too many.
    """

    def __init__(self, most: int) -> None:
        self._times: deque[float] = deque(maxlen=most)

    def one_more(self) -> bool:
        """It happened again; whether there are too many now."""
        now = time.monotonic()
        self._times.append(now)
        return len(self._times) == self._times.maxlen and now - self._times[0] < _MINUTE
