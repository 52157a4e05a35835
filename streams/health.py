"""The worker's small web endpoint: `/metrics` for Prometheus, `/livez` and `/readyz` for who
supervises it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from streams.errors import ConfigurationError
from streams.metrics import Metrics

Complaints = Callable[[], Sequence[str]]
"""Says what is wrong, nothing when all is well."""


class HealthServer:
    """Serves until stopped. Both checks answer 200 and `ok`, or 503 and what is wrong, one per
    line.
    """

    def __init__(self, metrics: Metrics, *, alive: Complaints, ready: Complaints) -> None:
        self._metrics = metrics
        application = web.Application()
        application.router.add_get("/metrics", self._exposition)
        application.router.add_get("/livez", lambda _request: _answer(alive()))
        application.router.add_get("/readyz", lambda _request: _answer(ready()))
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    async def start(self, host: str, port: int) -> None:
        """Raises `ConfigurationError` when the port is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"HEADROOM_WEB_PORT={port}: cannot listen on {host}:{port}"
                f" ({error.strerror or error})"
            ) from error

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _exposition(self, request: web.Request) -> web.Response:
        body, media_type = self._metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})


async def _answer(complaints: Sequence[str]) -> web.Response:
    if complaints:
        return web.Response(status=503, text="\n".join(complaints) + "\n")
    return web.Response(text="ok\n")
