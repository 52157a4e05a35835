"""A program that runs beside us: started under the watchdog, logged to a file, stopped clean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from streams.embedded.claim import Claim
from streams.errors import HeadroomError

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_BUSY_SECONDS = 20.0
_GRACE_SECONDS = 10.0
_LOG_TAIL_LINES = 15


class EmbeddedPartError(HeadroomError):
    """An embedded part did not start or has died; the message ends with what it logged last."""


class SupervisedProcess:
    """One running program. It ends when `stop` is called or when this process is gone."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        claim: Claim,
        environment: Mapping[str, str],
    ) -> None:
        self._name = name
        self._log = log
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        watchdog = [sys.executable, "-I", "-S", str(_WATCHDOG), str(_GRACE_SECONDS)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*watchdog, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                # Ctrl-C in a terminal goes to all of a group; this must stop after us, not with us.
                start_new_session=True,
                pass_fds=(claim.fileno(),),
            )

    def check(self) -> None:
        """Raises EmbeddedPartError when the program has ended."""
        status = self._process.poll()
        if status is not None:
            raise EmbeddedPartError(f"{self._name} ended with status {status}:\n{self.log_tail()}")

    def stop(self) -> None:
        """Ask it to stop, wait, kill it when it does not. Safe to call twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            # The watchdog keeps the grace; it needs time of its own on a busy machine.
            self._process.wait(_GRACE_SECONDS + _BUSY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # and with it, by the kernel, what it watches
            self._process.wait()

    def log_tail(self) -> str:
        """The last lines of the log, indented, with the log's path."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])
        return f"{tail}\n  (whole log: {self._log})"
