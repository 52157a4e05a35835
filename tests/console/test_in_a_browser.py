"""The console as people use it: a real browser, the keyboard, a telephone's screen, and whoever
cannot see it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from console.office import DAY, Office, Served, busy_office
from console.pictures import picture
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agents.console.history import DayFigures
from schemas import events as ev

pytestmark = pytest.mark.slow

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OPTIONS = {"runOnly": {"type": "tag", "values": _RULES}, "resultTypes": ["violations"]}
PAGES = [
    "/console/", "/console/second", "/console/alerts", "/console/portfolio",
    "/console/search?q=e", "/console/customer?id=C-100", "/console/order?customer=C-100&id=O-2",
]  # fmt: skip

PHONE = ("/console/", "/console/customer?id=C-100")
"""What is looked at by axe on a telephone, too: the pages are of one make."""


def year(_customer_id: str, _currency: str) -> list[DayFigures]:
    return [
        DayFigures(
            DAY - 365 + n, Decimal(5_000 + round(3_000 * math.sin(n / 40))),
            Decimal(max(0, round(2_000 * math.sin(n / 25)))), Decimal(8_000 if n < 200 else 10_000),
        )
        for n in range(366)
    ]  # fmt: skip


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    one = busy_office(tmp_path, year=year)
    one.say(ev.CustomerNoteAdded, "C-100", text="Pays on the 5th.", by="anna", role="controller")
    one.say(ev.OrderReleaseProposed, "C-200", order_id="O-4", by="anna", reason="secured")
    one.order("C-200", "O-7", 1_00)
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """Whatever the browser complains about fails the test."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", reduced_motion="reduce"
    )
    one = context.new_page()
    complaints: list[str] = []

    def complain(text: str) -> None:
        if "ERR_INTERNET_DISCONNECTED" not in text:  # where a test cuts the line
            complaints.append(text)

    one.on("console", lambda said: complain(said.text))
    one.on("pageerror", lambda error: complaints.append(str(error)))
    open_at(one, served, "/console/")
    yield one
    context.close()
    assert complaints == []


def open_at(page: Page, served: Served, path: str) -> None:
    page.goto(served.url + path)
    page.wait_for_selector("body[data-listening]")


def test_a_day_with_the_keyboard_alone(page: Page) -> None:
    keys = page.keyboard
    keys.press("j")
    keys.press("j")
    focused = page.locator(":focus")
    expect(focused).to_have_text("O-2")
    keys.press("r")
    expect(focused).to_have_attribute("aria-label", "Release: O-2")
    keys.press("Enter")
    expect(page.locator("#acts li").first).to_have_text("Release of O-2: released")
    expect(page.get_by_role("row", name=re.compile("O-2"))).to_have_count(0)
    # Focus has not been lost with the row.
    expect(focused).to_have_text("O-3")
    keys.press("o")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Order O-3")
    page.wait_for_selector("body[data-listening]")
    keys.press("/")
    keys.type("mülle")
    keys.press("Enter")
    expect(page.get_by_role("link", name="Müller & Söhne GmbH")).to_be_visible()
    for key, heading in (("p", "Portfolio"), ("a", "Alerts"), ("s", "Second pair of eyes")):
        page.wait_for_selector("body[data-listening]")
        keys.press("g")
        keys.press(key)
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    page.wait_for_selector("body[data-listening]")
    keys.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Keys work on this browser").uncheck()
    keys.press("Escape")
    keys.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_all_can_be_reached_by_tab_and_the_first_stop_skips_the_head(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to content")
    page.keyboard.press("Enter")
    expect(page.locator(":focus")).to_have_attribute("id", "main")
    unreached = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, textarea")]
            .filter((one) => one.tabIndex < 0).map((one) => one.outerHTML)"""
    )
    assert unreached == []
    page.keyboard.press("Tab")
    outline = page.locator(":focus").evaluate("one => getComputedStyle(one).outlineWidth")
    assert outline == "3px"


def test_what_happens_is_seen_and_what_somebody_writes_stays(
    office: Office, served: Served, page: Page
) -> None:
    open_at(page, served, "/console/customer?id=C-100")
    expect(page.locator("svg.chart")).to_be_visible()
    page.get_by_label("New note").fill("Half a sent")
    page.get_by_text("Change limit").first.click()
    page.get_by_label("New limit in EUR").fill("12")
    office.pay("C-100", "P-1", 900_00, "I-1003")
    expect(page.get_by_role("row", name=re.compile("O-1"))).to_contain_text("released")
    expect(page.locator(".headline")).to_contain_text("€8,000.00")
    office.say(ev.CustomerNoteAdded, "C-100", text="From somebody else.", by="ben")
    expect(page.get_by_text("From somebody else.")).to_be_visible()
    expect(page.get_by_label("New note")).to_have_value("Half a sent")
    expect(page.get_by_label("New limit in EUR")).to_have_value("12")
    page.get_by_label("New limit in EUR").fill("12.500")
    page.get_by_role("button", name="Change limit").click()
    expect(page.locator("#acts li").first).to_have_text("New limit of C-100: done")
    expect(page.locator(".headline")).to_contain_text("of €12,500.00")
    assert office.written[-1] == office.journal[-1]
    page.set_viewport_size({"width": 1280, "height": 1480})
    picture(page, "console-customer")


def test_a_list_goes_from_nothing_to_something_and_back(
    office: Office, served: Served, page: Page
) -> None:
    open_at(page, served, "/console/?reason=stale_data&manager=anna")
    expect(page.get_by_text("No order waits.")).to_be_visible()
    open_at(page, served, "/console/?reason=limit_missing")
    row = page.get_by_role("row", name=re.compile("O-6"))
    for limit, count in ((1_000_00, 0), (None, 0), (2_000_00, 0)):
        office.customer("C-400", limit, name="Northwind Traders")
        expect(row).to_have_count(count)
    expect(page.get_by_text("No order waits.")).to_be_visible()
    office.customer("C-500", None, name="Late & Co")
    office.order("C-500", "O-8", 1_00)
    expect(page.get_by_role("row", name=re.compile("O-8"))).to_contain_text("Late & Co")
    office.customer("C-500", 5_00, name="Late & Co")
    expect(page.get_by_text("No order waits.")).to_be_visible()


def test_a_decision_that_takes_its_time_comes_by_itself(office: Office, page: Page) -> None:
    office.holds_back = True
    row = page.get_by_role("row", name=re.compile("O-3"))
    row.get_by_role("button", name="Release").click()
    told = page.locator("#acts li").first
    expect(told).to_have_text("Release of O-3: waits for the decision …")
    expect(row).to_be_visible()
    office.decide()
    expect(told).to_have_text("Release of O-3: released")
    expect(row).to_have_count(0)


def test_a_broken_connection_is_said_and_nothing_is_missed(office: Office, page: Page) -> None:
    page.context.set_offline(True)
    page.evaluate("source.close(); source = null; listen()")
    expect(page.get_by_text("No connection: what you see may be old.")).to_be_visible()
    office.order("C-400", "O-9", 7_00)
    page.context.set_offline(False)
    expect(page.get_by_role("row", name=re.compile("O-9"))).to_be_visible(timeout=15_000)
    expect(page.get_by_text("No connection: what you see may be old.")).to_be_hidden()


def test_every_page_can_be_used_by_everybody_and_on_a_telephone(served: Served, page: Page) -> None:
    axe = Axe()
    for path in PAGES:
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            open_at(page, served, path)
            if "/order" in path:
                page.get_by_role("link", name="Explain").click()
                expect(page.get_by_role("article")).to_have_count(1)
            if "/customer" in path:
                expect(page.locator("svg.chart")).to_be_visible()
                for one in page.locator("summary").all():
                    one.click()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (path, width, wide)
            if width < 1280 and path not in PHONE:
                continue
            found = axe.run(page, options=_OPTIONS)
            assert found.violations_count == 0, (path, width, found.generate_report())
