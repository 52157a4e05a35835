"""Problem documents (RFC 9457): every answer that is an error says what is wrong and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
_AGAIN = ("Retry-After",)


class Kind(NamedTuple):
    """A kind of problem: its status, when it comes, and the headers that it has."""

    status: int
    when: str
    headers: tuple[str, ...] = ()


PROBLEMS: Mapping[str, Kind] = {
    "malformed": Kind(400, "the request cannot be read, or a parameter is none"),
    "unauthenticated": Kind(401, "no valid API key or token came with it", ("WWW-Authenticate",)),
    "forbidden": Kind(403, "the caller's role may not do this"),
    "no_role": Kind(403, "the token has no role that means something here"),
    "not_from_here": Kind(403, "without keys: a page of another site has sent it"),
    "unknown": Kind(404, "there is no such order or customer"),
    "no_such_path": Kind(404, "there is nothing under this path"),
    "no_such_method": Kind(405, "the path cannot do this", ("Allow",)),
    "ambiguous": Kind(409, "several customers have such an order"),
    "in_flight": Kind(409, "the same request is still under way", _AGAIN),
    "order_known": Kind(409, "the order is known with another amount"),
    "too_large": Kind(413, "the body is too large"),
    "media_type": Kind(415, "the body is not JSON"),
    "misdirected": Kind(421, "without keys: it came under a name that is not this machine's"),
    "invalid": Kind(422, "the body can be read, and cannot be true"),
    "key_reused": Kind(422, "the Idempotency-Key came with another body before"),
    "too_many_requests": Kind(429, "more at once, or in a second, than is allowed", _AGAIN),
    "failed": Kind(500, "something failed here"),
    "no_decision": Kind(503, "no decision in time; the order is placed all the same", _AGAIN),
    "not_written": Kind(503, "the brokers do not take it; nothing was done", _AGAIN),
    "starting": Kind(503, "what it is answered from has not been read yet", _AGAIN),
    "issuer_away": Kind(503, "the identity provider does not answer", _AGAIN),
}
"""Every kind there is."""


class Problem(Exception):  # noqa: N818  the RFC's word
    """An answer that is an error.

    Args:
        status: of HTTP.
        kind: names the kind of problem for programs; its `type` is `urn:headroom:problem:<kind>`.
        title: the kind in words, always the same.
        detail: this case of it.
        fields: what is wrong with which field of the body.
        retry_after: seconds after which it may be different.
        headers: further ones.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def response(self) -> Response:
        document: dict[str, object] = {
            "type": f"urn:headroom:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.fields:
            document["errors"] = [
                {"field": field, "detail": detail} for field, detail in self.fields.items()
            ]
        return Response(
            msgspec.json.encode(document), self.status, self.headers, media_type=MEDIA_TYPE
        )


def invalid(detail: str, fields: Mapping[str, str]) -> Problem:
    """422: the body can be read, and cannot be true."""
    return Problem(422, "invalid", "The body cannot be used", detail, fields=fields)


def malformed(detail: str) -> Problem:
    """400: it cannot be read."""
    return Problem(400, "malformed", "The request cannot be read", detail)


def unauthenticated(detail: str, error: str | None = None) -> Problem:
    """401: nobody we know. `error` is RFC 6750's word for what is wrong with a token."""
    challenge = 'Bearer realm="headroom"' + (f', error="{error}"' if error else "")
    return Problem(
        401, "unauthenticated", "Who are you?", detail, headers={"WWW-Authenticate": challenge}
    )


def busy(detail: str) -> Problem:
    """429: too much at once."""
    return Problem(429, "too_many_requests", "Too many requests", detail, retry_after=1)


def undecided(detail: str, retry_after: int) -> Problem:
    """503: no decision in time."""
    return Problem(503, "no_decision", "No decision in time", detail, retry_after=retry_after)
