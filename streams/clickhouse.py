"""ClickHouse, be it a server or the engine in this process: one client for both."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from streams.embedded.clickhouse import find_endpoint, open_engine
from streams.embedded.parts import clickhouse_directory
from streams.errors import HeadroomError
from streams.settings import Settings

# The driver logs what it then raises, without saying more.
logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)


class ClickHouseUnreachableError(HeadroomError):
    """The server that HEADROOM_CLICKHOUSE_DSN names does not answer, or does not let us in."""


def open_clickhouse(settings: Settings) -> Client:
    """A client of the server that the settings name, else of the embedded engine.

    Not for two threads at a time; each takes one of its own. Close it with `close()`.

    Raises:
        ClickHouseUnreachableError: the server does not answer or refuses the user.
        EmbeddedPartError: the embedded engine cannot be had.
    """
    if settings.clickhouse_dsn is None:
        return open_engine(clickhouse_directory(settings))
    dsn = settings.clickhouse_dsn.get_secret_value()
    try:
        return clickhouse_connect.get_client(dsn=dsn, interface=urlsplit(dsn).scheme)
    except ClickHouseError as error:
        first_line = str(error).partition("\n")[0]
        raise ClickHouseUnreachableError(f"HEADROOM_CLICKHOUSE_DSN: {first_line}") from error


def is_there(settings: Settings) -> bool:
    """Whether there is a ClickHouse to look into: a server is named, or the embedded engine has
    been opened before. Opening one that never was would make an empty one.
    """
    directory = clickhouse_directory(settings)
    return (
        settings.clickhouse_dsn is not None
        or find_endpoint(directory) is not None
        or (directory / "data").is_dir()
    )
