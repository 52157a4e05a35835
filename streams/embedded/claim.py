"""Who holds a directory: a lock that the kernel takes back when its holder is gone."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_PATIENCE_SECONDS = 0.05


class Claim:
    """A lock file, held by a process and by those children that are handed `fileno()`.

    The file also holds the holder's process id, which counts only while the lock is held: so a file
    that a killed process left behind, or an id that another process has by now, misleads nobody.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self, timeout_seconds: float = 0.0) -> bool:
        """Take the lock, waiting for a holder that is about to leave. False: somebody keeps it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + timeout_seconds
        while not _lock(file, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                os.close(file)
                return False
            time.sleep(_PATIENCE_SECONDS)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        return True

    def fileno(self) -> int:
        """For `pass_fds`: the child then holds the lock as well, until it ends too."""
        if self._file is None:
            raise RuntimeError(f"{self.path} is not held by this process")
        return self._file

    def release(self) -> None:
        """Let go. The file stays: were it removed, two could hold two files of one name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def holder(path: Path) -> int | None:
    """The process id of whoever holds the claim at `path`, None when nobody does."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who ask at once do not take each other for the holder.
        if _lock(file, fcntl.LOCK_SH):
            return None
        text = os.pread(file, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(file)


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
