"""Run one command and see to it that it does not outlive the process that asked for it.

    python -I -S watchdog.py GRACE_SECONDS COMMAND [ARGUMENT...]

Standard input is a pipe whose other end the asking process holds and never writes to. When that
end closes, because it was closed or because its holder was killed in whatever way, the command is
told to stop, and is killed if it has not stopped after the grace. Only the standard library, so
that this costs little memory; no package of ours, so that it starts at once.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

_LOOK_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


def _die_with_watchdog() -> None:
    """Linux can also kill the command when this watchdog is killed; others cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(grace_seconds: float, command: list[str]) -> int:
    """The command's exit status; negative or 128 and more when a signal ended it."""
    asked_by = os.getppid()
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_watchdog,  # noqa: PLW1509  safe: this process has one thread
    )
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while child.poll() is None:
        closed, _, _ = select.select([sys.stdin.fileno()], [], [], _LOOK_SECONDS)
        # The parent's id is looked at too: a fork of the parent may keep the pipe open after it.
        if closed or os.getppid() != asked_by:
            child.terminate()
            try:
                child.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                child.kill()
            break
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]) & 0xFF)
