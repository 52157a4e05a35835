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
from typing import Any, NamedTuple

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
    claims_of,
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
INVALID = "invalid_token"
UNKNOWN_SIGNER = "no key of the issuer has signed the token"


class Issuer:
    """Belongs to one event loop.

    Args:
        terms: what is asked of a token.
        client: over which the provider is asked.
    """

    def __init__(self, terms: Terms, client: httpx2.AsyncClient) -> None:
        self.terms = terms
        self.client = client
        self._provider: Provider | None = None
        self._read_at = float("-inf")
        """When the keys were read last."""
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._waiting = 0

    @property
    def at_hand(self) -> Provider:
        """What is known of the provider. Raises `Problem` 503 for nothing, or what is too old."""
        if self._provider is None or time.monotonic() - self._read_at >= _KEPT_SECONDS:
            raise issuer_away()
        return self._provider

    def holder_of(self, token: str) -> Holder:
        """Whose token it is, by the keys at hand.

        Raises:
            UnknownSignerError: none of them has signed it.
            Problem: 401 for a token that is not good, 403 for one without a role here, 503 while
                there are no keys.
        """
        return holder_in(self._claims_of(token, self.terms), self.terms)

    async def holder_of_any(self, token: str) -> Holder:
        """The same; for a key that is not at hand the provider is asked."""
        return holder_in(await self.claims_of(token, self.terms), self.terms)

    async def claims_of(self, token: str, terms: Terms) -> dict[str, Any]:
        """What a token says that is good by these terms; the provider is asked for a key that is
        not at hand. Raises `Problem` 401, 503.
        """
        await self.known()
        try:
            return self._claims_of(token, terms)
        except UnknownSignerError:
            return await self._claims_after_asking(token, terms)

    async def known(self) -> Provider:
        """What is known of the provider, which is asked if nothing is. Raises `Problem` 503."""
        try:
            return self.at_hand
        except Problem:
            await self._ask_in_turn()
            return self.at_hand

    def _claims_of(self, token: str, terms: Terms) -> dict[str, Any]:
        try:
            return claims_of(token, self.at_hand.signers, terms, time.time())
        except WrongTokenError as error:
            raise unauthenticated(f"the token is not good: {error}", INVALID) from error

    async def _claims_after_asking(self, token: str, terms: Terms) -> dict[str, Any]:
        await self._ask_in_turn()
        try:
            return self._claims_of(token, terms)
        except UnknownSignerError as error:
            if self._asked_at > self._read_at:
                raise issuer_away() from error  # it may have that key, and cannot be asked
            raise unauthenticated(UNKNOWN_SIGNER, INVALID) from error

    async def _ask_in_turn(self) -> None:
        if self._waiting >= _WAITING_MAX:
            raise issuer_away()
        self._waiting += 1
        try:
            await self.ask()
        finally:
            self._waiting -= 1

    async def ask(self) -> None:
        """Read the keys, unless that was tried a moment ago."""
        async with self._asking:
            if time.monotonic() - self._asked_at < _ASK_AGAIN_SECONDS:
                return
            self._asked_at = time.monotonic()
            try:
                found = await read_provider(self.terms.issuer, self.client)
            except TransportError as error:
                logger.warning("keys of the identity provider cannot be read: %s", error)
                return
            if self._provider is None or found.signers.keys() != self._provider.signers.keys():
                logger.info("the identity provider has %d keys", len(found.signers))
            self._provider = found
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
            await self.client.aclose()

    async def _keep(self) -> None:
        while True:
            await self.ask()
            is_fresh = time.monotonic() - self._read_at < _RENEW_SECONDS
            await asyncio.sleep(_RENEW_SECONDS if is_fresh else _ASK_AGAIN_SECONDS)


class Provider(NamedTuple):
    """An identity provider, as its discovery document says.

    Attributes:
        signers: its keys, by their id.
        authorization_endpoint: where people sign in; empty: nowhere.
        token_endpoint: where a code is given for tokens; empty: nowhere.
    """

    signers: Mapping[str, Signer]
    authorization_endpoint: str
    token_endpoint: str


async def read_provider(issuer: str, client: httpx2.AsyncClient) -> Provider:
    """Ask an identity provider for its discovery document and its keys.

    Raises:
        TransportError: it does not answer, or not as a provider does.
    """
    found = await asked_json(client, "GET", issuer.rstrip("/") + DISCOVERY)
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise _no_answer("its configuration names another issuer")
    where = {name: _trusted(found.get(name)) for name in ("jwks_uri", *Provider._fields[1:])}
    if not where["jwks_uri"]:
        raise _no_answer("its configuration has no https:// address of its keys")
    signers = signers_of(await asked_json(client, "GET", where["jwks_uri"]))
    if not signers:
        raise _no_answer("it has no key that can be used")
    return Provider(signers, where["authorization_endpoint"], where["token_endpoint"])


def _trusted(url: object) -> str:
    return url if isinstance(url, str) and is_trusted(url) else ""


async def asked_json(client: httpx2.AsyncClient, method: str, url: str, **sent: Any) -> Any:
    """What a provider answers, as JSON.

    Raises:
        TransportError: it does not answer, refuses, or says something else.
    """
    try:
        async with (
            asyncio.timeout(_PATIENCE_SECONDS),
            client.stream(method, url, **sent) as answer,
        ):
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


def holder_in(claims: Mapping[str, Any], terms: Terms) -> Holder:
    """Whose token it is that says this. Raises `Problem` 403 for one without a role here."""
    try:
        return holder_of(claims, terms)
    except NoRoleError as error:
        raise no_role() from error


def no_role() -> Problem:
    """403: somebody, who has no role."""
    return Problem(
        403, "no_role", "No role here", "the token has no role that means something here"
    )


def issuer_away() -> Problem:
    """503: it cannot be said who it is."""
    return Problem(
        503, "issuer_away", "The identity provider does not answer",
        "tokens cannot be checked without its keys; API keys are taken as ever",
        retry_after=int(_ASK_AGAIN_SECONDS),
    )  # fmt: skip


def _no_answer(why: str) -> TransportError:
    return TransportError(why, retry_after=_ASK_AGAIN_SECONDS)
