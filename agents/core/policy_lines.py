"""In which line of a TOML text each key stands, which `tomllib` does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The keys down to a value; a number is a place in a list, counted from 0."""


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, on which each key of a valid TOML text is written first."""
    lines: dict[Path, int] = {}
    array_tables: dict[Path, int] = {}
    table: Path = ()
    statement, began = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        if statement.lstrip().startswith("["):
            table = _entered(said, array_tables)
            written = [table[:end] for end in range(1, len(table) + 1)]
        else:
            written = list(_paths(said, table))
        for path in written:
            lines.setdefault(path, began)
        statement, began = "", number + 1
    return lines


def line_of(path: Path, lines: dict[Path, int]) -> int | None:
    """The line of the value, or of the nearest that is written of what it belongs to."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _entered(header: Any, array_tables: dict[Path, int]) -> Path:
    """The table that a header such as `[versions.overdue]` begins or goes on with."""
    path: Path = ()
    while header:
        ((key, header),) = header.items()
        path += (key,)
        if isinstance(header, list):
            array_tables[path] = array_tables.get(path, -1) + 1
            header = header[0]
        if path in array_tables:
            path += (array_tables[path],)
    return path


def _paths(value: Any, path: Path) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _paths(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from _paths(part, (*path, at))
