"""HTTP as uvicorn speaks it, with bounds on what comes before anybody can be asked who they are.

A request's head (its line and headers) is kept in memory until it is whole. uvicorn's parser has no
bound on that, and waits for it for ever; without one, strangers could fill the memory, or hold all
connections that there may be.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
_HEAD_SECONDS = 20.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _head_number = 0
    _head_bytes = 0
    _is_in_head = False
    _too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for its first request."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request, or of several."""
        number = self._head_number
        super().data_received(data)
        # Of what a head begins with, the parser does not say how much came before it.
        if self._is_in_head and self._head_number == number:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response(f"A request's head has at most {HEAD_BYTES_MAX} bytes.")

    def on_message_begin(self) -> None:
        """The parser's word for the first byte of a request."""
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._end_head()
        super().on_headers_complete()

    def _begin_head(self) -> None:
        self._end_head()
        self._is_in_head = True
        self._head_number += 1
        self._head_bytes = 0
        self._too_slow = self.loop.call_later(_HEAD_SECONDS, self._let_go)

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None

    def _let_go(self) -> None:
        self.transport.close()
