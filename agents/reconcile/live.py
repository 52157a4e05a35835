"""The live state of a partition: its changelog as it was committed last. The workers' disks are
copies of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from streams.fast_lane.store import PartitionStore
from streams.log_reader import LogReader

_RECORDS_PER_WRITE = 10_000


def read_live(
    reader: LogReader, store: PartitionStore, advance: Callable[[int], None]
) -> int | None:
    """Read the changelog to its end into an empty store; the journal offset at which the state
    stands, None when there is no state.
    """
    changes: dict[bytes, bytes | None] = {}
    for record in reader.told(advance):
        changes[record.key or b""] = record.value
        if len(changes) >= _RECORDS_PER_WRITE:
            store.write(changes, changelog_offset=record.offset + 1, now=time.time())
            changes = {}
    store.write(changes, changelog_offset=reader.end, now=time.time())
    store.reload()
    return store.next_offset
