"""The cache of classes is made once, by one, and its absence stops nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from streams.embedded.class_cache import class_cache
from streams.embedded.supervised import EmbeddedPartError

_JAVA = """#!/bin/sh
for option in "$@"; do
  case "$option" in
    -XX:AOTCache=*) made="${option#*=}" ;;
    -XX:AOTConfiguration=*) seen="${option#*=}" ;;
  esac
done
cp "$seen" "$made"
"""


@pytest.fixture
def java(tmp_path: Path) -> Path:
    """Makes a cache of what was seen."""
    program = tmp_path / "bin-java"
    program.write_text(_JAVA)
    program.chmod(0o755)
    return program


class Program:
    """Notes how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def run_once(self, options: list[str]) -> None:
        self.runs += 1
        (seen,) = (one.partition("=")[2] for one in options if "AOTConfiguration" in one)
        Path(seen).write_text("classes")


def test_it_is_made_once_however_many_start(tmp_path: Path, java: Path) -> None:
    program = Program()
    found: list[list[str]] = []

    def start() -> None:
        found.append(class_cache(java, "a.jar", tmp_path / "cache", program.run_once))

    threads = [threading.Thread(target=start) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    start()
    assert program.runs == 1
    assert [one == found[0] for one in found] == [True] * 6
    path = Path(found[0][0].removeprefix("-XX:AOTCache="))
    assert path.read_text() == "classes"
    assert {one.suffix for one in path.parent.iterdir()} == {".aot", ".lock"}


def test_another_class_path_has_another(tmp_path: Path, java: Path) -> None:
    program = Program()
    one, other = (class_cache(java, p, tmp_path, program.run_once) for p in ("a.jar", "b.jar"))
    assert one != other
    assert program.runs == 2


def test_where_it_cannot_be_made_there_is_none(tmp_path: Path, java: Path) -> None:
    def ends(_options: list[str]) -> None:
        raise EmbeddedPartError("Unrecognized VM option 'AOTMode=record'")

    assert class_cache(java, "a.jar", tmp_path, ends) == []
    java.write_text("#!/bin/sh\nexit 1\n")
    assert class_cache(java, "a.jar", tmp_path, Program().run_once) == []
    assert [one.suffix for one in (tmp_path / "java").iterdir()] == [".lock"]
