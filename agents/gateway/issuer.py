"""The identity provider whose tokens are taken: which keys it has, asked for over HTTP.

Its keys are read at the start, every few minutes, and when a token names one that is not at hand,
which happens after the provider changed them. Whoever sends tokens can make it ask no more often
than that is allowed, and nobody waits for it but who brings such a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import msgspec

from agents.gateway.problems import Problem, unauthenticated
from agents.gateway.tokens import (
    Holder,
    NoRoleError,
    Signer,
    Terms,
    UnknownSignerError,
    WrongTokenError,
    holder_of,
    signers_of,
)
from streams.errors import TransportError
from streams.settings import is_trusted

logger = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
_RENEW_SECONDS = 300.0
"""A key that the provider has withdrawn opens nothing after this time."""
_KEPT_SECONDS = 3600.0
"""For so long keys are good while the provider does not answer; then nobody is recognised."""
_ASK_AGAIN_SECONDS = 10.0
"""Between two questions, whoever wants to know."""
_PATIENCE_SECONDS = 5.0
_ANSWER_BYTES_MAX = 1 << 20
_WAITING_MAX = 64
_INVALID = "invalid_token"
UNKNOWN_SIGNER = "no key of the issuer has signed the token"


class Issuer:
    """Belongs to one event loop.

    Args:
        terms: what is asked of a token.
        client: over which the provider is asked.
    """

    def __init__(self, terms: Terms, client: httpx2.AsyncClient) -> None:
        self._terms = terms
        self._client = client
        self._signers: Mapping[str, Signer] = {}
        self._read_at = float("-inf")
        """When the keys were read last."""
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._waiting = 0

    @property
    def has_keys(self) -> bool:
        """There are keys, and they are not too old."""
        return time.monotonic() - self._read_at < _KEPT_SECONDS

    def holder_of(self, token: str) -> Holder:
        """Whose token it is, by the keys at hand.

        Raises:
            UnknownSignerError: none of them has signed it.
            Problem: 401 for a token that is not good, 403 for one without a role here, 503 while
                there are no keys.
        """
        if not self.has_keys:
            raise issuer_away()
        try:
            return holder_of(token, self._signers, self._terms, time.time())
        except WrongTokenError as error:
            raise unauthenticated(f"the token is not good: {error}", _INVALID) from error
        except NoRoleError as error:
            raise Problem(
                403, "no_role", "No role here", "the token has no role that means something here"
            ) from error

    async def holder_of_any(self, token: str) -> Holder:
        """The same; for a key that is not at hand the provider is asked."""
        if self.has_keys:
            try:
                return self.holder_of(token)
            except UnknownSignerError:
                pass
        if self._waiting >= _WAITING_MAX:
            raise issuer_away()
        self._waiting += 1
        try:
            await self.ask()
        finally:
            self._waiting -= 1
        try:
            return self.holder_of(token)
        except UnknownSignerError as error:
            if self._asked_at > self._read_at:
                raise issuer_away() from error  # it may have that key, and cannot be asked
            raise unauthenticated(UNKNOWN_SIGNER, _INVALID) from error

    async def ask(self) -> None:
        """Read the keys, unless that was tried a moment ago."""
        async with self._asking:
            if time.monotonic() - self._asked_at < _ASK_AGAIN_SECONDS:
                return
            self._asked_at = time.monotonic()
            try:
                signers = await read_signers(self._terms.issuer, self._client)
            except TransportError as error:
                logger.warning("keys of the identity provider cannot be read: %s", error)
                return
            if signers.keys() != self._signers.keys():
                logger.info("the identity provider has %d keys", len(signers))
            self._signers = signers
            self._read_at = self._asked_at = time.monotonic()

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Read the keys now and again, until the context ends."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
            await self._client.aclose()

    async def _keep(self) -> None:
        while True:
            await self.ask()
            is_fresh = time.monotonic() - self._read_at < _RENEW_SECONDS
            await asyncio.sleep(_RENEW_SECONDS if is_fresh else _ASK_AGAIN_SECONDS)


async def read_signers(issuer: str, client: httpx2.AsyncClient) -> Mapping[str, Signer]:
    """The keys that an identity provider signs with, as it says by its discovery document.

    Raises:
        TransportError: it does not answer, or not as a provider does.
    """
    found = await _json(issuer.rstrip("/") + DISCOVERY, client)
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise _no_answer("its configuration names another issuer")
    where = found.get("jwks_uri")
    if not isinstance(where, str) or not is_trusted(where):
        raise _no_answer("its configuration has no https:// address of its keys")
    signers = signers_of(await _json(where, client))
    if not signers:
        raise _no_answer("it has no key that can be used")
    return signers


async def _json(url: str, client: httpx2.AsyncClient) -> Any:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), client.stream("GET", url) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise _no_answer(f"HTTP {answer.status_code}")
            raw = b""
            async for chunk in answer.aiter_bytes():
                raw += chunk
                if len(raw) > _ANSWER_BYTES_MAX:
                    raise _no_answer("it sends too much")
        return msgspec.json.decode(raw)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        raise _no_answer(type(error).__name__) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise _no_answer("what it sends is no JSON") from error


def open_client() -> httpx2.AsyncClient:
    """For questions to the provider; follows no redirects."""
    return httpx2.AsyncClient(timeout=_PATIENCE_SECONDS)


def issuer_away() -> Problem:
    """503: it cannot be said who it is."""
    return Problem(
        503, "issuer_away", "The identity provider does not answer",
        "tokens cannot be checked without its keys; API keys are taken as ever",
        retry_after=int(_ASK_AGAIN_SECONDS),
    )  # fmt: skip


def _no_answer(why: str) -> TransportError:
    return TransportError(why, retry_after=_ASK_AGAIN_SECONDS)
