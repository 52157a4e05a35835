"""One run of a whole firm for all tests that look at it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.asking import Sources
from deploy.certificates import certificate
from deploy.real_run import RealRun


@pytest.fixture(scope="session")
def real_run(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path, prometheus_tools: Path
) -> Iterator[RealRun]:
    """A firm with months behind it, in which orders came in for some seconds and were decided."""
    directory = tmp_path_factory.mktemp("firm")
    authority, _ = certificate(directory, "authority", 60)
    run = RealRun(directory, cache_dir, prometheus_tools, authority)
    try:
        run.take_orders(seconds=6)
        run.wait_until_looked_at()
        yield run
    finally:
        run.close()


@pytest.fixture(scope="session")
def sources(real_run: RealRun) -> Sources:
    """What its dashboards are asked of: all of its time, and all of its history."""
    return Sources(
        real_run.prometheus,
        real_run.clickhouse,
        since=real_run.began,
        until=time.time(),
        days=200,
        step=5,
    )
