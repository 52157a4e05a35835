"""The ClickHouse engine inside this process, and a loopback endpoint through which others use it.

One process at a time can hold the engine's directory. So whoever opens it also answers, on a free
loopback port, what ClickHouse's HTTP interface answers: `clickhouse-connect`, `curl` and `headroom
sql` then work from any process of this machine. `open_engine` gives a client either way.
"""

from __future__ import annotations

import atexit
import threading
import time
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from streams.embedded.claim import Claim, holder
from streams.embedded.clickhouse_http import serve
from streams.embedded.ports import LOOPBACK, listens
from streams.embedded.supervised import EmbeddedPartError

_TAKE_OVER_SECONDS = 10.0
"""How long to wait for a holder that neither answers nor has let go: it is starting or stopping."""


class _Engine:
    """The engine of this process: the claim on its directory and the endpoint's server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.claim = Claim(_claim_path(directory))
        self._server: Any = None

    def start(self) -> None:
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._server = serve(data.resolve())
        port = self._server.server_address[1]
        (self.directory / "port").write_text(str(port), encoding="ascii")

    def client(self) -> Client:
        return clickhouse_connect.get_client(
            interface="chdb", path=str((self.directory / "data").resolve())
        )

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.claim.release()


_lock = threading.Lock()
_held: _Engine | None = None


def open_engine(directory: Path) -> Client:
    """A `clickhouse_connect` client of the engine in `directory`.

    The first process to come holds the engine; further ones get a client of its endpoint. When the
    holder is gone, the next call anywhere takes its place: so after a connection error, call again.

    Raises:
        EmbeddedPartError: this process has another directory open, or the holder does not answer.
    """
    global _held  # noqa: PLW0603  the engine is one per process, whoever asks
    directory = directory.absolute()
    with _lock:
        if _held is not None:
            if _held.directory != directory:
                raise EmbeddedPartError(
                    f"this process has the engine in {_held.directory} open; the ClickHouse engine "
                    f"allows one directory per process, so {directory} must wait"
                )
            return _held.client()
        engine = _Engine(directory)
        deadline = time.monotonic() + _TAKE_OVER_SECONDS
        while not engine.claim.take():
            port = find_endpoint(directory)
            if port is not None:
                return _http_client(port)
            if time.monotonic() > deadline:
                raise EmbeddedPartError(
                    f"process {holder(_claim_path(directory))} holds the ClickHouse engine in "
                    f"{directory}, but does not answer for it"
                )
            time.sleep(0.05)
        try:
            engine.start()
            client = engine.client()
        except BaseException:
            engine.close()
            raise
        _held = engine
        return client


def close_engine() -> None:
    """Close this process's endpoint and let go of the directory; owners close their clients."""
    global _held  # noqa: PLW0603
    with _lock:
        if _held is not None:
            _held.close()
            _held = None


def find_endpoint(directory: Path) -> int | None:
    """The port at which a process answers for the engine in `directory`, None if none does."""
    if holder(_claim_path(directory)) is None:
        return None
    try:
        port = int((directory / "port").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
    return port if listens(port) else None


def client_of_holder(directory: Path) -> Client | None:
    """A client of the process that holds the engine in `directory`; None if none does. Unlike
    `open_engine` it never takes the holder's place.
    """
    port = find_endpoint(directory)
    return None if port is None else _http_client(port)


def _http_client(port: int) -> Client:
    # No session: the endpoint keeps none, and threads of one process may then share the client.
    return clickhouse_connect.get_client(
        host=LOOPBACK, port=port, autogenerate_session_id=False, compress=False
    )


def _claim_path(directory: Path) -> Path:
    return directory / "clickhouse.lock"


# Interpreter exit runs this before it tears down what the server's threads need.
atexit.register(close_engine)
