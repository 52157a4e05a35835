"""Which agents a worker runs when none is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.roster import usual_agents
from streams.settings import Settings

_ALWAYS = ("intake", "credit", "sink")
_MAIL: dict[str, Any] = {"smtp_url": "smtp://mail"}
_ROUTES: dict[str, Any] = {"alert_routes": Path("routes.toml")}
_DUNNING: dict[str, Any] = {"procedures_dir": Path("procedures")}


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ({}, ()),
        (_MAIL, ("notify",)),
        (_ROUTES, ("alerts",)),
        (_MAIL | _ROUTES, ("alerts",)),  # nobody is dunned: the mail server is there for alerts
        (_MAIL | _ROUTES | _DUNNING, ("notify", "alerts")),
    ],
)
def test_only_agents_that_have_something_to_do(
    given: dict[str, Any], more: tuple[str, ...], make_settings: Callable[..., Settings]
) -> None:
    assert usual_agents(make_settings(**given)) == (*_ALWAYS, *more)
