"""Rows against records, while a sink goes on writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from agents.reconcile.findings import Tally
from agents.reconcile.shelf import Shelf
from agents.reconcile.warehouse import Warehouse
from schemas.catalogue import JOURNAL
from streams.cloud_events import ID
from streams.record import Record


class Tables:
    """A client of tables with these rows: account, event, partition, offset."""

    def __init__(self, *rows: tuple[str, str, int, int]) -> None:
        self._rows = rows

    def query_rows_stream(self, _query: str, _parameters: Any) -> Any:
        return nullcontext(iter(self._rows))


class Log:
    """One partition's records, as a reader has them."""

    partition = 0
    first = 0

    def __init__(self, *event_ids: str) -> None:
        self._ids = event_ids

    def told(self, _advance: Callable[[int], None]) -> Iterator[Record]:
        for offset, event_id in enumerate(self._ids):
            yield Record(JOURNAL, 0, offset, 0, b"C-1", b"", [(ID, event_id.encode())])


def differences(tables: Tables, log: Any, reached: int, home: Path) -> list[str]:
    client: Any = tables
    warehouse = Warehouse(client, lambda _raw: None, Tally())  # type: ignore[arg-type,return-value]
    found = warehouse.compare_rows(
        JOURNAL, [log], {0: reached}, Shelf(home / "shelf"), lambda _offsets: None
    )
    return [one.cause for one in found]


def test_what_a_sink_wrote_since_is_no_difference(tmp_path: Path) -> None:
    rows = [("C-1", f"e-{n}", 0, n) for n in range(5)]
    log = Log("e-0", "e-1", "e-2", "e-3")  # the fourth came behind the end that the reader saw
    assert differences(Tables(*rows), log, 2, tmp_path) == []


def test_a_row_too_many_and_one_too_few_are_differences(tmp_path: Path) -> None:
    rows = [("C-1", "e-0", 0, 0), ("C-1", "by hand", 0, 1)]
    found = differences(Tables(*rows), Log("e-0", "e-1"), 1, tmp_path)
    assert [cause.partition(",")[0] for cause in found] == [
        "the row was put there by hand",
        "the row was deleted",
    ]
