"""The three examples of docs/examples, each made ready to run as a stranger would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.embedded.java import OPTIONS, find_java
from streams.embedded.maven import fetch

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
EXAMPLES = ROOT / "docs" / "examples"
LANGUAGES = ("python", "java", "typescript")
_JAVA_VERSION = "17"

Command = list[str | Path]


@pytest.fixture(scope="session")
def command_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cache_dir: Path
) -> Callable[[str], Command]:
    """The command that runs the example of a language; compiled once."""
    made: dict[str, Command] = {}

    def make(language: str) -> Command:
        if language == "python":
            return [sys.executable, EXAMPLES / "python" / "subscriber.py"]
        place = tmp_path_factory.mktemp(language)
        if language == "java":
            return _java(place, cache_dir)
        project = request.getfixturevalue("with_packages")(EXAMPLES / language, place / "project")
        node = request.getfixturevalue("node")
        _run(node, project / "node_modules" / "typescript" / "bin" / "tsc", "-p", project)
        return [node, project / "dist" / "subscriber.js"]

    def command(language: str) -> Command:
        if language not in made:
            made[language] = make(language)
        return made[language]

    return command


def _java(place: Path, cache: Path) -> Command:
    jars = fetch("subscriber", cache)
    java = find_java(None, int(_JAVA_VERSION))
    compiler = next(jar for jar in jars if jar.name.startswith("ecj-"))
    path = os.pathsep.join(str(jar) for jar in jars if jar != compiler)
    source = EXAMPLES / "java" / "Subscriber.java"
    _run(java, "-jar", compiler, f"-{_JAVA_VERSION}", "-classpath", path, "-d", place, source)
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [java, *OPTIONS, quiet, "-cp", f"{place}{os.pathsep}{path}", "Subscriber"]


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
