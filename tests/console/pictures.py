"""The README's and the guide's pictures, taken while tests run: `HEADROOM_PICTURES=1`."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page

_PICTURES = Path(__file__).parents[2] / "docs" / "images"


def picture(page: Page, name: str) -> None:
    if os.environ.get("HEADROOM_PICTURES"):
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=str(_PICTURES / f"{name}.png"))
