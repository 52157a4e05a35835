"""An embedded ClickHouse engine for one measurement, in a directory that is gone afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from clickhouse_connect.driver.client import Client

from streams.clickhouse import open_clickhouse
from streams.embedded.clickhouse import close_engine
from streams.settings import Settings


@contextmanager
def own_engine(settings: Settings) -> Iterator[Client]:
    """A client of the engine, which is empty.

    Args:
        settings: only for what the engine needs; never a server.
    """
    directory = Path(mkdtemp(prefix="headroom-bench-"))
    try:
        client = open_clickhouse(
            settings.model_copy(update={"embedded_dir": directory, "clickhouse_dsn": None})
        )
        try:
            yield client
        finally:
            client.close()
            close_engine()
    finally:
        shutil.rmtree(directory)
