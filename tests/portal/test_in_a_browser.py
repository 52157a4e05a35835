"""The page as people use it: a real browser, a telephone's screen, the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, sync_playwright
from portal.desk import Desk
from portal.fake_mollie import KEY, FakeMollie

from agents.portal.mollie_payments import MolliePayments
from schemas import events as ev

pytestmark = pytest.mark.slow


@pytest.fixture
def mollie() -> Iterator[FakeMollie]:
    one = FakeMollie()
    yield one
    one.close()


@pytest.fixture
def desk(mollie: FakeMollie) -> Iterator[Desk]:
    one = Desk(MolliePayments(KEY, mollie.url, ZoneInfo("Europe/Amsterdam")))
    yield one
    one.close()


@pytest.fixture
def page(chromium: Path) -> Iterator[Page]:
    """A telephone; whatever the browser complains about fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, locale="en-GB", reduced_motion="reduce"
        )
        one = context.new_page()
        complaints: list[str] = []
        one.on("console", lambda said: complaints.append(said.text))
        one.on("pageerror", lambda error: complaints.append(str(error)))
        yield one
        browser.close()
        assert complaints == []


def test_contest_promise_and_pay_on_a_telephone(
    desk: Desk, mollie: FakeMollie, page: Page, tmp_path: Path
) -> None:
    page.goto(desk.page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("img").evaluate("image => image.naturalWidth") > 0
    style = page.locator("button.main").evaluate("one => getComputedStyle(one).backgroundColor")
    assert style == "rgb(11, 87, 164)"  # the style sheet is allowed in
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)

    page.get_by_text("Something is wrong").click()
    page.get_by_label("Which invoice?").select_option("I-2")
    page.get_by_label("It was damaged or not as agreed").check()
    page.get_by_label("Tell us more").fill("Two sacks were torn.")
    page.get_by_role("button", name="Contest it").click()
    assert page.get_by_role("status").inner_text().startswith("We have received it")
    (contested,) = desk.said
    assert isinstance(contested, ev.InvoiceDisputed)
    assert contested.reason == "damaged: Two sacks were torn."

    # With the keyboard alone.
    page.get_by_text("I pay later").focus()
    page.keyboard.press("Enter")
    page.get_by_label("On which day do you pay?").fill(
        str(page.get_by_label("On which day do you pay?").get_attribute("max"))
    )
    page.get_by_role("button", name="Promise it").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**said=promised")
    assert "You hear from us only if" in page.get_by_role("status").inner_text()
    assert isinstance(desk.said[-1], ev.PromiseToPayMade)
    assert page.get_by_text("I pay later").count() == 0

    # The policy lets the form lead to the provider, and to nobody else.
    page.get_by_role("button", name="Pay").click()
    page.wait_for_url(f"{mollie.url}/checkout/**")
    (payment,) = mollie.payments.values()
    mollie.becomes(payment["id"], "paid")
    page.goto(payment["redirectUrl"])
    assert "As soon as your bank confirms" in page.content()


def test_what_was_left_out_is_asked_for_by_the_browser_itself(desk: Desk, page: Page) -> None:
    page.goto(desk.page)
    page.get_by_text("Something is wrong").click()
    page.get_by_role("button", name="Contest it").click()
    assert page.url == desk.page
    assert desk.said == []
