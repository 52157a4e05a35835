"""The partition store is an ordered map, whatever is dirty, being written, evicted or lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from rocksdict import DbClosedError

from streams.fast_lane.store import Memory, PartitionStore, Snapshot, StoreInUseError

MEMORY = Memory(block_cache_bytes=8 << 20, write_buffer_bytes=8 << 20)
KEYS = st.sampled_from(
    [f"{account}\0{kind}{n}" for account in ("", "A", "AB", "Ä") for kind in "io" for n in (1, 2)]
)


class Json:
    """Values are one-element lists, so that a test can change one in place as the rules do."""

    def encode(self, _key: str, value: Any) -> bytes:
        return json.dumps(value).encode()

    def decode(self, _key: str, raw: bytes) -> Any:
        return json.loads(raw)


OpenStore = Callable[..., PartitionStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    opened = []

    def opener(cached_keys: int = 1000) -> PartitionStore:
        store = PartitionStore(tmp_path / "0", Json(), MEMORY, cached_keys=cached_keys)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        with suppress(DbClosedError):
            store.close()


def commit(store: PartitionStore, next_offset: int) -> Snapshot:
    store.advance(next_offset)
    snapshot = store.snapshot()
    store.write(snapshot.changes, changelog_offset=next_offset, now=1.0)
    store.settle()
    return snapshot


class StoreAgainstDict(RuleBasedStateMachine):
    """Any mix of writes, commits, evictions and restarts reads like a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.offset = 0
        self.model: dict[str, list[int]] = {}
        self.committed: dict[str, list[int]] = {}
        self.out: Snapshot | None = None
        self.frozen: dict[str, list[int]] = {}
        self.store = self.open()

    def open(self) -> PartitionStore:
        return PartitionStore(Path(self.directory.name), Json(), MEMORY, cached_keys=3)

    @rule(key=KEYS, value=st.integers())
    def put(self, key: str, value: int) -> None:
        self.store.put(key, [value])
        self.model[key] = [value]

    @rule(key=KEYS)
    def change_in_place(self, key: str) -> None:
        value = self.store.get(key)
        if value is not None:
            value[0] += 1
            self.store.put(key, value)
            self.model[key] = [self.model[key][0] + 1]

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(bounds=st.tuples(KEYS, KEYS))
    def scan(self, bounds: tuple[str, str]) -> None:
        start, end = sorted(bounds)
        expected = [(key, self.model[key]) for key in sorted(self.model) if start <= key < end]
        assert list(self.store.scan(start, end)) == expected

    @rule()
    def freeze(self) -> None:
        if self.out is None:
            self.offset += 1
            self.store.advance(self.offset)
            self.out = self.store.snapshot()
            self.frozen = {key: list(value) for key, value in self.model.items()}

    @rule()
    def write(self) -> None:
        if self.out is not None:
            self.store.write(self.out.changes, changelog_offset=self.offset, now=1.0)
            self.store.settle()
            self.committed = self.frozen
            self.out = None

    @rule()
    def evict(self) -> None:
        self.store.trim()

    @rule()
    def crash(self) -> None:
        self.store.close()
        self.store = self.open()
        self.model = {key: list(value) for key, value in self.committed.items()}
        self.out = None

    @rule()
    def roll_back(self) -> None:
        if self.out is None:
            self.store.roll_back()
            self.model = {key: list(value) for key, value in self.committed.items()}

    @invariant()
    def reads_like_the_model(self) -> None:
        for key in self.model:
            assert self.store.get(key) == self.model[key]

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()


TestStoreAgainstDict = StoreAgainstDict.TestCase
TestStoreAgainstDict.settings = settings(max_examples=25, stateful_step_count=30)


def test_a_snapshot_does_not_change_when_its_objects_do(open_store: OpenStore) -> None:
    """The next batch may go on with the same objects while the commit waits."""
    store = open_store()
    value = [1]
    store.put("A\0a", value)
    store.advance(1)
    snapshot = store.snapshot()
    value[0] = 2
    store.put("A\0a", value)
    assert snapshot.changes[b"A\0a"] == b"[1]"
    store.write(snapshot.changes, changelog_offset=1, now=1.0)
    store.settle()
    assert store.get("A\0a") is value
    assert commit(store, 2).changes[b"A\0a"] == b"[2]"


def test_a_second_snapshot_before_the_first_is_settled_is_a_fault(open_store: OpenStore) -> None:
    store = open_store()
    store.put("A\0a", [1])
    store.advance(1)
    store.snapshot()
    with pytest.raises(RuntimeError):
        store.snapshot()


def test_eviction_keeps_what_is_not_on_disk(open_store: OpenStore) -> None:
    store = open_store(cached_keys=10)
    for n in range(50):
        store.put(f"A\0i{n:02}", [n])
    store.trim()
    assert [value for _, value in store.scan("A\0i", "A\0j")] == [[n] for n in range(50)]
    commit(store, 1)
    store.trim()
    assert len(store._live) <= 10
    assert store.get("A\0i07") == [7]


def test_offsets_origins_and_notes_are_part_of_the_state(open_store: OpenStore) -> None:
    """What the plumbing must know is written in the same batch, and is nowhere in the ledger."""
    store = open_store()
    assert store.next_offset is None
    assert not store.is_repeat("orders@x:0", 5)
    assert store.is_repeat("orders@x:0", 5)
    assert store.is_repeat("orders@x:0", 4)
    assert not store.is_repeat("orders@y:0", 0)
    store.set_note("portfolio", b"42")
    commit(store, 17)
    assert not store.is_repeat("orders@x:0", 6)  # not committed
    store.set_note("portfolio", b"43")
    store.roll_back()
    assert store.note("portfolio") == b"42"
    assert not store.is_repeat("orders@x:0", 6)
    store.close()
    again = open_store()
    assert (again.next_offset, again.changelog_offset, again.note("portfolio")) == (17, 17, b"42")
    assert again.is_repeat("orders@x:0", 5)
    assert not again.is_repeat("orders@x:0", 6)
    assert list(again.scan("", "\U0010ffff")) == []


def test_a_directory_in_use_is_refused_with_advice(open_store: OpenStore) -> None:
    open_store()
    with pytest.raises(StoreInUseError, match="HEADROOM_STATE_DIR"):
        open_store()


def test_wiping_leaves_nothing(open_store: OpenStore) -> None:
    store = open_store()
    store.put("A\0a", [1])
    commit(store, 9)
    store.wipe()
    assert (store.next_offset, store.changelog_offset, store.get("A\0a")) == (None, 0, None)
