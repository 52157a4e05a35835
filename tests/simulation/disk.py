"""The disks of the simulated machines, and RocksDB on them, as far as the product uses it.

A batch is written as a whole. A process that dies loses nothing of what it wrote; a machine that
loses power may lose the last batches, in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulation.world import World
from sortedcontainers import SortedDict

_REMEMBERED = 4
"""Batches that a loss of power may take."""

Batch = list[tuple[bytes, bytes | None]]


class Where:
    """A path on a simulated disk."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return self._path

    def __truediv__(self, name: str) -> Where:
        return Where(f"{self._path}/{name}")

    def mkdir(self, **_how: object) -> None:
        """Directories are made by opening what lies in them."""


class Directory:
    """One database's files."""

    def __init__(self) -> None:
        self.values: SortedDict[bytes, bytes] = SortedDict()
        self.recent: list[dict[bytes, bytes]] = []
        self.is_open = False

    def apply(self, batch: Batch) -> None:
        self.recent = [*self.recent[1 - _REMEMBERED :], dict(self.values)]
        for key, value in batch:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def lose(self, batches: int) -> None:
        """The power goes."""
        if 0 < batches <= len(self.recent):
            self.values = SortedDict(self.recent[-batches])
        self.recent = []


class Disks:
    """All directories, by path. `Rdict` opens one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.directories: dict[str, Directory] = {}

    def open(self, path: str, _options: object) -> Database:
        directory = self.directories.setdefault(path, Directory())
        if directory.is_open:
            raise OSError(f"{path}: lock hold by another database")
        directory.is_open = True
        process = self._world.current
        assert process is not None
        process.at_end.append(lambda: setattr(directory, "is_open", False))
        return Database(self._world, directory)

    def remove(self, path: object, **_how: object) -> None:
        """`shutil.rmtree`."""
        self.directories.pop(str(path), None)

    def of(self, machine: str) -> list[str]:
        return [path for path in self.directories if f"/{machine}/" in path]


class Database:
    """`rocksdict.Rdict` in raw mode."""

    def __init__(self, world: World, directory: Directory) -> None:
        self._world = world
        self._process = world.current
        self._directory = directory

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._directory.values.get(key)
        return found

    def put(self, key: bytes, value: bytes) -> None:
        self._write([(key, value)])

    def write(self, batch: WriteBatch) -> None:
        self._write(batch.changes)

    def _write(self, changes: Batch) -> None:
        self._world.still_alive(self._process)
        self._directory.apply(changes)

    def items(
        self, from_key: bytes | None = None, read_opt: ReadOptions | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        end = None if read_opt is None else read_opt.end
        values = self._directory.values
        for key in list(values.irange(from_key, end, inclusive=(True, False))):
            yield key, values[key]

    def close(self) -> None:
        if self._process is None or self._process.alive:
            self._directory.is_open = False


class WriteBatch:
    """`rocksdict.WriteBatch`."""

    def __init__(self, *, raw_mode: bool) -> None:
        assert raw_mode
        self.changes: Batch = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.changes.append((key, None))


class ReadOptions:
    """`rocksdict.ReadOptions`."""

    def __init__(self) -> None:
        self.end: bytes | None = None

    def set_iterate_upper_bound(self, end: Any) -> None:
        self.end = end
