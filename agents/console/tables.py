"""Tables on this gateway's disk: one writer, readers in any thread."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

_BUSY_SECONDS = 30.0


class Tables:
    """A file of tables.

    Args:
        path: of the file; its directory is made.
        anew: whether what is in it goes.
        schema: statements that make what is not there yet.
    """

    def __init__(self, path: Path, schema: str, *, anew: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if anew:
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
        self._path = path
        self._readers = threading.local()
        self.db = self._connect()
        """The writer's; its statements are a transaction each, unless it begins one."""
        # What is made anew with each start need not outlive a loss of power.
        care = "OFF" if anew else "NORMAL"
        self.db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {care};" + schema)

    def rows(self, query: str, parameters: Any = ()) -> list[sqlite3.Row]:
        """What a query gives; it only reads."""
        db: sqlite3.Connection | None = getattr(self._readers, "db", None)
        if db is None:
            db = self._readers.db = self._connect()
            db.execute("PRAGMA query_only = ON")
        return db.execute(query, parameters).fetchall()

    def close(self) -> None:
        """Let go of the writer's side; those of readers go with their threads."""
        self.db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        db.row_factory = sqlite3.Row
        return db
