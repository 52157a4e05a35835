"""Who looks at a page, and whether a form was sent from one of ours.

A session is a cookie that carries, encrypted, the key or token with which somebody signed in. It is
shown to `Callers` with each request, as if it came in a header: so a session ends with its key, any
gateway that has the same secret knows it, and none has to remember it.

Every form carries the session's token, and says where it comes from, as browsers do: a page of
somebody else can have neither.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hmac import compare_digest

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from starlette.requests import Request
from starlette.responses import Response

from agents.gateway.callers import Caller, Callers
from agents.gateway.problems import Problem

COOKIE = "headroom_console"
COOKIE_PATH = "/console"
_COOKIE_CHARACTERS_MAX = 3_900
"""Browsers keep 4,096 for a cookie and its name and attributes."""
_TOKEN_BYTES = 24


class Session(msgspec.Struct, frozen=True):
    """What the cookie holds.

    Attributes:
        authorization: as it would stand in the header; None: nobody signed in here.
        token: stands in every form of the session.
    """

    authorization: str | None
    token: str


@dataclass(frozen=True)
class Visitor:
    """Somebody who was recognised, and the session in which they are.

    Attributes:
        caller: who it is.
        session: its token is in the forms.
        signed_in: whether they can sign out here: not where a header says who they are.
        is_new: whether the browser has the cookie still to get.
    """

    caller: Caller
    session: Session
    signed_in: bool
    is_new: bool


class Sessions:
    """Makes and reads session cookies.

    Args:
        given: secrets of the installation, the first of which signs; none: one is made, and
            sessions end with this process.
        hours: how long a session lasts.
    """

    def __init__(self, given: tuple[str, ...], hours: float) -> None:
        self._seconds = int(hours * 3600)
        self._box = MultiFernet(
            [_fernet(secret) for secret in given or (secrets.token_urlsafe(32),)]
        )

    def begun(self, authorization: str | None) -> Session:
        """A session that nobody has yet."""
        return Session(authorization, secrets.token_urlsafe(_TOKEN_BYTES))

    def read(self, request: Request) -> Session | None:
        """That of a request; None without one, or with one that is over or not ours."""
        cookie = request.cookies.get(COOKIE, "")
        try:
            raw = self._box.decrypt(cookie.encode(), ttl=self._seconds)
            return msgspec.json.decode(raw, type=Session)
        except (InvalidToken, msgspec.DecodeError, UnicodeEncodeError):
            return None

    def set(self, request: Request, response: Response, session: Session) -> None:
        """Give the browser a session.

        Raises `Problem` 401 when what it holds is too long to be kept there.
        """
        value = self._box.encrypt(msgspec.json.encode(session)).decode()
        if len(value) > _COOKIE_CHARACTERS_MAX:
            raise Problem(
                401, "token_too_long", "Too long", "the token is too long for a cookie of a browser"
            )
        response.set_cookie(
            COOKIE, value, max_age=self._seconds, path=COOKIE_PATH, httponly=True, samesite="lax",
            secure=not is_loopback(_host(request)),
        )  # fmt: skip

    def end(self, request: Request, response: Response) -> None:
        """Take it away."""
        response.delete_cookie(
            COOKIE, path=COOKIE_PATH, httponly=True, samesite="lax",
            secure=not is_loopback(_host(request)),
        )  # fmt: skip


def visitor_of(request: Request, callers: Callers, sessions: Sessions, *, open_: bool) -> Visitor:
    """Who sends a request.

    Args:
        request: it.
        callers: recognises them.
        sessions: reads the cookie.
        open_: nobody has to sign in, on a loopback address; then no other name may lead there.

    Raises `Problem` 401 for nobody we know, 421 for a name that is not this machine's.
    """
    if open_ and not is_loopback(_host(request)):
        # A page of somebody else whose name leads to this machine would be of our own origin.
        raise Problem(421, "misdirected", "Not here", "without keys, only as localhost")
    header = request.headers.get("authorization")
    session = sessions.read(request)
    signed_in = header is None and session is not None and session.authorization is not None
    sent = session.authorization if signed_in and session is not None else header
    caller = callers.recognise(sent)
    if session is None:
        return Visitor(caller, sessions.begun(None), signed_in=False, is_new=True)
    return Visitor(caller, session, signed_in=signed_in, is_new=False)


def check_form(request: Request, session: Session | None, token: str) -> None:
    """Whether a form was sent from a page of ours, in this session. Raises `Problem` 403."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    ours = origin is None or origin.partition("://")[2] == request.headers.get("host", "")
    if site not in (None, "same-origin", "none") or not ours:
        raise Problem(403, "foreign_form", "Not from here", "the form is not one of these pages")
    if session is None or not compare_digest(token.encode(), session.token.encode()):
        raise Problem(403, "form_too_old", "Too old", "the page is of another session: load it")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _host(request: Request) -> str:
    return request.url.hostname or ""


def _fernet(secret: str) -> Fernet:
    key = hashlib.sha256(b"headroom console\0" + secret.encode()).digest()
    return Fernet(urlsafe_b64encode(key))
