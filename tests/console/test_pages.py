"""The console's pages over HTTP, on the rules in memory."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console.asking import Answer, Asking
from console.office import EVERY_ROLE, Office, Served, busy_office

from agents.console.acts import ACTIONS
from agents.gateway.callers import ROLES, hash_of
from agents.policy_file import load_policy
from schemas import events as ev

PAGES = [
    "/console/", "/console/second", "/console/alerts", "/console/portfolio",
    "/console/search?q=e", "/console/customer?id=C-100", "/console/order?customer=C-100&id=O-2",
    "/console/history?id=C-100", "/console/explain?customer=C-100&id=O-2",
]  # fmt: skip
EXPORTS = ["/console/held.csv", "/console/portfolio.csv", "/console/items.csv?id=C-100"]
PEOPLE = {**EVERY_ROLE, "anna": "controller", "ben": "manager"}
HOSTILE = '=cmd|"/c calc"!A1</td><script>alert(1)</script>\' onload="x'

Sit = Callable[..., Asking]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    one = busy_office(tmp_path, roles=PEOPLE)
    yield one
    one.close()


@pytest.fixture
def sit(office: Office, served: Served) -> Sit:
    return lambda name, **headers: Asking(served.url, office.keys[name], **headers)


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Office, Sit]]:
    """An office in which nothing is done that another test would mind."""
    office = busy_office(tmp_path_factory.mktemp("calm"), roles=PEOPLE)
    served = Served(office)
    yield office, lambda name, **headers: Asking(served.url, office.keys.get(name), **headers)
    served.close()
    office.close()


# ── who ─────────────────────────────────────────────────────────────────────────────────────────


def test_who_is_not_signed_in_is_asked_for_a_key_and_comes_to_the_page_asked_for(
    office: Office, served: Served
) -> None:
    stranger = Asking(served.url)
    assert stranger.get("/").headers["location"] == "/console/"
    answer = stranger.get("/console/customer?id=C-100")
    assert answer.status == 303
    there = answer.headers["location"]
    assert there == "/console/login?next=%2Fconsole%2Fcustomer%3Fid%3DC-100"
    token = re.search(r'name="token" value="([^"]+)"', stranger.get(there).text)
    assert token is not None
    fields = {"token": token[1], "next": "/console/customer?id=C-100"}
    assert stranger.post("/console/login", fields | {"key": "hr_other"}).status == 401
    answer = stranger.post("/console/login", fields | {"key": office.keys["anna"]})
    assert (answer.status, answer.headers["location"]) == (303, "/console/customer?id=C-100")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # on this machine
    assert "Bakkerij De Vries" in stranger.get("/console/customer?id=C-100").words


def test_the_cookie_is_for_encrypted_lines_only_elsewhere(served: Served) -> None:
    page = Asking(served.url).get("/console/login", Host="credit.example")
    assert "Secure" in page.headers["set-cookie"]


def test_a_session_ends_with_its_key(office: Office, sit: Sit) -> None:
    anna = sit("anna")
    assert anna.get("/console/").status == 200
    del office.entries[hash_of(office.keys["anna"])]
    assert anna.get("/console/").status == 303
    assert anna.post("/console/act/note", {"token": "x"}).status == 401


def test_a_key_cannot_be_read_from_the_cookie_and_another_secret_knows_none(
    office: Office, sit: Sit
) -> None:
    anna = sit("anna")
    assert office.keys["anna"] not in str(anna.cookies)
    anna.cookies["headroom_console"] = anna.cookies["headroom_console"][:-4] + "AAAA"
    assert anna.get("/console/").status == 303


def test_who_signs_out_has_no_session(sit: Sit) -> None:
    anna = sit("anna")
    assert anna.post("/console/logout").status == 303
    assert "headroom_console" not in anna.cookies
    assert anna.get("/console/").status == 303


def test_a_header_of_a_proxy_is_taken_too(office: Office, served: Served) -> None:
    proxied = Asking(served.url, Authorization=f"Bearer {office.keys['ben']}")
    page = proxied.get("/console/customer?id=C-100")
    assert "ben (manager)" in page.words
    assert "Sign out" not in page.words  # it is the proxy's to do
    answer = proxied.post("/console/act/note", {"customer_id": "C-100", "text": "by proxy"})
    assert answer.status == 303
    assert isinstance(office.written[-1], ev.CustomerNoteAdded)
    wrong = Asking(served.url, Authorization="Bearer hr_none")
    assert wrong.get("/console/").status == 303


def test_without_keys_nobody_signs_in_but_only_this_machine_is_answered(
    tmp_path: Path, server: Served
) -> None:
    office = busy_office(tmp_path)
    server.show(office)
    demo = Asking(server.url)
    assert "demo (admin)" in demo.get("/console/").words
    # A name of somebody else that leads to this machine would make its pages our own.
    assert demo.get("/console/", Host="evil.example").status == 421
    answer = demo.post("/console/act/note", {"customer_id": "C-100", "text": "x"})
    assert answer.status == 303
    office.close()


@pytest.mark.parametrize("path", PAGES + EXPORTS + ["/console/live", "/console/act?id=x&at=1"])
def test_every_page_is_for_who_may_read(calm: tuple[Office, Sit], path: str) -> None:
    answer = calm[1]("nobody").get(path)
    assert answer.status == 303
    assert answer.headers["location"].startswith("/console/login")


@pytest.mark.parametrize("did", ACTIONS)
def test_what_a_role_may_not_do_is_refused_and_not_offered(
    calm: tuple[Office, Sit], did: str
) -> None:
    office, sit = calm
    for role, actions in ROLES.items():
        somebody = sit(f"a-{role}")
        before = len(office.written)
        answer = somebody.post(f"/console/act/{did}", {"customer_id": "C-100"})
        may = ACTIONS[did] in actions
        assert (answer.status != 403) == may, (role, did)
        assert may or len(office.written) == before
        shown = somebody.get("/console/customer?id=C-100").text
        if did in ("block", "limit", "dispute", "promise", "note", "release", "snooze"):
            assert (f'action="/console/act/{did}"' in shown) == may, (role, did)


# ── forms of others ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        ({}, None, 303),
        ({"Sec_Fetch_Site": "same-origin"}, None, 303),
        ({}, "", 403),
        ({}, "another", 403),
        ({"Sec_Fetch_Site": "cross-site"}, None, 403),
        ({"Sec_Fetch_Site": "same-site"}, None, 403),
        ({"Origin": "https://evil.example"}, None, 403),
        ({"Origin": "null"}, None, 403),
    ],
)
def test_a_form_comes_from_a_page_of_ours(
    calm: tuple[Office, Sit], headers: dict[str, str], token: str | None, status: int
) -> None:
    office, sit = calm
    anna, before = sit("anna"), len(office.written)
    fields = {"customer_id": "C-100", "text": "x"} | ({} if token is None else {"token": token})
    answer = anna.post("/console/act/note", fields, **headers)
    assert answer.status == status
    assert len(office.written) == before + (1 if status == 303 else 0)


def test_the_token_of_one_session_is_none_in_another(sit: Sit) -> None:
    anna, ben = sit("anna"), sit("ben")
    answer = anna.post(
        "/console/act/note", {"customer_id": "C-100", "text": "x", "token": ben.token}
    )
    assert answer.status == 403
    assert anna.post("/console/logout", {"token": ben.token}).status == 403


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/console/", "//evil.example/console/", "/\\evil", "/v1/alerts", ""],
)
def test_nobody_is_led_away(calm: tuple[Office, Sit], back: str) -> None:
    fields = {"customer_id": "C-100", "text": "x", "back": back}
    answer = calm[1]("anna").post("/console/act/note", fields)
    assert answer.headers["location"].startswith("/console/?act_id=act-")


@pytest.mark.parametrize("path", [*PAGES, "/console/login", "/console/nowhere", "/console/"])
def test_every_answer_forbids_what_is_not_ours(calm: tuple[Office, Sit], path: str) -> None:
    answer = calm[1]("anna").get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    # It would not work anyway: nothing stands inline.
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style", answer.text)


def test_hostile_names_are_only_text(office: Office, sit: Sit) -> None:
    office.customer("C-100", 1_00, name=HOSTILE, account_manager=HOSTILE, email=HOSTILE)
    office.customer("C-<b>&", 1_00, name=HOSTILE)
    office.order("C-<b>&", "O-<i>&\"'", 5_00)
    office.say(ev.CustomerNoteAdded, "C-100", text=HOSTILE, by=HOSTILE, role=HOSTILE)
    anna = sit("anna")
    order = "/console/order?customer=C-%3Cb%3E%26&id=O-%3Ci%3E%26%22%27"
    more = ["/console/search?q=%3Cscript%3E", "/console/customer?id=C-%3Cb%3E%26", order]
    for path in [*PAGES, *more, order.replace("/order", "/explain")]:
        answer = anna.get(path)
        assert answer.status == 200, path
        assert "<script>alert" not in answer.text
        assert "<b>&" not in answer.text
        assert "<i>&" not in answer.text
        assert not re.search(r"<[^>]*\sonload=\"x", answer.text), path
    assert anna.get(more[1]).words.count("alert(1)") >= 1
    assert "O-<i>&\"'" in anna.get(order).words


# ── lists ───────────────────────────────────────────────────────────────────────────────────────


def listed(answer: Answer) -> list[str]:
    return re.findall(r"data-open>([^<]*)</a>", answer.text)


def test_the_work_list_sorts_filters_and_says_so_in_its_address(sit: Sit) -> None:
    anna = sit("anna")
    every = ["O-1", "O-2", "O-3", "O-4", "O-5", "O-6"]
    assert listed(anna.get("/console/")) == every
    assert listed(anna.get("/console/?sort=newest")) == every[::-1]
    assert listed(anna.get("/console/?sort=largest")) == ["O-4", "O-3", "O-2", "O-1", "O-5", "O-6"]
    assert listed(anna.get("/console/?reason=overdue")) == ["O-1", "O-2", "O-5"]
    assert listed(anna.get("/console/?reason=limit_missing")) == ["O-6"]
    both = anna.get("/console/?reason=credit_limit_exceeded&manager=ben&sort=smallest")
    assert listed(both) == ["O-3", "O-4"]
    assert 'value="ben" selected' in both.text
    assert (
        "/console/held.csv?sort=smallest&amp;reason=credit_limit_exceeded&amp;manager=ben"
        in both.text
    )
    # What makes no sense is passed over.
    assert listed(anna.get("/console/?sort=x&reason=' OR 1&page=-1&manager=")) == every


def test_amounts_of_all_currencies_are_compared_by_their_worth(office: Office, sit: Sit) -> None:
    office.feed(
        ev.FxRatePublished(
            event_id="fx",
            occurred_at=office.today * 86_400_000_000,
            base="EUR",
            quote="JPY",
            rate="160",
            valid_on=office.today,
        )
    )
    office.customer("C-JP", 0, currency="JPY", name="東京")
    office.order("C-JP", "O-JP", 800_000, currency="JPY")
    page = sit("anna").get("/console/?sort=largest")
    assert listed(page)[:4] == ["O-4", "O-3", "O-JP", "O-2"]  # 5,000 EUR
    assert "JP¥800,000" in page.words


def test_pages_hold_fifty_and_lead_to_each_other(office: Office, sit: Sit) -> None:
    for n in range(117):
        office.order("C-400", f"P-{n:03}", 1_00)
    anna = sit("anna")
    first = anna.get("/console/?reason=limit_missing")
    assert len(listed(first)) == 50
    assert "1 to 50 of 118" in first.words
    assert "page=2" in first.text
    third = anna.get("/console/?reason=limit_missing&page=3")
    assert listed(third) == [f"P-{n:03}" for n in range(99, 117)]
    assert 'rel="next"' not in third.text


def test_a_list_says_that_it_is_not_whole(office: Office, sit: Sit) -> None:
    office.index.opened(0)
    assert "The lists are being made" in sit("anna").get("/console/").words


def test_search_finds_customers_orders_and_invoices(sit: Sit) -> None:
    anna = sit("anna")
    assert "Müller & Söhne GmbH" in anna.get("/console/search?q=m%C3%9CLLER").words
    assert anna.get("/console/search?q=C-200").headers["location"].endswith("customer?id=C-200")
    assert "order?customer=C-100&id=O-2" in anna.get("/console/search?q=O-2").headers["location"]
    there = anna.get("/console/search?q=I-2001").headers["location"]
    assert there == "/console/customer?id=C-200#items"
    found = anna.get("/console/search?q=I-100").words
    assert "I-1001" in found
    assert "I-1003" in found
    assert "Nothing found" in anna.get("/console/search?q=%25_").words


def test_exports_hold_numbers_and_no_formulas(office: Office, sit: Sit) -> None:
    office.customer("=C", 1_00, name="=HYPERLINK(1)", account_manager="@x")
    office.say(ev.CreditNoteIssued, "=C", credit_note_id="N-1", amount=7_50, currency="EUR")
    office.order("=C", "-O+1", 1_000_00)
    anna = sit("anna")
    rows = list(csv.reader(io.StringIO(anna.get("/console/portfolio.csv").text.lstrip("\ufeff"))))
    mine = next(row for row in rows if row[0] == "'=C")
    assert mine[1:3] == ["'=HYPERLINK(1)", "'@x"]
    assert mine[5] == "-7.50"  # the exposure, a number
    answer = anna.get("/console/held.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="held-orders.csv"'
    held = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert ["'-O+1", "'=C", "'=HYPERLINK(1)", "1000.00", "EUR"] in [row[:5] for row in held]
    items = anna.get("/console/items.csv?id=C-100").text
    assert "C-100,I-1003,2024-08-20,2024-08-20,47,EUR,900.00,900.00,0.00" in items


def test_the_portfolio_adds_up(sit: Sit) -> None:
    words = sit("anna").get("/console/portfolio").words
    assert "EUR 4 €49,600.00 €65,000.00 €4,600.00 6 €78,730.50" in words
    assert re.search(r"80 to 90 % +1 ", words)
    assert re.search(r"Overdue +3 ", words)
    by_exposure = sit("anna").get("/console/portfolio?by=exposure")
    assert listed(by_exposure)[0] == "Müller & Söhne GmbH".replace("&", "&amp;")


def test_alerts_are_listed_latest_first_with_what_came_before(office: Office, sit: Sit) -> None:
    for n in range(60):
        office.customer(f"A-{n:02}", 1_000_00, name=f"Firm {n:02}")
        office.order(f"A-{n:02}", "O", 850_00)
    anna = sit("anna")
    page = anna.get("/console/alerts")
    names = listed(page)
    assert names[0] == "Firm 59"
    assert len(names) == 50
    older = re.search(r'href="(/console/alerts\?before=\d+)"', page.text)
    assert older is not None
    assert listed(anna.get(older[1]))[0] == "Firm 09"
    assert "80% of the limit reached €850.00 €1,000.00" in page.words


def test_who_sees_to_an_alert_is_told_to_all(office: Office, sit: Sit) -> None:
    office.customer("A-1", 1_000_00, name="Firm")
    office.order("A-1", "O", 850_00)
    anna, viewer = sit("anna"), sit("a-viewer")

    def row(somebody: Asking) -> str:
        rows = re.findall(r"<tr id=.*?</tr>", somebody.get("/console/alerts").text, re.DOTALL)
        (found,) = (one for one in rows if "id=A-1" in one)
        return str(found)

    (alert_id,) = set(re.findall(r'name="alert_id" value="([^"]+)"', row(anna)))
    about = {"customer_id": "A-1", "alert_id": alert_id}
    assert "I see to it" not in row(viewer)
    silence = anna.post("/console/act/snooze", about | {"for": "4h"})
    assert became(anna, silence) == "Silence on A-1: noted"
    assert "I see to it" in row(anna)
    assert re.search(r"Silent until .* \(anna\)", row(viewer))
    answer = anna.post("/console/act/acknowledge", about | {"text": "called"})
    assert became(anna, answer) == "Alert on A-1, seen to: noted"
    for somebody in (anna, viewer):
        assert re.search(r"anna sees to it \(.*\): called", row(somebody))
        assert "I see to it" not in row(somebody)
        assert "Silent" not in row(somebody)
    snoozed, acknowledged = office.written
    assert isinstance(snoozed, ev.AlertSnoozed)
    assert snoozed.until - snoozed.occurred_at == 4 * 3_600_000_000
    assert (snoozed.customer_id, snoozed.alert_id, snoozed.by) == ("A-1", alert_id, "anna")
    assert isinstance(acknowledged, ev.AlertAcknowledged)
    assert (acknowledged.alert_id, acknowledged.by, acknowledged.reason) == (
        alert_id,
        "anna",
        "called",
    )


def test_a_hold_that_people_were_told_of_is_seen_to_on_the_orders_page(
    office: Office, sit: Sit
) -> None:
    anna = sit("anna")
    page = anna.get("/console/order?customer=C-100&id=O-2")
    alert_id = re.findall(r'name="alert_id" value="([^"]+)"', page.text)[0]
    assert alert_id == office.latest_on("O-2", "C-100")[0].event_id
    anna.post("/console/act/acknowledge", {"customer_id": "C-100", "alert_id": alert_id})
    assert "anna sees to it" in anna.get("/console/order?customer=C-100&id=O-2").words
    assert "anna sees" not in anna.get("/console/order?customer=C-200&id=O-3").words


def test_nobody_is_told_of_a_customer_for_a_while(office: Office, sit: Sit) -> None:
    anna = sit("anna")
    assert "mail, chat or program" in anna.get("/console/customer?id=C-100").words
    done = anna.post("/console/act/snooze", {"customer_id": "C-100", "for": "7d"})
    assert became(anna, done) == "Silence on C-100: noted"
    (event,) = office.written
    assert isinstance(event, ev.AlertSnoozed)
    assert (event.alert_id, event.until - event.occurred_at) == (None, 7 * 86_400_000_000)
    assert "Silent until" in anna.get("/console/order?customer=C-100&id=O-2").words


# ── a customer, an order ────────────────────────────────────────────────────────────────────────


def test_a_customer_page_tells_all_of_it(office: Office, sit: Sit) -> None:
    office.pay("C-100", "P-1", 900_00, "I-1003")
    office.say(
        ev.InvoiceDisputed, "C-100", invoice_id="I-1002", dispute_id="D-1", reason="torn",
        amount=500_00,
    )  # fmt: skip
    office.say(
        ev.PromiseToPayMade, "C-100", promise_id="PR-1", invoice_ids=["I-1002"], amount=2_000_00,
        promised_on=office.today + 3,
    )  # fmt: skip
    page = sit("anna").get("/console/customer?id=C-100")
    words = page.words
    assert "€8,000.00 of €10,000.00" in words  # O-1 was released by the payment
    assert "Open receivables €6,500.00" in words
    assert "Open orders €1,500.00" in words
    assert "€500.00 contested" in words
    assert "promised" in words
    assert "Not due 1–30 days 31–60 days 61–90 days Over 90 days €4,000.00 €2,500.00" in words
    assert "Days late, median 47" in words
    assert "Promises that run 1" in words
    assert re.search(r"O-2 .*?€3,200.00 +on hold", words)
    assert re.search(r"O-1 .*?€1,500.00 +released", words)
    assert 'aria-label="Exposure: Open receivables €6,500.00, Open orders' in page.text


def test_history_that_cannot_be_reached_is_said(sit: Sit) -> None:
    assert "History is not reachable" in sit("anna").get("/console/history?id=C-100").words


def test_an_order_page_says_what_holds_it_and_explains_every_decision(
    office: Office, sit: Sit
) -> None:
    anna = sit("anna")
    words = anna.get("/console/order?customer=C-100&id=O-2").words
    assert "pay €600.00 or raise the limit to €10,600.00" in words
    office.pay("C-100", "P-1", 900_00, "I-1003")
    words = anna.get("/console/explain?customer=C-100&id=O-2").words
    assert "1. on hold" in words
    assert "Open receivable I-1001 24 Oct 2024 €4,000.00" in words
    assert anna.get("/console/order?customer=C-100&id=O-none").status == 404
    assert anna.get("/console/customer?id=C-none").status == 404


@pytest.mark.parametrize(
    ("language", "remedy"),
    [
        ("nl", "€ 600,00 betalen, of de limiet verhogen tot € 10.600,00"),
        ("fr", "payer 600,00 € ou porter la limite à 10 600,00 €"),
        ("de", "600,00 € zahlen oder das Limit auf 10.600,00 € erhöhen"),
    ],
)
def test_what_would_release_an_order_is_told_in_every_language(
    sit: Sit, language: str, remedy: str
) -> None:
    anna = sit("anna")
    for path in ("order", "explain"):
        words = anna.get(f"/console/{path}?customer=C-100&id=O-2&lang={language}").words
        assert remedy in words.replace("\xa0", " ").replace("\u202f", " ")


def test_links_of_mails_about_alerts_lead_to_the_customer(calm: tuple[Office, Sit]) -> None:
    there = calm[1]("anna").get("/console/customers/C%2F1%20%26x").headers["location"]
    assert there == "/console/customer?id=C%2F1+%26x"


def test_a_merged_customer_is_found_under_the_one_who_stayed(office: Office, sit: Sit) -> None:
    office.say(ev.CustomerNoteAdded, "C-300", text="likes cheese", by="anna", role="controller")
    office.feed(
        ev.CustomersMerged(
            event_id="m",
            occurred_at=office.today * 86_400_000_000 + 86_000_000_000,
            customer_id="C-100",
            merged_customer_id="C-300",
            by="anna",
            reason="the same firm",
        )
    )
    words = sit("anna").get("/console/customer?id=C-300").words
    assert "C-300 was merged into C-100" in words
    assert "likes cheese" in words


# ── what people do ──────────────────────────────────────────────────────────────────────────────


def became(who: Asking, answer: Answer) -> str:
    """What the page says of an act, behind the form that caused it."""
    assert answer.status == 303, answer.words
    page = who.get(answer.headers["location"])
    found = re.search(r'<ol id="acts".*?</ol>', page.text, re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found[0])).strip()


def test_a_release_is_told_as_the_pipeline_decides_it(office: Office, sit: Sit) -> None:
    anna = sit("anna")
    office.holds_back = True
    fields = {"customer_id": "C-200", "order_id": "O-3", "why": "secured", "text": "bank guarantee"}
    answer = anna.post("/console/act/release", fields)
    assert became(anna, answer) == "Release of O-3: waits for the decision …"
    office.decide()
    assert became(anna, answer) == "Release of O-3: released"
    event = office.written[0]
    assert isinstance(event, ev.OrderReleased)
    assert (event.by, event.role, event.reason) == ("anna", "controller", "secured: bank guarantee")
    words = anna.get("/console/order?customer=C-200&id=O-3").words
    assert "anna: Secured or insured: bank guarantee" in words
    assert anna.cookies["headroom_reason"] == "secured"
    assert 'value="secured" selected' in anna.get("/console/").text


def test_a_script_is_told_in_a_line(sit: Sit) -> None:
    anna = sit("anna")
    fields = {"customer_id": "C-200", "order_id": "O-3", "why": "secured"}
    answer = anna.post("/console/act/release", fields, Sec_Fetch_Dest="empty")
    assert (answer.status, answer.words.strip()) == (200, "Release of O-3: released")
    wrong = anna.post("/console/act/release", fields | {"why": "x"}, Sec_Fetch_Dest="empty")
    assert wrong.status == 422
    assert "act-refused" in wrong.text


def test_every_act_becomes_its_event(office: Office, sit: Sit) -> None:
    ben = sit("ben")
    day = "2024-10-20"
    for did, fields, told in [
        ("block", {"text": "insolvent"}, "Block of C-100: done"),
        ("unblock", {"text": "paid"}, "Unblocking of C-100: done"),
        ("limit", {"amount": "12.500,50"}, "New limit of C-100: done"),
        ("limit", {"amount": "20 000", "until": day}, "New limit of C-100: done"),
        ("dispute", {"invoice_id": "I-1002", "amount": "1,5", "text": "torn"},
         "Dispute of I-1002: done"),
        ("promise", {"invoice": "I-1001", "on": day}, "Promise for I-1001: done"),
        ("note", {"text": "two\r\nlines"}, "Note on C-100: noted"),
        ("hold", {"order_id": "O-2", "text": "check first", "until": day}, "Hold of O-2: done"),
    ]:  # fmt: skip
        answer = ben.post(f"/console/act/{did}", fields | {"customer_id": "C-100"})
        assert became(ben, answer) == told
    block, _, standing, temporary, dispute, promise, note, hold = office.written
    assert isinstance(block, ev.CustomerBlocked)
    assert (block.reason, block.by) == ("insolvent", "ben")
    assert isinstance(standing, ev.CreditLimitChanged)
    assert (standing.credit_limit, standing.valid_until) == (12_500_50, None)
    assert isinstance(temporary, ev.CreditLimitChanged)
    assert (temporary.credit_limit, temporary.valid_until) == (20_000_00, 20_016)
    assert isinstance(dispute, ev.InvoiceDisputed)
    assert (dispute.amount, dispute.reason) == (1_50, "torn")
    assert isinstance(promise, ev.PromiseToPayMade)
    assert (promise.amount, promise.invoice_ids) == (4_000_00, ["I-1001"])
    assert isinstance(note, ev.CustomerNoteAdded)
    assert (note.text, note.by, note.role) == ("two\nlines", "ben", "manager")
    assert isinstance(hold, ev.OrderHeld)
    assert hold.valid_until == 20_016


@pytest.mark.parametrize(
    ("did", "fields"),
    [
        ("limit", {"amount": "a lot"}), ("limit", {"amount": "-5"}), ("limit", {"amount": "1e5"}),
        ("limit", {"amount": "5", "until": "soon"}), ("block", {"text": " "}),
        ("note", {"text": "x" * 2_001}), ("dispute", {"invoice_id": "", "text": "x"}),
        ("promise", {"on": "2024-10-20"}), ("release", {"order_id": "O-2", "why": "because"}),
        ("hold", {"order_id": "", "text": "x"}),
        ("snooze", {"for": "a year"}), ("acknowledge", {"alert_id": ""}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    calm: tuple[Office, Sit], did: str, fields: dict[str, str]
) -> None:
    office, sit = calm
    before = len(office.written)
    answer = sit("ben").post(f"/console/act/{did}", fields | {"customer_id": "C-100"})
    assert answer.status == 422
    assert "This cannot be" in answer.words
    assert len(office.written) == before


def test_forms_have_bounds(sit: Sit) -> None:
    anna = sit("anna")
    large = anna.post("/console/act/note", {"customer_id": "C-100", "text": "x" * 70_000})
    assert large.status == 413
    many = anna.post("/console/act/note", [("a", "1")] * 600)
    assert many.status == 400


# ── four eyes ───────────────────────────────────────────────────────────────────────────────────

FOUR_EYES = """
version = "four-eyes"
[release]
four_eyes_above = "5000"
[release.authority]
controller = "20000"
manager = "100000"
"""


@pytest.fixture
def two(tmp_path: Path, server: Served) -> Iterator[tuple[Office, Sit]]:
    path = tmp_path / "policy.toml"
    path.write_text(FOUR_EYES)
    office = busy_office(tmp_path / "two", roles=PEOPLE, policies=load_policy(path))
    server.show(office)
    yield office, lambda name: Asking(server.url, office.keys[name])
    office.close()


def propose(who: Asking, order_id: str, customer_id: str = "C-200") -> Answer:
    fields = {"customer_id": customer_id, "order_id": order_id, "why": "agreed_with_sales"}
    return who.post("/console/act/propose", fields)


def waiting(who: Asking) -> dict[str, str]:
    """The proposals on the page: by order, the id under which each is confirmed ("" if not)."""
    text = who.get("/console/second").text
    found = {}
    for row in re.findall(r"<tr id.*?</tr>", text, re.DOTALL):
        order = re.search(r"data-open>([^<]*)<", row)
        proposal = re.search(r'name="proposal" value="([^"]*)"', row)
        assert order is not None
        found[order[1]] = "" if proposal is None else proposal[1]
    return found


def test_a_second_person_confirms_and_the_release_names_both(two: tuple[Office, Sit]) -> None:
    office, sit = two
    anna, ben = sit("anna"), sit("ben")
    page = anna.get("/console/").text
    assert 'aria-label="Propose release: O-3"' in page
    assert 'aria-label="Release: O-2"' in page
    assert became(anna, propose(anna, "O-3")) == "Proposal to release O-3: noted"
    assert waiting(anna) == {"O-3": ""}  # her own
    assert "Your own proposal" in anna.get("/console/second").words
    assert "Proposed by anna" in ben.get("/console/").words
    fields = {"customer_id": "C-200", "order_id": "O-3", "proposal": waiting(ben)["O-3"]}
    assert anna.post("/console/act/confirm", fields).status == 409
    answer = ben.post("/console/act/confirm", fields)
    assert became(ben, answer) == "Release of O-3, confirmed: released"
    event = office.written[-1]
    assert isinstance(event, ev.OrderReleased)
    assert (event.by, event.role, event.confirmed_by) == ("anna", "controller", "ben")
    assert event.reason == "agreed_with_sales"
    assert waiting(ben) == {}
    assert ben.post("/console/act/confirm", fields).status == 409


def test_who_has_the_authority_releases_what_somebody_without_it_proposed(
    two: tuple[Office, Sit],
) -> None:
    office, sit = two
    anna, ben = sit("anna"), sit("ben")
    assert "Above your authority" in anna.get("/console/").words
    propose(anna, "O-4")  # 60,000: hers reaches to 20,000
    fields = {"customer_id": "C-200", "order_id": "O-4", "proposal": waiting(ben)["O-4"]}
    ben.post("/console/act/confirm", fields)
    event = office.written[-1]
    assert isinstance(event, ev.OrderReleased)
    assert (event.by, event.role, event.confirmed_by) == ("ben", "manager", "anna")
    assert office.decisions["C-200", "O-4"].decision == "released"


def test_two_without_authority_cannot_confirm_each_other(two: tuple[Office, Sit]) -> None:
    office, sit = two
    propose(sit("anna"), "O-4")
    other = sit("a-controller")
    assert waiting(other) == {"O-4": ""}
    # And the pipeline says so to whoever sends it all the same.
    proposal = next(office.kept.proposals())
    fields = {"customer_id": "C-200", "order_id": "O-4", "proposal": proposal.event_id}
    answer = other.post("/console/act/confirm", fields)
    assert became(other, answer).startswith(
        "Release of O-4, confirmed: refused, above the authority of the role"
    )
    assert office.decisions["C-200", "O-4"].decision == "held"


def test_a_proposal_is_declined_or_taken_back_and_can_be_made_again(
    two: tuple[Office, Sit],
) -> None:
    _, sit = two
    anna, ben = sit("anna"), sit("ben")
    for who in (ben, anna):
        propose(anna, "O-3")
        fields = {"customer_id": "C-200", "order_id": "O-3"}
        assert list(waiting(ben)) == ["O-3"]
        answer = who.post("/console/act/decline", fields)
        assert became(who, answer) == "No to the proposal for O-3: noted"
        assert waiting(ben) == {}


def test_after_another_decision_nothing_is_proposed_any_more(two: tuple[Office, Sit]) -> None:
    office, sit = two
    anna, ben = sit("anna"), sit("ben")
    propose(anna, "O-3")
    proposal = waiting(ben)["O-3"]
    office.say(ev.OrderChanged, "C-200", order_id="O-3", amount=19_000_00)
    office.say(ev.OrderCancelled, "C-200", order_id="O-4")
    assert waiting(ben) == {} or office.decisions["C-200", "O-3"].decision_number == 1
    fields = {"customer_id": "C-200", "order_id": "O-3", "proposal": "act-another"}
    assert ben.post("/console/act/confirm", fields).status == 409
    office.customer("C-200", 500_000_00)  # released by itself
    assert waiting(ben) == {}
    fields["proposal"] = proposal
    assert ben.post("/console/act/confirm", fields).status == 409


def test_a_viewer_sees_no_proposals_to_decide_on(two: tuple[Office, Sit]) -> None:
    _, sit = two
    propose(sit("anna"), "O-3")
    page = sit("a-viewer").get("/console/second")
    assert "O-3" in page.words
    assert "/console/act/" not in page.text


# ── languages ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("accepted", "heading"),
    [
        ("nl-BE, fr;q=0.9", "Orders in de wacht"), ("fr-FR", "Commandes bloquées"),
        ("da, de;q=0.8", "Gesperrte Aufträge"), ("pt", "Orders on hold"), ("", "Orders on hold"),
        ("fr;q=x, nl", "Orders in de wacht"),
    ],
)  # fmt: skip
def test_pages_are_in_the_language_that_is_asked_for(sit: Sit, accepted: str, heading: str) -> None:
    assert heading in sit("anna", Accept_Language=accepted).get("/console/").words


def test_a_language_that_was_chosen_is_remembered(sit: Sit) -> None:
    anna = sit("anna", Accept_Language="nl")
    chosen = anna.get("/console/?lang=de&sort=largest")
    assert "Gesperrte Aufträge" in chosen.words
    assert "60.000,00 €" in chosen.words
    assert "Gesperrte Aufträge" in anna.get("/console/").words
    assert "/console/?sort=largest&amp;lang=fr" in chosen.text


@pytest.mark.parametrize("language", ["en", "nl", "fr", "de"])
def test_every_page_can_be_said_in_every_language(calm: tuple[Office, Sit], language: str) -> None:
    ben = calm[1]("ben", Accept_Language=language)
    for path in PAGES:
        assert ben.get(path).status == 200
    assert f'<html lang="{language}">' in ben.get("/console/").text
