"""What an agent remembers for one journal partition: committed bytes on disk, live objects above
them.

The store is the `Ledger` of the pure rules: an ordered map of text keys to mutable objects.

* RocksDB holds what is committed: state values, and beside them how far the journal and the
  changelog stand, all written in one batch. The changelog in Kafka is the truth; the disk only
  makes a restart quick.
* `_live` holds decoded objects: all that is not yet on disk, and a bounded cache of what is. None
  stands for "there is no such key", so a key that is asked for in vain is read from disk once.
* `snapshot` encodes what changed since the last one; the next batch may change the same objects at
  once, since bytes have been taken. `write` (any thread) puts those bytes on disk, `settle` then
  forgets them here.

One thread (the event loop's) uses the ledger; only `write` may run in another. One snapshot is out
at a time.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from streams.errors import HeadroomError

LAYOUT = 1
"""Version of the plumbing's own keys below. The values' version is the codec's matter."""

NUL = "\0"
"""Parts the first part of a key from the rest; ranges within one first part are quick to scan."""

_PLUMBING = b"\xff"
"""First byte of the plumbing's own keys: no text in UTF-8 starts with it, so no rule's key
collides.
"""
_LAYOUT_KEY = _PLUMBING + b"layout"
POSITION_KEY = _PLUMBING + b"next"
"""Holds the journal offset up to which the state is one; last in every transaction."""
_ORIGIN_KEY = _PLUMBING + b"origin:"
_CHANGELOG_KEY = _PLUMBING + b"changelog"
_CHANGELOG_ID_KEY = _PLUMBING + b"changelog-id"
_WRITTEN_KEY = _PLUMBING + b"written"
_NOTE_KEY = _PLUMBING + b"note:"
_OF_THE_DISK = frozenset({POSITION_KEY, _CHANGELOG_KEY, _CHANGELOG_ID_KEY, _WRITTEN_KEY})

_UNREAD: Any = object()


def plumbing_of(raw_key: bytes) -> str | None:
    """The name of a key that is the plumbing's own, None for one of the rules."""
    return raw_key[1:].decode() if raw_key[:1] == _PLUMBING else None


class StateCodec(Protocol):
    """How an agent's values stand in a store (`agents.<room>.state`)."""

    def encode(self, key: str, value: Any, /) -> bytes: ...

    def decode(self, key: str, raw: bytes, /) -> Any: ...


class StoreInUseError(HeadroomError):
    """Another process holds this directory: two workers on one host need different state
    directories.
    """


class StoreVersionError(HeadroomError):
    """The state was written by a newer release than this one."""


class Snapshot(NamedTuple):
    """What has changed up to `next_offset`, as raw keys and values; None deletes. Nothing in it
    changes.
    """

    changes: Mapping[bytes, bytes | None]
    next_offset: int


class Memory:
    """RocksDB memory that all stores of a worker share: block cache and write buffers."""

    def __init__(self, *, block_cache_bytes: int, write_buffer_bytes: int) -> None:
        self.block_cache = Cache(block_cache_bytes)
        self.write_buffers = WriteBufferManager(write_buffer_bytes, False)


def _options(memory: Memory) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_manager(memory.write_buffers)
    options.set_write_buffer_size(16 * 1024 * 1024)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    # Most keys that are asked for in vain are those of new documents. The filter spares the search
    # of what has not been written to a file yet.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.05)
    options.set_compression_type(DBCompressionType.lz4())
    table = BlockBasedOptions()
    table.set_block_cache(memory.block_cache)
    table.set_bloom_filter(10, False)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options.set_block_based_table_factory(table)
    return options


class Glance:
    """A ledger to look at: reads what is on disk, and forgets what is put into it.

    What was written together may be seen in part.
    """

    def __init__(self, db: Rdict, decode: Callable[[str, bytes], Any]) -> None:
        self._db = db
        self._decode = decode
        self._put: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        if key in self._put:
            return self._put[key]
        raw = self._db.get(key.encode())
        return None if raw is None else self._decode(key, raw)

    def put(self, key: str, value: Any) -> None:
        self._put[key] = value

    def delete(self, key: str) -> None:
        self._put[key] = None

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        """Keys with start <= key < end, ascending."""
        on_disk = _range(self._db, start.encode(), end.encode())
        if not self._put:  # nothing is read that nobody asks for: a range may be a whole partition
            for raw_key, raw in on_disk:
                key = raw_key.decode()
                yield key, self._decode(key, raw)
            return
        found = {raw_key.decode(): raw for raw_key, raw in on_disk}
        for key in sorted(found.keys() | {key for key in self._put if start <= key < end}):
            value = self._put[key] if key in self._put else self._decode(key, found[key])
            if value is not None:
                yield key, value


class PartitionStore:
    """The state of one (agent, journal partition).

    Raises `StoreInUseError` when another process has it open and `StoreVersionError` for a newer
    layout.
    """

    def __init__(
        self, directory: Path, codec: StateCodec, memory: Memory, *, cached_keys: int = 100_000
    ) -> None:
        self._encode: Callable[[str, Any], bytes] = codec.encode
        self._decode: Callable[[str, bytes], Any] = codec.decode
        self._memory = memory
        self._cached_keys = cached_keys
        self.directory = directory
        self._db = self._open()
        self._live: dict[str, Any] = {}
        self._dirty: set[str] = set()
        self._writing: set[str] = set()
        # Dirty or being written, in order, for scans: by the part before the first NUL, which a
        # range seldom leaves. What was added since the last scan waits unsorted.
        self._unsaved: dict[str, list[str]] = {}
        self._unsaved_unsorted: list[str] = []
        self._origins: dict[str, int] = {}
        self._dirty_origins: set[str] = set()
        self._notes: dict[str, bytes] = {}
        self._next_offset: int | None = None
        self._load_plumbing()

    # ── the ledger ──────────────────────────────────────────────────────────────────────────────

    def get(self, key: str) -> Any:
        value = self._live.get(key, _UNREAD)
        if value is not _UNREAD:
            return value
        return self._read(key)

    def put(self, key: str, value: Any) -> None:
        self._live[key] = value
        if key not in self._dirty:
            self._dirty.add(key)
            self._unsaved_unsorted.append(key)

    def delete(self, key: str) -> None:
        self.put(key, None)

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        """Keys with start <= key < end, ascending, own writes included. Don't write into the range
        meanwhile.
        """
        unsaved = self._unsaved_between(start, end)
        live = self._live
        at = 0
        for raw_key, raw in self._scan_disk(start, end):
            key = raw_key.decode()
            while at < len(unsaved) and unsaved[at] < key:
                if (value := live[unsaved[at]]) is not None:
                    yield unsaved[at], value
                at += 1
            if at < len(unsaved) and unsaved[at] == key:
                at += 1
            value = live.get(key, _UNREAD)
            if value is _UNREAD:
                value = live[key] = self._decode(key, raw)
            if value is not None:
                yield key, value
        for key in unsaved[at:]:
            if (value := live[key]) is not None:
                yield key, value

    # ── beside the ledger ───────────────────────────────────────────────────────────────────────

    def note(self, name: str) -> bytes | None:
        """Bytes that the agent keeps beside its ledger, committed with it."""
        raw = self._notes.get(name)
        return self._db.get(_NOTE_KEY + name.encode()) if raw is None else raw

    def set_note(self, name: str, raw: bytes) -> None:
        """Goes out with the next snapshot."""
        self._notes[name] = raw

    # ── how far it stands ───────────────────────────────────────────────────────────────────────

    @property
    def next_offset(self) -> int | None:
        """The first journal offset that is not in the state; None while it never held anything."""
        return self._next_offset

    def advance(self, next_offset: int) -> None:
        """All before `next_offset` is in the state now."""
        self._next_offset = next_offset

    def is_repeat(self, source: str, offset: int) -> bool:
        """Whether this input record is in the state already; if not, it counts as in from now on.

        `source` is an input partition, `<topic>@<uuid>:<partition>`. Its records reach this journal
        partition in their order and without gaps, so the highest offset says all.
        """
        if offset <= self._origins.get(source, -1):
            return True
        self._origins[source] = offset
        self._dirty_origins.add(source)
        return False

    @property
    def changelog_offset(self) -> int:
        """The first changelog offset that is not on disk; 0 for an empty directory."""
        raw = self._db.get(_CHANGELOG_KEY)
        return 0 if raw is None else int(raw)

    @property
    def changelog_id(self) -> str | None:
        """The broker's id of the changelog that the disk copies; None for an empty directory."""
        raw = self._db.get(_CHANGELOG_ID_KEY)
        return None if raw is None else str(raw, "ascii")

    def follow(self, changelog_id: str) -> None:
        """The disk is a copy of this changelog from now on."""
        self._db.put(_CHANGELOG_ID_KEY, changelog_id.encode())

    @property
    def written_at(self) -> float:
        """When the disk was last written, seconds since 1970; 0 for an empty directory."""
        raw = self._db.get(_WRITTEN_KEY)
        return 0.0 if raw is None else float(raw)

    # ── committing ──────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """The changes since the last snapshot. It must be written and settled before the next is
        taken.

        Raises `RuntimeError` when one is still out.
        """
        if self._writing:
            raise RuntimeError("a snapshot is still being written")
        if self._next_offset is None:
            raise RuntimeError("nothing has been applied yet")
        live, encode = self._live, self._encode
        changes: dict[bytes, bytes | None] = {}
        for key in self._dirty:
            value = live[key]
            changes[key.encode()] = None if value is None else encode(key, value)
        for source in self._dirty_origins:
            changes[_ORIGIN_KEY + source.encode()] = b"%d" % self._origins[source]
        for name, raw in self._notes.items():
            changes[_NOTE_KEY + name.encode()] = raw
        self._notes.clear()
        changes[POSITION_KEY] = b"%d" % self._next_offset
        changes[_LAYOUT_KEY] = b"%d" % LAYOUT
        self._writing, self._dirty = self._dirty, set()
        self._dirty_origins.clear()
        return Snapshot(changes, self._next_offset)

    def write(
        self, changes: Mapping[bytes, bytes | None], *, changelog_offset: int, now: float
    ) -> None:
        """Put committed changes on disk, with the changelog offset that follows them, in one batch.

        It is not synced: after a loss of power the disk is behind, in one piece, and the changelog
        has the rest.
        """
        batch = WriteBatch(raw_mode=True)
        for raw_key, raw in changes.items():
            if raw is None:
                batch.delete(raw_key)
            else:
                batch.put(raw_key, raw)
        batch.put(_CHANGELOG_KEY, b"%d" % changelog_offset)
        batch.put(_WRITTEN_KEY, b"%.3f" % now)
        self._db.write(batch)

    def settle(self) -> None:
        """The snapshot that was out is on disk: its keys are clean unless they changed again."""
        self._writing = set()
        self._unsaved = {}
        self._unsaved_unsorted = list(self._dirty)

    def trim(self) -> None:
        """Forget clean objects, longest known first, once there are too many. Call between steps
        only.
        """
        excess = len(self._live) - self._cached_keys
        if excess <= 0:
            return
        dirty, writing = self._dirty, self._writing
        forget = []
        for key in self._live:
            if key not in dirty and key not in writing:
                forget.append(key)
                # A tenth more than needed, so that this loop runs seldom.
                if len(forget) >= excess + self._cached_keys // 10:
                    break
        for key in forget:
            del self._live[key]

    def committed(self) -> Iterator[tuple[bytes, bytes]]:
        """All that is on disk and in the changelog, by raw key: not what concerns this disk only,
        nor how far the state stands.
        """
        items: Iterator[tuple[Any, Any]] = self._db.items()
        for raw_key, raw in items:
            if raw_key not in _OF_THE_DISK:
                yield raw_key, raw

    def raw(self, raw_key: bytes) -> bytes | None:
        """What is on disk under a raw key."""
        found: bytes | None = self._db.get(raw_key)
        return found

    def glance(self) -> Glance:
        """The ledger as it is on disk, for a look from any thread while `write` goes on."""
        return Glance(self._db, self._decode)

    # ── restoring ───────────────────────────────────────────────────────────────────────────────

    def reload(self) -> None:
        """Read back how far the disk stands, after `write` restored it from the changelog."""
        self._live.clear()
        self._load_plumbing()

    def roll_back(self) -> None:
        """Forget all that changed since the last snapshot. It must have been written and settled.

        Raises `RuntimeError` when it was not.
        """
        if self._writing:
            raise RuntimeError("a snapshot is still being written")
        self._dirty.clear()
        self._unsaved.clear()
        self._unsaved_unsorted.clear()
        self._dirty_origins.clear()
        self._notes.clear()
        self.reload()

    def wipe(self) -> None:
        """Throw the directory away and begin with an empty one."""
        self._db.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._db = self._open()
        self.reload()

    def close(self) -> None:
        self._db.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> Rdict:
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            return Rdict(str(self.directory), _options(self._memory))
        except Exception as error:  # rocksdict raises bare Exception with RocksDB's status text
            if "lock" in str(error).lower():
                raise StoreInUseError(
                    f"{self.directory} is in use by another process:"
                    " give each worker its own HEADROOM_WORKER_NAME or HEADROOM_STATE_DIR"
                ) from error
            if "Corruption" not in str(error):
                raise
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        return Rdict(str(self.directory), _options(self._memory))

    def _load_plumbing(self) -> None:
        layout = self._db.get(_LAYOUT_KEY)
        if layout is not None and int(layout) > LAYOUT:
            raise StoreVersionError(
                f"{self.directory}: state layout {int(layout)} is newer"
                f" than this release's {LAYOUT}"
            )
        raw_next = self._db.get(POSITION_KEY)
        self._next_offset = None if raw_next is None else int(raw_next)
        self._origins = {
            raw_key[len(_ORIGIN_KEY) :].decode(): int(raw)
            for raw_key, raw in self._range(_ORIGIN_KEY, _ORIGIN_KEY[:-1] + b";")
        }

    def _read(self, key: str) -> Any:
        raw = self._db.get(key.encode())
        value = None if raw is None else self._decode(key, raw)
        self._live[key] = value
        return value

    def _unsaved_between(self, start: str, end: str) -> list[str]:
        unsaved = self._unsaved
        for key in self._unsaved_unsorted:
            shelf = unsaved.setdefault(key.partition(NUL)[0], [])
            at = bisect_left(shelf, key)
            if at == len(shelf) or shelf[at] != key:  # it may be being written and dirty again
                shelf.insert(at, key)
        self._unsaved_unsorted.clear()
        first = start.partition(NUL)[0]
        if end.partition(NUL)[0] == first:
            shelf = unsaved.get(first, [])
            return shelf[bisect_left(shelf, start) : bisect_left(shelf, end)]
        return sorted(key for shelf in unsaved.values() for key in shelf if start <= key < end)

    def _scan_disk(self, start: str, end: str) -> Iterator[tuple[bytes, bytes]]:
        return self._range(start.encode(), end.encode())

    def _range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return _range(self._db, start, end)


def is_of_ledger(raw_key: bytes) -> bool:
    """Whether what is written under a key is the ledger's, and not about how far it has come."""
    return not raw_key.startswith(_PLUMBING)


def _range(db: Rdict, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
    bounded = ReadOptions()
    bounded.set_iterate_upper_bound(end)
    items: Iterator[tuple[Any, Any]] = db.items(from_key=start, read_opt=bounded)
    yield from items
