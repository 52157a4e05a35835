"""The pages of an office that each test furnishes, from one server for the tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from console.office import Office, Served


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


@pytest.fixture
def served(office: Office, server: Served) -> Served:
    """`office` is the test module's."""
    server.show(office)
    return server
