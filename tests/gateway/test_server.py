"""What strangers can do with a connection: not much, and not for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agents.gateway import server as server_module
from agents.gateway.server import HEAD_BYTES_MAX, BoundedProtocol
from streams.embedded.ports import LOOPBACK, free_ports


async def _echo(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())}\n")


@pytest.fixture
def port() -> Iterator[int]:
    (one,) = free_ports(1, [])
    app = Starlette(routes=[Route("/", _echo, methods=["GET", "POST"])])
    config = uvicorn.Config(app, LOOPBACK, one, http=BoundedProtocol, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield one
    server.should_exit = True
    thread.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=30)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side ends it."""
    found = b""
    try:
        while chunk := connection.recv(65_536):
            found += chunk
    except ConnectionError:
        pass
    return found


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"GET / HTTP/1.1\r\nA: ", b"x" * 65_536),
        (b"GET /", b"x" * 65_536),
        (b"GET / HTTP/1.1\r\n", b"".join(b"A%d: b\r\n" % n for n in range(6_000))),
        (b"GET / HTTP/1.1\r\n", b"X" * 65_536),
    ],
)
def test_a_head_without_end_is_not_kept(port: int, begins: bytes, goes_on: bytes) -> None:
    sent = 0
    with connected(port) as connection:
        connection.sendall(begins)
        try:
            while sent < 100 * HEAD_BYTES_MAX:
                connection.sendall(goes_on)
                sent += len(goes_on)
        except ConnectionError:
            pass
        answer = all_of(connection)
    assert b"200 OK" not in answer
    assert sent < 100 * HEAD_BYTES_MAX


def test_who_says_nothing_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_HEAD_SECONDS", 0.1)
    for begins in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        with connected(port) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(begins)
            assert all_of(connection) == b""


def test_requests_of_any_length_are_answered_one_after_the_other(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_HEAD_SECONDS", 60.0)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\nX: " + b"x" * 60_000
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(head + b"\r\n\r\n" + b"y" * 300_000)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = all_of(connection)
    assert answer.count(b"200 OK") == 4
    assert answer.count(b"300000\n") == 3
