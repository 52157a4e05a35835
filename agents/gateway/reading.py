"""What is read from a request: its body, its headers, and where a page begins."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from agents.gateway.problems import Problem, malformed
from agents.intake.rules import ID_CHARACTERS_MAX
from schemas.json_lines import json_object

BODY_BYTES_MAX = 64 * 1024
KEY_CHARACTERS_MAX = 255
TIMEOUT_BOUNDS = (0.05, 30.0)
PAGE = (50, 500)
"""Entries of a page: usually, and at most."""
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
JSON, EVENTS = "application/json", "text/event-stream"

_Place = TypeVar("_Place")


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises `Problem` 400, 413, 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (JSON, ""):
        raise Problem(415, "media_type", "JSON is needed", f"Content-Type: {JSON}")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES_MAX:
            raise Problem(
                413, "too_large", "The body is too large", f"at most {BODY_BYTES_MAX} bytes"
            )
    try:
        return json_object(raw.decode())
    except ValueError as error:
        raise malformed(f"the body: {error}") from error


def idempotency_key(request: Request) -> str | None:
    """The sender's name for the request. Raises `Problem` 400."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or not key.isprintable():
        raise malformed(f"Idempotency-Key: 1 to {KEY_CHARACTERS_MAX} printable characters")
    return key


def seconds_of(request: Request, usual: float) -> float:
    """How long to wait for a decision. Raises `Problem` 400."""
    text = request.headers.get("headroom-timeout")
    if text is None:
        return usual
    low, high = TIMEOUT_BOUNDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not low <= seconds <= high:
        raise malformed(f"Headroom-Timeout: seconds from {low:g} to {high:g}")
    return seconds


def check_parameters(request: Request, known: Collection[str]) -> None:
    """That each parameter of the query is one of these, and there once. Raises `Problem` 400."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            there = f"there are {', '.join(sorted(known))}" if known else "there is none"
            raise malformed(f"a parameter that is not known: {there}")
        if names.count(name) > 1:
            raise malformed(f"{name} is there twice")


def query(request: Request, name: str) -> str | None:
    """A text among the query's parameters. Raises `Problem` 400."""
    text = request.query_params.get(name)
    if text is not None and (
        not 0 < len(text) <= ID_CHARACTERS_MAX or not text.isprintable() or text.isspace()
    ):
        raise malformed(f"{name}: 1 to {ID_CHARACTERS_MAX} printable characters")
    return text


def wanted(request: Request, name: str) -> str:
    """The same, which must be there. Raises `Problem` 400."""
    text = query(request, name)
    if text is None:
        raise malformed(f"{name} is missing")
    return text


def page_of(request: Request, kind: type[_Place]) -> tuple[int, _Place | None]:
    """How many entries are asked for, and behind which place. Raises `Problem` 400."""
    usual, most = PAGE
    text = request.query_params.get("limit", str(usual))
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= most:
        raise malformed(f"limit: 1 to {most}")
    after = request.query_params.get("after")
    return int(text), None if after is None else _place(after, kind)


def cursor_of(place: object) -> str:
    """A place as `page_of` reads it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(cursor: str, kind: type[_Place]) -> _Place:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise malformed("after: none of ours") from error


def wants_json(accept: str) -> bool:
    """Whether a client would rather have a page of JSON than a stream of events."""
    shares = dict(_ranges(accept))
    json, events = (_share(kind, shares) for kind in (JSON, EVENTS))
    if json == events:
        return json > 0 and JSON in shares and EVENTS not in shares
    return json > events


def _ranges(accept: str) -> Any:
    for one in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        share = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    share = float(value)
                except ValueError:
                    share = 0.0
        if kind:
            yield kind, share


def _share(kind: str, shares: dict[str, float]) -> float:
    group = kind.partition("/")[0] + "/*"
    return next((shares[one] for one in (kind, group, "*/*") if one in shares), 0.0)
