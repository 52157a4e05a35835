"""Which partition a key belongs to: one function, so that intake, replays, sinks and tests agree.

It is Java's default (murmur2), which librdkafka calls `murmur2_random`: what is produced with the
client setting `PARTITIONER` lands where `partition_of` says. Records without a key go anywhere.
"""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2

PARTITIONER = "murmur2_random"


@lru_cache(maxsize=131_072)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition, 0 to `partitions` - 1, of a record with this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
