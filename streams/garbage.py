"""What Python's collector of garbage looks at in a process that answers somebody."""

from __future__ import annotations

import gc

_THRESHOLDS = (5_000, 5, 1_000)


def settle() -> None:
    """Call it once all is there that lives as long as the process.

    It is not looked at again, and the collector looks at little at a time: a look at 400,000
    objects kept orders waiting for 0.4 s. Events and records hold no cycles. Measured in a worker:
    a seventh less time per event.
    """
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
