"""The least that can be had over HTTP here: the gateway's server and framework, and nothing behind.

`python -m benchmarks.echo PORT` reads a body of JSON and gives it back.
"""

from __future__ import annotations

import sys

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def _echo(request: Request) -> Response:
    body = msgspec.json.decode(await request.body())
    return Response(msgspec.json.encode(body), media_type="application/json")


async def _ready(_request: Request) -> Response:
    return Response(b"ok")


def main() -> None:
    """Serve on loopback until told to stop."""
    app = Starlette(
        routes=[Route("/echo", _echo, methods=["POST"]), Route("/readyz", _ready, methods=["GET"])]
    )
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False,
        server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
