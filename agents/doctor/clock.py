"""Whether this machine's clock can be right: business days begin by it."""

from __future__ import annotations

import ctypes
import sys
import time
from datetime import UTC, datetime

from agents.doctor.findings import Finding

CHECK = "clock"
_RELEASED_IN = 2026
_NOT_SYNCHRONISED = 5
"""TIME_ERROR of `ntp_adjtime(3)`."""
_TIMEX_BYTES = 512
"""More than the structure of any kernel."""
_SLACK_SECONDS = 5.0
_WRONG_SECONDS = 60.0
DO = "have chrony or systemd-timesyncd set the clock of the machine"


def clock_finding(now: float | None = None) -> Finding:
    """What the machine's clock and the kernel say. `now` is in seconds since 1970."""
    said = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    if said.year < _RELEASED_IN:
        text = f"it says {said:%Y-%m-%d %H:%M:%S} UTC, before this release was made"
        return Finding(CHECK, "wrong", text, DO)
    if _is_synchronised() is False:
        text = f"{said:%Y-%m-%d %H:%M:%S} UTC; the kernel says that nothing keeps it right"
        return Finding(CHECK, "warning", text, f"{DO}, unless whoever runs the machine does")
    return Finding(CHECK, "ok", f"{said:%Y-%m-%d %H:%M:%S} UTC")


def compared(name: str, theirs: float, ours: float, precision: float) -> Finding:
    """What another clock says; all in seconds, and how coarse their word is."""
    check = f"clock of {name}"
    apart = abs(theirs - ours)
    if apart <= _SLACK_SECONDS + precision:
        return Finding(check, "ok", "agrees with ours")
    way = "behind" if theirs < ours else "ahead"
    text = f"{apart:.0f} s {way} ours"
    return Finding(check, "wrong" if apart > _WRONG_SECONDS else "warning", text, DO)


def _is_synchronised() -> bool | None:
    """What the kernel knows of it; None where it cannot be asked."""
    if sys.platform != "linux":
        return None
    ask = getattr(ctypes.CDLL(None), "ntp_adjtime", None)
    if ask is None:
        return None
    # All zeroes: nothing is to be changed. What it answers is the clock's state, below 0 an error.
    state = int(ask(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if state < 0 else state != _NOT_SYNCHRONISED
