"""Signing in with the identity provider, for people in a browser: the authorization code flow of
OpenID Connect, with PKCE (RFC 7636).

The provider says once who somebody is and in which roles. What the browser gets after that is a
session of ours, encrypted: any gateway with the same secret can read it, and none has to remember
it. It stands where a key or token would stand.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from agents.gateway.issuer import Issuer, asked_json, holder_in, issuer_away, no_role
from agents.gateway.problems import Problem, malformed, unauthenticated
from agents.gateway.tokens import SUBJECT, Holder, roles_in
from streams.errors import TransportError

logger = logging.getLogger(__name__)

PREFIX = "hs_"
"""Begins a session, where a key or token would stand."""
MEMO_SECONDS = 600
"""For so long somebody may be at the provider."""
_RANDOM_BYTES = 32
_REFUSAL = re.compile(r"[a-z_]{1,40}", re.ASCII)


@dataclass(frozen=True)
class Client:
    """What we are to the provider.

    Attributes:
        id: under which it knows us.
        secret: with which we show that; None: a public client, PKCE is all.
        back: our address to which it sends browsers back, as it is registered there.
    """

    id: str
    secret: str | None
    back: str


class Begun(NamedTuple):
    """Where to send a browser, and what it has to bring back in a cookie."""

    url: str
    memo: str


class Ended(NamedTuple):
    """Who came back, as `Callers` reads it, and where they were going."""

    authorization: str
    there: str


class _Memo(msgspec.Struct):
    state: str
    nonce: str
    verifier: str
    there: str


class _Session(msgspec.Struct):
    name: str
    subject: str
    roles: tuple[str, ...]
    until: float


class _Tokens(msgspec.Struct):
    id_token: str
    access_token: str = ""


class SignIn:
    """Belongs to one event loop.

    Args:
        issuer: the provider.
        client: what we are to it.
        given: secrets of the installation, the first of which encrypts; none: one is made, and
            sessions end with this process.
        hours: how long a session lasts.
    """

    def __init__(
        self, issuer: Issuer, client: Client, given: tuple[str, ...], hours: float
    ) -> None:
        self._issuer = issuer
        # What this client is told of who signed in is for it, and no one else.
        self._terms = replace(issuer.terms, audience=client.id)
        self._client = client
        self._box = MultiFernet([_fernet(one) for one in given or (secrets.token_urlsafe(),)])
        self._seconds = int(hours * 3600)

    async def begin(self, there: str) -> Begun:
        """Send somebody to the provider.

        Args:
            there: where they are going afterwards; a path of ours.

        Raises `Problem` 503 while the provider does not answer.
        """
        where = (await self._issuer.known()).authorization_endpoint
        if not where:
            raise issuer_away()
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        memo = _Memo(state, nonce, verifier, there)
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.back,
            "scope": "openid profile email",
            "state": memo.state,
            "nonce": memo.nonce,
            "code_challenge": _challenge(memo.verifier),
            "code_challenge_method": "S256",
        }
        url = f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"
        return Begun(url, self._box.encrypt(msgspec.json.encode(memo)).decode())

    async def end(self, memo: str, query: Mapping[str, str]) -> Ended:
        """Take somebody back from there.

        Args:
            memo: what they bring in the cookie.
            query: what the provider gave them.

        Raises `Problem`: 400 for somebody whom we have not sent there from this browser, or too
        long ago; 401 when the provider does not say who it is; 403 for somebody without a role
        here; 503 while it does not answer.
        """
        sent = self._sent(memo)
        if not compare_digest(query.get("state", "").encode(), sent.state.encode()):
            raise malformed("signing in was not begun in this browser: begin anew")
        if query.get("iss", self._terms.issuer) != self._terms.issuer:
            raise unauthenticated("another identity provider has answered")
        if "code" not in query:
            said = query.get("error", "")
            why = said if _REFUSAL.fullmatch(said) else "no code"
            raise unauthenticated(f"the identity provider does not let you in: {why}")
        tokens = await self._exchanged(query["code"], sent.verifier)
        claims = await self._issuer.claims_of(tokens.id_token, self._terms)
        if claims.get("nonce") != sent.nonce or claims.get("azp", self._client.id) != (
            self._client.id
        ):
            raise unauthenticated("the identity provider has answered somebody else")
        return Ended(f"Bearer {self._session(await self._holder(claims, tokens))}", sent.there)

    def holder_of(self, session: str) -> Holder:
        """Whose session it is. Raises `Problem` 401 for none of ours, or one that is over."""
        try:
            raw = self._box.decrypt(session.removeprefix(PREFIX).encode(), ttl=self._seconds)
            known = msgspec.json.decode(raw, type=_Session)
        except (InvalidToken, msgspec.DecodeError) as error:
            raise unauthenticated("the session is over") from error
        return Holder(known.name, known.subject, known.roles, known.until)

    def _sent(self, memo: str) -> _Memo:
        try:
            raw = self._box.decrypt(memo.encode(), ttl=MEMO_SECONDS)
            return msgspec.json.decode(raw, type=_Memo)
        except (InvalidToken, msgspec.DecodeError, UnicodeEncodeError) as error:
            raise malformed("signing in took too long, or was not begun: begin anew") from error

    async def _exchanged(self, code: str, verifier: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.back,
            "code_verifier": verifier,
            "client_id": self._client.id,
        }
        shown: dict[str, Any] = {}
        if self._client.secret is not None:
            shown["auth"] = (quote_plus(self._client.id), quote_plus(self._client.secret))
        where = (await self._issuer.known()).token_endpoint
        try:
            found = await asked_json(self._issuer.client, "POST", where, data=form, **shown)
            return msgspec.convert(found, _Tokens)
        except (TransportError, msgspec.ValidationError) as error:
            logger.warning("the identity provider gives no token: %s", error)
            raise unauthenticated("the identity provider does not say who you are") from error

    async def _holder(self, claims: Mapping[str, Any], tokens: _Tokens) -> Holder:
        """Roles are in the token that says who it is, or else in that for the interface."""
        if roles_in(claims, self._terms):
            return holder_in(claims, self._terms)
        try:
            access = await self._issuer.claims_of(tokens.access_token, self._issuer.terms)
        except Problem as error:
            raise no_role() from error
        if access[SUBJECT] != claims[SUBJECT]:
            raise unauthenticated("the identity provider speaks of two people")
        return holder_in(access, self._issuer.terms)

    def _session(self, holder: Holder) -> str:
        until = time.time() + self._seconds
        known = _Session(holder.name, holder.subject, holder.roles, until)
        return PREFIX + self._box.encrypt(msgspec.json.encode(known)).decode()


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _fernet(secret: str) -> Fernet:
    key = hashlib.sha256(b"headroom sign-in\0" + secret.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
