"""What customers see and do, over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import urllib3
from credit.journals import DAY
from portal.desk import SECRET, Desk

from agents.core.refusal import Refusal
from agents.notify.ticket import Ticket, sign, ticket_of
from agents.portal.answers import REASONS
from agents.simulate import business_day
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, day_of, format_day

_HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture
def desk() -> Iterator[Desk]:
    one = Desk()
    yield one
    one.close()


def get(url: str) -> tuple[int, str, Any]:
    answer = _HTTP.request("GET", url)
    return answer.status, html.unescape(answer.data.decode()), answer.headers


def post(url: str, **form: str) -> tuple[int, str, Any]:
    answer = _HTTP.request("POST", url, fields=form, encode_multipart=False, redirect=False)
    return answer.status, html.unescape(answer.data.decode()), answer.headers


def words(page: str) -> str:
    """The page as it is read."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def paid(desk: Desk, amount: int, invoice_id: str) -> None:
    desk.feed(
        ev.PaymentReceived(
            event_id=f"paid-{invoice_id}-{amount}",
            occurred_at=(DAY + 4) * MICROSECONDS_PER_DAY,
            customer_id="C-1",
            payment_id=f"P-{invoice_id}-{amount}",
            amount=amount,
            currency="EUR",
            value_on=DAY + 4,
            allocations=[ev.Allocation(invoice_id=invoice_id, amount=amount)],
        )
    )


def test_the_page_shows_what_the_letter_asked_and_how_to_pay_it(desk: Desk) -> None:
    status, page, headers = get(desk.page)
    assert status == 200
    shown = words(page)
    assert "I-1 4 October 2024 €1,000.00" in shown
    assert desk.step.interest > 0
    total = desk.step.principal + desk.step.interest + desk.step.costs
    assert f"To pay €{total / 100:,.2f}" in shown
    assert "Account NL91ABNA0417164300 (ABNANL2A)" in shown
    assert re.search(r"Reference RF\d{12}", shown)
    assert 'src="data:image/png;base64,' in page
    assert "<script" not in page
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "form-action 'self'" in headers["Content-Security-Policy"]
    assert get(f"{desk.url}/style.css")[2]["Content-Type"].startswith("text/css")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("nl", "Te betalen"),
        ("fr", "À payer"),
        ("de", "Zu zahlen"),
        ("en", "To pay"),
        ("es", "To pay"),
        (None, "Te betalen"),  # what most people speak in the country, as the letter does
    ],
)
def test_it_speaks_the_language_of_the_customer(
    desk: Desk, language: str | None, said: str
) -> None:
    desk.feed(
        ev.CustomerUpserted(
            event_id="speaks", occurred_at=(DAY + 4) * MICROSECONDS_PER_DAY, customer_id="C-1",
            currency="EUR", credit_limit=None, language=language, country="NL", name="Vries",
        )
    )  # fmt: skip
    assert said in words(get(desk.page)[1])


def test_it_shows_what_is_so_now(desk: Desk) -> None:
    paid(desk, 400_00, "I-1")
    assert "I-1 4 October 2024 €600.00" in words(get(desk.page)[1])
    paid(desk, 600_00, "I-1")
    paid(desk, 500_00, "I-2")
    shown = words(get(desk.page)[1])
    assert "I-1 paid" in shown
    assert "Nothing is left to be paid here." in shown
    assert "Account" not in shown
    assert "<form" not in get(desk.page)[1]


def test_what_is_contested_is_no_longer_asked_for(desk: Desk) -> None:
    status, _, headers = post(
        f"{desk.page}/contest", invoice="I-1", reason="damaged", text="Broken"
    )
    assert (status, headers["Location"]) == (303, f"{desk.path}?said=contested")
    (event,) = desk.said
    assert isinstance(event, ev.InvoiceDisputed)
    assert (event.invoice_id, event.reason, event.amount) == ("I-1", "damaged: Broken", None)
    shown = words(get(desk.url + headers["Location"])[1])
    assert "We have received it" in shown
    assert "I-1 contested: we look into it" in shown
    interest = desk.step.interest + desk.step.costs
    assert f"To pay €{500 + interest / 100:,.2f}" in shown


def test_a_part_can_be_contested_and_only_as_much_as_is_open(desk: Desk) -> None:
    post(f"{desk.page}/contest", invoice="I-2", reason="wrong_amount", amount="120,50", text="")
    (event,) = desk.said
    assert isinstance(event, ev.InvoiceDisputed)
    assert event.amount == 120_50
    for amount in ("379,51", "-1", "0", "x", "1.234", "1e99", "NaN"):
        status, page, _ = post(
            f"{desk.page}/contest", invoice="I-2", reason="wrong_amount", amount=amount, text="so"
        )
        assert status == 422, amount
        assert "at most what is open" in page
        assert f'value="{amount}"' in page  # what was filled in is still there
        assert "<details open>" in page
    assert len(desk.said) == 1


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"reason": "damaged"}, "not open any more"),
        ({"invoice": "I-9", "reason": "damaged"}, "not open any more"),
        ({"invoice": "I-1"}, "say what is wrong"),
        ({"invoice": "I-1", "reason": "hacked"}, "say what is wrong"),
        ({"invoice": "I-1", "reason": "other"}, "tell us more"),
        ({"invoice": "I-1", "reason": "other", "text": "x" * 501}, "tell us more"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    desk: Desk, form: dict[str, str], said: str
) -> None:
    status, page, _ = post(f"{desk.page}/contest", **form)
    assert status == 422
    assert said in page
    assert desk.said == []


def test_the_same_answer_twice_is_one_dispute(desk: Desk) -> None:
    for _ in range(2):
        post(f"{desk.page}/contest", invoice="I-1", reason="damaged", text="")
    # The second one finds nothing of the invoice that is not contested already.
    assert len(desk.said) == 1


def test_what_is_written_is_shown_as_text(desk: Desk) -> None:
    attack = '"><script>alert(1)</script>'
    answer = _HTTP.request(
        "POST", f"{desk.page}/contest", fields={"invoice": "I-1", "text": attack},
        encode_multipart=False,
    )  # fmt: skip
    assert b"<script" not in answer.data
    assert b"&lt;script&gt;" in answer.data


def test_a_promise_silences_what_it_is_for(desk: Desk) -> None:
    on = format_day(today(desk) + 7)
    status, _, headers = post(f"{desk.page}/promise", on=on)
    assert (status, headers["Location"]) == (303, f"{desk.path}?said=promised")
    (event,) = desk.said
    assert isinstance(event, ev.PromiseToPayMade)
    assert (event.invoice_ids, event.amount) == (["I-1", "I-2"], 1_500_00)
    shown = words(get(desk.url + headers["Location"])[1])
    assert "You hear from us only if the payment does not come." in shown
    assert "I-1 promised" in shown
    assert "I pay later" not in shown
    for day in range(DAY + 5, DAY + 40):
        desk.feed(business_day(day))
    assert len(desk.steps) == 1  # no further letter


def today(desk: Desk) -> int:
    return day_of(datetime.now(desk.portal.zone).date())


@pytest.mark.parametrize("days", [-1, 15])
def test_a_promise_is_for_the_coming_days(desk: Desk, days: int) -> None:
    status, page, _ = post(f"{desk.page}/promise", on=format_day(today(desk) + days))
    assert status == 422
    assert "within the next 14 days" in page
    assert post(f"{desk.page}/promise", on="soon")[0] == 422
    assert desk.said == []


def test_a_link_that_is_not_ours_shows_nothing(desk: Desk) -> None:
    for path in ("/p/nonsense", f"{desk.path[:-3]}AAA", "/p/", "/", "/p/a/b/c"):
        status, page, _ = get(desk.url + path)
        assert status == 404, path
        assert "I-1" not in page
    assert get(f"{desk.url}/p/{sign(ticket_of(desk.step), 'x' * 32)}")[0] == 404
    assert get(f"{desk.page}/contest")[0] == 405
    assert post(desk.page)[0] == 405


def test_a_letter_that_is_forgotten_says_where_to_write(desk: Desk) -> None:
    old = Ticket("C-1", "C-1/2020-01-01/1", 0, 0)
    status, page, _ = get(f"{desk.url}/p/{sign(old, SECRET)}")
    assert status == 410
    assert "too old to be answered here" in page
    assert "credit@noorderlicht.example" in page


def test_who_opens_a_letter_at_once_waits_until_the_state_has_heard_of_it(desk: Desk) -> None:
    desk.behind = 3
    status, page, _ = get(desk.page)
    assert status == 200
    assert "I-1" in page


def test_when_the_brokers_are_away_it_says_so_and_keeps_what_was_filled_in(desk: Desk) -> None:
    desk.away = True
    status, page, _ = post(
        f"{desk.page}/contest", invoice="I-1", reason="other", text="It was the wrong flour."
    )
    assert status == 503
    assert "try again in some minutes" in page
    assert "It was the wrong flour." in page
    assert desk.said == []


def test_what_is_too_large_is_not_read(desk: Desk) -> None:
    assert post(f"{desk.page}/contest", invoice="I-1", text="x" * 20_000)[0] == 413


def test_what_was_handed_over_is_not_paid_here(desk: Desk) -> None:
    for day in range(DAY + 5, DAY + 50):
        for effect in desk.feed(business_day(day)):
            if isinstance(effect, ev.DunningStep) and effect.proposed:
                desk.feed(_approved(effect, day))
    agency = [one for one in desk.all_steps if one.channel == "agency" and not one.proposed]
    assert agency
    desk.feed(_handed(agency[-1]))
    page = get(desk.page)[1]
    assert "handed over for collection" in page
    assert "<form" not in page


def _approved(step: ev.DunningStep, day: int) -> ev.DunningStepDecided:
    return ev.DunningStepDecided(
        event_id=f"decided-{step.step_id}", occurred_at=day * MICROSECONDS_PER_DAY,
        customer_id="C-1", step_id=step.step_id, decision="approve", by="ann", reason="so",
    )  # fmt: skip


def _handed(step: ev.DunningStep) -> ev.DunningStepReported:
    return ev.DunningStepReported(
        event_id=f"handed-{step.step_id}", occurred_at=step.occurred_at, customer_id="C-1",
        step_id=step.step_id, attempt=step.attempt or 1, channel="agency", result="sent",
        on=step.occurred_at // MICROSECONDS_PER_DAY,
    )  # fmt: skip


def test_every_reason_is_a_choice_on_the_page(desk: Desk) -> None:
    page = get(desk.page)[1]
    for reason in REASONS:
        assert f'value="{reason}"' in page
    assert not any(isinstance(one, Refusal) for one in desk.followed)
