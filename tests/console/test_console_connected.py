"""A credit controller's day in a real browser: real broker, worker with ClickHouse's engine, and
two gateways between which a load balancer could choose.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from console.pictures import picture
from gateway.test_gateway_connected import GatewayProcess
from playwright.sync_api import Browser, Page, expect, sync_playwright
from worker.conftest import Broker, WorkerProcess, free_port

from agents.gateway.callers import entry_of, new_key
from schemas import events as ev
from schemas.events import Day
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_HTTP = urllib3.PoolManager(retries=False)
_PATIENCE_MS = 40_000
_POLICY = """
version = "four-eyes"

[release]
four_eyes_above = "5000"

[release.authority]
controller = "20000"
manager = "100000"
"""


class Firm:
    """An installation with a controller and a manager."""

    def __init__(self, home: Path, bootstrap: str) -> None:
        self.broker = Broker(bootstrap)
        people = {"anna": "controller", "ben": "manager", "shop": "order-system", "vera": "viewer"}
        self.keys = {name: new_key() for name in people}
        keys, policy = home / "keys.toml", home / "policy.toml"
        keys.write_text("".join(entry_of(n, (r,), self.keys[n]) for n, r in people.items()))
        policy.write_text(_POLICY)
        common = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")} | {
            "HEADROOM_KAFKA_BOOTSTRAP": bootstrap,
            "HEADROOM_REPLICATION_FACTOR": "1",
            "HEADROOM_MIN_INSYNC_REPLICAS": "1",
            "HEADROOM_STATE_DIR": str(home / "state"),
            "HEADROOM_EMBEDDED_DIR": str(home / "embedded"),
            "HEADROOM_POLICY_FILE": str(policy),
            "HEADROOM_GATEWAY_KEYS": str(keys),
            "HEADROOM_CONSOLE_SECRET": "s3cr3t" * 6,
        }
        self.worker = WorkerProcess(
            common | {"HEADROOM_WEB_PORT": str(free_port())}, home / "worker.log"
        )
        self.gateways: list[GatewayProcess] = []
        self._common, self._home = common, home
        self._said = 0

    def start(self) -> None:
        self.worker.start(only="intake,credit,sink")
        self.worker.wait_until_ready()
        for name in ("one", "two"):
            own = {"HEADROOM_WORKER_NAME": name, "HEADROOM_GATEWAY_PORT": str(free_port())}
            self.gateways.append(GatewayProcess(self._common | own, self._home / f"{name}.log"))
        for gateway in self.gateways:
            gateway.wait_until_ready()

    def say(self, kind: Any, customer_id: str, **fields: Any) -> None:
        self._said += 1
        stamp = {"event_id": f"c-{self._said}", "occurred_at": int(time.time() * 1_000_000)}
        self.broker.send(kind(**stamp, customer_id=customer_id, **fields), customer_id)
        self.broker.flush()

    def order(self, customer_id: str, order_id: str, amount: str) -> str:
        """Place an order as a shop does; what is decided."""
        body = {
            "customer_id": customer_id, "order_id": order_id, "amount": amount, "currency": "EUR",
        }  # fmt: skip
        headers = {
            "Authorization": f"Bearer {self.keys['shop']}", "Headroom-Timeout": "20",
            "Content-Type": "application/json",
        }  # fmt: skip
        answer = _HTTP.request(
            "POST", f"{self.gateways[0].url}/v1/orders/check", body=json.dumps(body).encode(),
            headers=headers,
        )  # fmt: skip
        assert answer.status == 200, answer.data
        return str(json.loads(answer.data)["decision"])

    def wait_until_known(self, customer_id: str) -> None:
        """Until a customer's master record has been applied."""
        deadline = time.monotonic() + _PATIENCE_MS / 1000
        while True:
            answer = _HTTP.request(
                "GET", f"{self.gateways[0].url}/v1/customers/{customer_id}",
                headers={"Authorization": f"Bearer {self.keys['shop']}"},
            )  # fmt: skip
            if answer.status == 200 and json.loads(answer.data)["known"]:
                return
            assert time.monotonic() < deadline, answer.data
            time.sleep(0.1)

    def close(self) -> None:
        self.worker.kill()
        for gateway in self.gateways:
            gateway.stop()
        for gateway in self.gateways:
            assert "Traceback" not in gateway.log.read_text()


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Firm]:
    home = tmp_path_factory.mktemp("console")
    with EmbeddedKafka(home / "kafka", cache=cache_dir) as kafka:
        one = Firm(home, kafka.bootstrap_servers)
        try:
            one.start()
            yield one
        finally:  # nothing is left running, whatever fails
            one.close()


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def seat(browser: Browser, firm: Firm) -> Iterator[Callable[..., Page]]:
    """Signs somebody in, in a browser of their own; what that complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def complain(text: str) -> None:
        if "status of 401" not in text:  # where a test tries a key that nobody has
            complaints.append(text)

    def sit(name: str, gateway: int = 0, **more: Any) -> Page:
        more = {"viewport": {"width": 1280, "height": 760}, "locale": "en-GB"} | more
        context = browser.new_context(reduced_motion="reduce", **more)
        contexts.append(context)
        context.set_default_timeout(_PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: complain(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{firm.gateways[gateway].url}/")
        page.get_by_label("Your key").fill(firm.keys[name])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Orders on hold")
        page.wait_for_selector("body[data-listening]")
        return page

    yield sit
    for context in contexts:
        context.close()
    assert complaints == []


expect.set_options(timeout=_PATIENCE_MS)


def test_from_order_to_hold_alert_payment_and_release_without_touching_the_page(
    firm: Firm, seat: Callable[..., Page]
) -> None:
    today: Day = int(time.time() // 86_400)
    work, alerts = seat("anna"), seat("anna", 1)
    alerts.keyboard.press("g")
    alerts.keyboard.press("a")
    expect(alerts.get_by_role("heading", level=1)).to_have_text("Alerts")
    alerts.wait_for_selector("body[data-listening]")

    firm.say(
        ev.CustomerUpserted, "C-100", currency="EUR", credit_limit=10_000_00, country="NL",
        name='Bakkerij "De Vries" <&> zonen', account_manager="anna",
    )  # fmt: skip
    firm.say(
        ev.InvoiceIssued, "C-100", invoice_id="I-1001", amount=6_000_00, currency="EUR",
        issued_on=today - 40, due_on=today - 10,
    )  # fmt: skip
    firm.wait_until_known("C-100")
    assert firm.order("C-100", "O-1", "2500.00") == "approved"
    # 85 % of the limit: the page of alerts shows it by itself.
    row = alerts.get_by_role("row", name=re.compile("Bakkerij"))
    expect(row).to_contain_text("80% of the limit reached")
    expect(row).to_contain_text("€8,500.00")

    assert firm.order("C-100", "O-2", "3000.00") == "held"
    held = work.get_by_role("row", name=re.compile("O-2"))
    expect(held).to_contain_text("Over the limit")
    expect(held).to_contain_text('Bakkerij "De Vries" <&> zonen')
    expect(work.locator("#held-count")).to_have_text("1")

    firm.say(
        ev.PaymentReceived, "C-100", payment_id="P-1", amount=6_000_00, currency="EUR",
        value_on=today, allocations=[ev.Allocation(invoice_id="I-1001", amount=6_000_00)],
    )  # fmt: skip
    expect(held).to_have_count(0)
    expect(work.get_by_text("No order waits.")).to_be_visible()
    expect(alerts.get_by_text("below 80% again")).to_be_visible()

    work.goto(f"{firm.gateways[0].url}/console/customer?id=C-100")
    line = work.get_by_role("row", name=re.compile("O-2"))
    expect(line).to_contain_text("released")
    expect(work.locator("svg.chart")).to_be_visible()  # of the worker's ClickHouse engine
    work.get_by_role("link", name="O-2", exact=True).click()
    work.get_by_role("link", name="Explain").click()
    expect(work.get_by_role("article")).to_have_count(2)
    expect(work.get_by_role("article").last).to_contain_text("released")


def test_a_click_releases_and_a_large_order_takes_two(
    firm: Firm, seat: Callable[..., Page]
) -> None:
    for n, (name, manager) in enumerate(
        [("Müller & Söhne GmbH", "ben"), ("Épicerie du Parc", "anna"), ("Northwind", "")], 2
    ):
        firm.say(
            ev.CustomerUpserted, f"C-{n}00", currency="EUR", credit_limit=5_000_00, name=name,
            account_manager=manager or None,
        )  # fmt: skip
    for n in (2, 3, 4):
        firm.wait_until_known(f"C-{n}00")
    for customer_id, order_id, amount in [
        ("C-200", "O-31", "7250.00"), ("C-300", "O-32", "5001.00"), ("C-400", "O-33", "120000.00"),
    ]:  # fmt: skip
        assert firm.order(customer_id, order_id, amount) == "held"
    assert firm.order("C-300", "O-35", "4900.00") == "approved"
    assert firm.order("C-300", "O-34", "4200.00") == "held"

    anna, ben = seat("anna"), seat("ben", 1)
    small = anna.get_by_role("row", name=re.compile("O-34"))
    expect(small).to_be_visible()
    picture(anna, "console-work")
    small.get_by_role("combobox").select_option("Good customer")
    small.get_by_role("button", name="Release").click()
    expect(anna.locator("#acts li").first).to_have_text(re.compile("Release of O-34: released"))
    expect(small).to_have_count(0)
    # Somebody else's page, on another gateway, follows.
    expect(ben.get_by_role("row", name=re.compile("O-34"))).to_have_count(0)

    large = anna.get_by_role("row", name=re.compile("O-31"))
    expect(large).to_contain_text("A second person confirms.")
    large.get_by_role("button", name="Propose release").click()
    expect(anna.locator("#acts li").first).to_have_text(
        re.compile("Proposal to release O-31: noted")
    )
    expect(large).to_contain_text("Proposed by anna")
    expect(ben.locator("#waiting-count")).to_have_text("1")
    ben.get_by_role("link", name=re.compile("Second pair of eyes")).first.click()
    ben.wait_for_selector("body[data-listening]")
    waiting = ben.get_by_role("row", name=re.compile("O-31"))
    expect(waiting).to_contain_text("Proposed by anna: Good customer")
    picture(ben, "console-second")
    waiting.get_by_role("button", name="Confirm and release").click()
    expect(ben.locator("#acts li").first).to_have_text(
        re.compile("Release of O-31, confirmed: released")
    )
    expect(waiting).to_have_count(0)
    expect(large).to_have_count(0)

    answer = _HTTP.request(
        "GET", f"{firm.gateways[1].url}/v1/orders/O-31",
        headers={"Authorization": f"Bearer {firm.keys['vera']}"},
    )  # fmt: skip
    decision = json.loads(answer.data)["decision"]
    assert (decision["decision"], decision["by"]) == ("released", "anna")
    assert decision["why"] == "good_customer"


def test_what_the_pipeline_refuses_is_said_with_why(firm: Firm, seat: Callable[..., Page]) -> None:
    firm.say(ev.CustomerUpserted, "C-500", currency="EUR", credit_limit=0, name="Zero")
    firm.wait_until_known("C-500")
    assert firm.order("C-500", "O-50", "150000.00") == "held"
    page = seat("ben")
    row = page.get_by_role("row", name=re.compile("O-50"))
    expect(row).to_contain_text("Above your authority.")
    # The page would not send it: whoever does so by other means is told by the pipeline.
    row.locator("form.act").evaluate(
        "form => { form.action = '/console/act/release'; form.requestSubmit(); }"
    )
    told = page.locator("#acts li").first
    expect(told).to_contain_text("refused, above the authority of the role")
    expect(row).to_be_visible()


def test_notes_are_seen_on_every_gateway_and_on_a_telephone(
    firm: Firm, seat: Callable[..., Page]
) -> None:
    firm.say(
        ev.CustomerUpserted, "C-600", currency="EUR", credit_limit=20_000_00, country="BE",
        name="Brasserie Zonneveld", account_manager="anna", email="ap@zonneveld.example",
    )  # fmt: skip
    today: Day = int(time.time() // 86_400)
    for n, (amount, late) in enumerate([(4_200_00, -14), (2_600_00, 9), (1_150_00, 44)], 1):
        firm.say(
            ev.InvoiceIssued, "C-600", invoice_id=f"I-60{n}", amount=amount, currency="EUR",
            issued_on=today - late - 30, due_on=today - late,
        )  # fmt: skip
    firm.order("C-600", "O-60", "3100.00")
    firm.order("C-600", "O-61", "9800.00")
    phone = {"viewport": {"width": 390, "height": 844}}
    writes, reads = seat("anna"), seat("vera", 1, **phone)
    for gateway, page in ((0, writes), (1, reads)):
        page.goto(f"{firm.gateways[gateway].url}/console/customer?id=C-600")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Brasserie Zonneveld")
        expect(page.get_by_role("row", name=re.compile("O-61"))).to_contain_text("on hold")
        page.wait_for_selector("body[data-listening]")
    assert reads.get_by_role("button", name="Release").count() == 0
    assert reads.get_by_label("New note").count() == 0
    writes.get_by_label("New note").fill("Pays on the 5th.\n<script>alert(1)</script>")
    writes.get_by_role("button", name="Write it down").click()
    expect(writes.locator("#acts li").first).to_contain_text("noted")
    note = reads.locator(".notes li")
    expect(note).to_contain_text("<script>alert(1)</script>")
    expect(note).to_contain_text("anna")
    assert reads.evaluate("document.documentElement.scrollWidth") <= 390
    expect(writes.locator("svg.chart")).to_be_visible()
    picture(reads, "console-telephone")


def test_who_signs_out_is_out_and_a_viewer_cannot_act(
    firm: Firm, seat: Callable[..., Page]
) -> None:
    page = seat("vera")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{firm.gateways[0].url}/console/portfolio")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.get_by_label("Your key").fill("hr_of_nobody")
    with page.expect_response(lambda answer: answer.status == 401):
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Nobody has this key.")
