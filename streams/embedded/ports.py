"""Free ports on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"


def free_ports(count: int, wanted: Sequence[int] = ()) -> list[int]:
    """`count` ports that nobody listens on: the wanted ones if all are free, else any.

    All are held until all are found, so that none comes twice. Between this and the use of a port
    another program may take it; whoever starts a server on one must be ready to ask again.
    """
    if len(wanted) == count:
        ports = _bind_all(wanted)
        if ports:
            return ports
    return _bind_all([0] * count)


def _bind_all(ports: Sequence[int]) -> list[int]:
    sockets = []
    try:
        for port in ports:
            sock = socket.socket()
            sockets.append(sock)
            # As Java's servers do: a port whose last connections are still winding down is free.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((LOOPBACK, port))
        return [sock.getsockname()[1] for sock in sockets]
    except OSError:
        return []
    finally:
        for sock in sockets:
            sock.close()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on that loopback port."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((LOOPBACK, port)) == 0
