"""`headroom portal`: the pages that letters link to."""

from __future__ import annotations

from agents.portal.run import run_portal
from streams.embedded.parts import with_broker
from streams.settings import load_settings


def portal() -> None:
    """Serve the pages on which customers see what a letter asks, and pay, contest or promise."""
    run_portal(with_broker(load_settings()))
