"""The live state of an installation, for questions: what the changelogs hold, partition by
partition, on a disk that is thrown away.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from agents.credit import state
from agents.reconcile.live import read_live
from schemas.catalogue import credit_changelog
from streams.fast_lane.store import Memory, PartitionStore
from streams.kafka_client import client_config
from streams.log_reader import Track, open_readers
from streams.settings import Settings

_CACHED_KEYS = 50_000
_MEMORY = 64 << 20


def live_states(settings: Settings, track: Track) -> Iterator[PartitionStore]:
    """The state of each partition as it was committed last; each is gone when the next is asked
    for.

    Raises `TopicMissingError` when no worker has run yet.
    """
    readers = open_readers(client_config(settings), credit_changelog(settings.app_id))
    advance = track("reading state", sum(one.end - one.first for one in readers))
    memory = Memory(block_cache_bytes=_MEMORY, write_buffer_bytes=_MEMORY)
    with tempfile.TemporaryDirectory(prefix="headroom-state-") as directory:
        for reader in readers:
            path = Path(directory) / str(reader.partition)
            store = PartitionStore(path, state, memory, cached_keys=_CACHED_KEYS)
            try:
                read_live(reader, store, advance)
                yield store
            finally:
                store.close()
