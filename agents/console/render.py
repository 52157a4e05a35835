"""Templates, and the files that pages name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

import jinja2

NAV = (
    ("work", "/console/", "w"),
    ("second", "/console/second", "s"),
    ("alerts", "/console/alerts", "a"),
    ("portfolio", "/console/portfolio", "p"),
)
"""The pages that each page leads to: name, address, and key behind `g`."""
_ASSETS = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def page(template: str, context: Mapping[str, Any]) -> str:
    """A page, or a part of one. All that it is made of is escaped."""
    return _environment().get_template(template).render(context)


def asset(name: str) -> tuple[bytes, str] | None:
    """A file and its media type; None for none of ours."""
    media_type = _ASSETS.get(name)
    return None if media_type is None else (_content(name), media_type)


def _static(name: str) -> str:
    """The address of a file, another one when the file is: browsers keep it for ever."""
    return f"/console/{name}?v={blake2b(_content(name), digest_size=6).hexdigest()}"


@cache
def _content(name: str) -> bytes:
    return (files("agents.console") / "static" / name).read_bytes()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("agents.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": _static, "nav": NAV}
    return environment
