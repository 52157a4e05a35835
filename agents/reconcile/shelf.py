"""What a comparison has to keep of every account, on disk: memory stays the same however many there
are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict, WriteBatch

_WAITING_MAX = 10_000


class Shelf:
    """An ordered map of bytes in a directory that nobody else has."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(16 * 1024 * 1024)
        self._db = Rdict(str(directory), options)
        self._waiting: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        if key in self._waiting:
            return self._waiting[key]
        found: bytes | None = self._db.get(key)
        return found

    def put(self, key: bytes, value: bytes | None) -> None:
        """None takes the key away."""
        self._waiting[key] = value
        if len(self._waiting) >= _WAITING_MAX:
            self._write()

    def entries(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Those whose key begins so, in the order of their keys."""
        self._write()
        found: Iterator[tuple[Any, Any]] = self._db.items(from_key=prefix)
        for key, value in found:
            if not key.startswith(prefix):
                return
            yield key, value

    def close(self) -> None:
        self._db.close()

    def _write(self) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in self._waiting.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._db.write(batch)
        self._waiting.clear()
