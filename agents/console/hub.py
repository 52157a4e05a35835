"""Tells open pages that something is another, so that they look at it again.

What changed is not told, only where: a page asks for itself anew, by whoever looks at it and with
what they may see. A page that was cut off asks for itself once it is back, and has missed nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import msgspec

from agents.console.index import Change

_ALIVE_SECONDS = 15.0
_GATHER_SECONDS = 0.1
_ACTS_MAX = 1_000


@dataclass
class _News:
    """What a client has not been told yet."""

    change: Change = field(default_factory=Change)
    alerts: bool = False
    desk: bool = False
    acts: set[str] = field(default_factory=set)

    def line(self) -> bytes:
        customers = self.change.customers
        told = {
            "held": self.change.held,
            "customers": None if customers is None else sorted(customers),
            "alerts": self.alerts,
            "desk": self.desk,
            "acts": sorted(self.acts),
        }
        return b"event: news\ndata: " + msgspec.json.encode(told) + b"\n\n"


class _Client:
    def __init__(self) -> None:
        self.news = _News()
        self.there = asyncio.Event()


class Hub:
    """Belongs to one event loop; is told by any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._clients: set[_Client] = set()
        self._closing = False

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    # ── any thread's side ───────────────────────────────────────────────────────────────────────

    def changed(self, change: Change) -> None:
        """Of accounts and held orders."""
        self._loop.call_soon_threadsafe(self._note_change, change)

    def alerted(self) -> None:
        """There are new alerts."""
        self._loop.call_soon_threadsafe(self._note, "alerts")

    def noted(self) -> None:
        """There are new notes, or other proposals."""
        self._loop.call_soon_threadsafe(self._note, "desk")

    def settled(self, acts: Iterable[str]) -> None:
        """It is known what became of these acts."""
        self._loop.call_soon_threadsafe(self._note_acts, list(acts))

    # ── the loop's side ─────────────────────────────────────────────────────────────────────────

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events for one page."""
        client = _Client()
        self._clients.add(client)
        try:
            yield b"retry: 1000\n\n"
            while not self._closing:
                try:
                    await asyncio.wait_for(client.there.wait(), _ALIVE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                await asyncio.sleep(_GATHER_SECONDS)
                news, client.news = client.news, _News()
                client.there.clear()
                yield news.line()
        finally:
            self._clients.discard(client)

    def close(self) -> None:
        """Let all pages go; in the loop's thread."""
        self._closing = True
        for client in self._clients:
            client.there.set()

    def _note_change(self, change: Change) -> None:
        for client in self._clients:
            known = client.news.change
            known.held = known.held or change.held
            if change.customers is None:
                known.customers = None
            else:
                for customer_id in change.customers:
                    known.add(customer_id)
            client.there.set()

    def _note(self, what: str) -> None:
        for client in self._clients:
            setattr(client.news, what, True)
            client.there.set()

    def _note_acts(self, acts: list[str]) -> None:
        for client in self._clients:
            if len(client.news.acts) < _ACTS_MAX:
                client.news.acts.update(acts)
            client.there.set()
