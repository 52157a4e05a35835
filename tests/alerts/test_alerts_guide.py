"""What docs/alerts.md says can be copied."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

from agents.alerts.carriers import signature_of
from agents.alerts.routes_text import parse_routes

_GUIDE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", _GUIDE, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_example_is_a_file_of_routes() -> None:
    routes = parse_routes(block("toml"))
    assert list(routes.recipients) == ["ann", "head", "desk", "orders"]
    assert len(routes.routes) == 3


def test_a_receiver_tells_what_we_sent_from_what_somebody_else_did() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102  our own guide
    verified = names["verified"]
    text = tomllib.loads(block("toml"))["recipients"]["orders"]["secret"]
    (key,) = parse_routes(block("toml")).recipients["orders"].secrets
    now, body = int(time.time()), b'{"type":"credit.order.held"}'

    def headers(at: int = now, *keys: bytes) -> dict[str, str]:
        signed = signature_of(keys or (key,), "m-1", at, body)
        return {"webhook-id": "m-1", "webhook-timestamp": str(at), "webhook-signature": signed}

    assert verified(headers(), body, text)
    assert verified(headers(now, b"n" * 24, key), body, text)  # the secret is being changed
    assert not verified(headers(now, b"n" * 24), body, text)
    assert not verified(headers(), body + b" ", text)
    assert not verified(headers() | {"webhook-id": "m-2"}, body, text)
    assert not verified(headers(now - 301), body, text)
