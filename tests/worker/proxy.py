"""A network between a worker and its broker that a test can cut and heal."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import LOOPBACK, free_ports

_CHUNK_BYTES = 1 << 16
_LAST_WORDS_SECONDS = 0.3


class Proxy:
    """Hands bytes on between whoever connects to `port` and a server on this machine.

    While it is cut, connections stay and new ones are taken, but nothing arrives at either end;
    when it is healed all that was on its way does, as over a real network.
    """

    def __init__(self, port: int, server: int) -> None:
        self.port = port
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._there = asyncio.Event()
        self._back = asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._do(asyncio.start_server(self._serve, LOOPBACK, self.port))
        self.heal()

    def stop(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> None:
        """Nothing reaches the server any more. What it is just saying still arrives, so a worker
        has something to do whose result it cannot deliver.
        """
        self._loop.call_soon_threadsafe(self._there.clear)
        time.sleep(_LAST_WORDS_SECONDS)
        self._loop.call_soon_threadsafe(self._back.clear)

    def heal(self) -> None:
        for gate in (self._there, self._back):
            self._loop.call_soon_threadsafe(gate.set)

    def _do(self, what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        try:
            server, requests = await asyncio.open_connection(LOOPBACK, self._server)
        except ConnectionError:  # the broker is not there
            answers.close()
            return
        for source, sink, gate in (
            (client, requests, self._there),
            (server, answers, self._back),
        ):
            task = asyncio.create_task(_pump(source, sink, gate))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _end(self) -> None:
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event
) -> None:
    """Hand on until one end closes, which is news that has to pass the gate too."""
    try:
        while data := await source.read(_CHUNK_BYTES):
            await gate.wait()
            sink.write(data)
            await sink.drain()
        await gate.wait()
    except ConnectionError:
        pass  # the end that is gone needs nothing; the other hears of it now
    finally:
        sink.close()


class FarKafka(EmbeddedKafka):
    """A broker with a second door, to which every client comes through the proxy that uses it."""

    def __init__(self, directory: Path, *, cache: Path) -> None:
        super().__init__(directory, cache=cache)
        door, port = free_ports(2, [])
        self.proxy = Proxy(port, door)
        self.far_servers = f"{LOOPBACK}:{port}"
        self._door = door

    def start(self) -> str:
        self.proxy.start()
        return super().start()

    def stop(self) -> None:
        super().stop()
        self.proxy.stop()

    def _configure(self, broker: int, controller: int) -> None:
        super()._configure(broker, controller)
        with (self.directory / "server.properties").open("a", encoding="utf-8") as properties:
            properties.write(second_door(broker, controller, self._door, self.proxy.port))


def second_door(broker: int, controller: int, door: int, proxy: int) -> str:
    """Properties of a broker that can be reached in two ways. Of one set twice the last counts."""
    near, inside = f"BROKER://{LOOPBACK}:{broker}", f"CONTROLLER://{LOOPBACK}:{controller}"
    return (
        f"listeners={near},FAR://{LOOPBACK}:{door},{inside}\n"
        f"advertised.listeners={near},FAR://{LOOPBACK}:{proxy}\n"
        "listener.security.protocol.map=BROKER:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
    )
