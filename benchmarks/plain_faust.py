"""What Headroom is compared with: the same reducer in a Faust agent as the user guide writes it.

One event at a time, state in a Faust table with RocksDB behind it and a changelog, decisions sent
one by one. Run by `headroom bench pipeline` as `python -m benchmarks.plain_faust worker`, with its
settings in the environment. The sorted index of keys that `scan` needs is kept in memory, which a
real application could not afford; that is in the plain agent's favour.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import faust
from sortedcontainers import SortedSet

from agents.credit import state
from agents.credit.rules import reduce
from agents.policy_file import load_policy
from schemas.catalogue import JOURNAL
from schemas.events import CreditLimitAlert, OrderDecision
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.registry import open_schema_ids


class TableLedger:
    """The rules' ledger over a Faust table."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._keys: SortedSet[str] = SortedSet()

    def get(self, key: str) -> Any:
        raw = self._table.get(key.encode())
        return None if raw is None else state.decode(key, raw)

    def put(self, key: str, value: Any) -> None:
        self._keys.add(key)
        self._table[key.encode()] = state.encode(key, value)

    def delete(self, key: str) -> None:
        if key in self._keys:
            self._keys.discard(key)
            self._table.pop(key.encode(), None)

    def scan(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        for key in list(self._keys.irange(start, end, inclusive=(True, False))):
            yield key, self.get(key)


def make_app() -> faust.App:
    """The application, its broker and directory from BENCH_BROKER and BENCH_DIRECTORY."""
    app = faust.App(
        "plain-faust",
        broker=f"kafka://{os.environ['BENCH_BROKER']}",
        datadir=os.environ["BENCH_DIRECTORY"],
        store="rocksdb://",
        topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
        topic_replication_factor=1,
        key_serializer="raw",
        value_serializer="raw",
        table_standby_replicas=0,
        web_enabled=False,
    )
    journal = app.topic(JOURNAL, value_type=bytes)
    decisions = app.topic(os.environ["BENCH_OUTPUT"], value_type=bytes)
    table = app.Table(
        "accounts",
        partitions=int(os.environ["BENCH_PARTITIONS"]),
        key_type=bytes,
        value_type=bytes,
    )
    codec = Codec(open_schema_ids(None))
    policy = load_policy(None)
    headers = headers_of("plain")
    ledger = TableLedger(table)

    @app.agent(journal)
    async def credit(stream: Any) -> None:
        async for value in stream:
            for effect in reduce(ledger, codec.decode(value), policy):
                if not isinstance(effect, OrderDecision | CreditLimitAlert):
                    continue
                await decisions.send(
                    key=effect.customer_id.encode(),
                    value=codec.encode(effect),
                    headers=dict(headers(effect)),
                )

    return app


if __name__ == "__main__":
    sys.argv[0] = "plain-faust"
    make_app().main()
