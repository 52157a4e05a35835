"""Paying online: what Mollie says becomes events, once; what others say becomes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from credit.journals import DAY
from portal.desk import Desk
from portal.fake_mollie import KEY, FakeMollie
from portal.test_pages import get, post, words

from agents.core.refusal import Refusal
from agents.portal.mollie_payments import MolliePayments
from agents.portal.providers import Bill
from agents.simulate import business_day
from schemas import events as ev

_ZONE = ZoneInfo("Europe/Amsterdam")


@pytest.fixture
def mollie() -> Iterator[FakeMollie]:
    one = FakeMollie()
    yield one
    one.close()


@pytest.fixture
def desk(mollie: FakeMollie) -> Iterator[Desk]:
    one = Desk(MolliePayments(KEY, mollie.url, _ZONE), language="nl")
    yield one
    one.close()


def begun(desk: Desk, mollie: FakeMollie) -> str:
    """The id of the payment to which the button leads."""
    status, _, headers = post(f"{desk.page}/pay")
    assert status == 303
    assert headers["Location"].startswith(f"{mollie.url}/checkout/tr_")
    return str(headers["Location"].rpartition("/")[2])


def notify(desk: Desk, payment_id: str) -> int:
    """As Mollie does: the id, and nothing else."""
    return post(f"{desk.url}/webhooks/mollie", id=payment_id)[0]


def test_the_button_leads_to_a_payment_of_all_that_is_asked(desk: Desk, mollie: FakeMollie) -> None:
    assert f"form-action 'self' {mollie.url};" in get(desk.page)[2]["Content-Security-Policy"]
    payment = mollie.payments[begun(desk, mollie)]
    total = desk.step.principal + desk.step.interest + desk.step.costs
    shown = f"€ {total / 100:,.2f}".translate(str.maketrans(",.", ".,"))
    assert f"Betaal {shown} online" in words(get(desk.page)[1]).replace("\xa0", " ")
    assert payment["amount"] == {"currency": "EUR", "value": f"{total / 100:.2f}"}
    assert payment["redirectUrl"] == f"{desk.page}?said=paying"
    assert payment["webhookUrl"] == f"{desk.url}/webhooks/mollie"
    assert payment["locale"] == "nl_NL"
    assert payment["metadata"] == {
        "customer_id": "C-1", "shares": [["I-1", 1_000_00], ["I-2", 500_00]]
    }  # fmt: skip


def test_pressed_twice_it_is_one_payment(desk: Desk, mollie: FakeMollie) -> None:
    assert begun(desk, mollie) == begun(desk, mollie)
    assert len(mollie.payments) == 1


def test_a_payment_pays_its_invoices_however_often_it_is_told(
    desk: Desk, mollie: FakeMollie
) -> None:
    payment_id = begun(desk, mollie)
    assert notify(desk, payment_id) == 200
    assert desk.said == []  # nobody has paid yet
    mollie.becomes(payment_id, "paid")
    for _ in range(3):
        assert notify(desk, payment_id) == 200
    (received, *again) = desk.said
    assert isinstance(received, ev.PaymentReceived)
    assert received.payment_id == f"mollie-{payment_id}"
    assert [(one.invoice_id, one.amount) for one in received.allocations] == [
        ("I-1", 1_000_00),
        ("I-2", 500_00),
    ]
    assert again == [received, received]
    assert not any(isinstance(one, Refusal) for one in desk.followed)
    shown = words(get(f"{desk.page}?said=paying")[1])
    assert "Hier hoeft u niets meer te betalen." in shown


def test_one_that_failed_is_answered_by_one_message_with_a_fresh_link(
    desk: Desk, mollie: FakeMollie
) -> None:
    payment_id = begun(desk, mollie)
    desk.feed(business_day(DAY + 5))
    mollie.becomes(payment_id, "failed")
    for _ in range(3):
        notify(desk, payment_id)
        desk.feed(business_day(DAY + 6))
    chances = [one for one in desk.steps if one.template == "second_chance"]
    assert len(chances) == 1
    assert chances[0].step_id != desk.step.step_id


def test_one_that_the_customer_gave_up_is_nothing(desk: Desk, mollie: FakeMollie) -> None:
    payment_id = begun(desk, mollie)
    mollie.becomes(payment_id, "canceled")
    assert notify(desk, payment_id) == 200
    assert desk.said == []


def test_what_a_bank_takes_back_is_owed_again(desk: Desk, mollie: FakeMollie) -> None:
    payment_id = begun(desk, mollie)
    mollie.becomes(payment_id, "paid")
    notify(desk, payment_id)
    mollie.charge_back(payment_id)
    for _ in range(2):
        notify(desk, payment_id)
    assert sorted({type(one).__name__ for one in desk.said}) == [
        "PaymentReceived",
        "PaymentReversed",
    ]
    assert "I-1" in words(get(desk.page)[1])
    assert "€ 1.000,00" in words(get(desk.page)[1]).replace("\xa0", " ")


def test_a_charge_back_that_is_told_first_brings_the_payment_with_it(
    desk: Desk, mollie: FakeMollie
) -> None:
    payment_id = begun(desk, mollie)
    mollie.becomes(payment_id, "paid")
    mollie.charge_back(payment_id)
    notify(desk, payment_id)
    assert [type(one).__name__ for one in desk.said] == ["PaymentReceived", "PaymentReversed"]


@pytest.mark.parametrize("notice", ["", "tr_unknown", "../secrets", "ord_1", "tr_" + "x" * 100])
def test_what_mollie_knows_nothing_of_is_nothing(desk: Desk, notice: str) -> None:
    assert notify(desk, notice) == 200
    assert desk.said == []


def test_a_payment_of_something_else_with_the_same_key_is_nothing(
    desk: Desk, mollie: FakeMollie
) -> None:
    other = {"amount": {"currency": "EUR", "value": "1.00"}, "description": "x", "redirectUrl": "y"}
    for metadata in (None, "text", {"order": 1}, {"customer_id": 7}):
        payment = mollie.create({**other, "metadata": metadata}, f"other {metadata}")
        mollie.becomes(payment["id"], "paid")
        assert notify(desk, payment["id"]) == 200
    assert desk.said == []


def test_when_mollie_is_away_it_is_asked_to_tell_again(desk: Desk, mollie: FakeMollie) -> None:
    payment_id = begun(desk, mollie)
    mollie.becomes(payment_id, "paid")
    mollie.away = True
    assert notify(desk, payment_id) == 503
    status, page, _ = post(f"{desk.page}/pay")
    assert status == 503
    assert "Probeert u het over enkele minuten opnieuw" in page
    mollie.away = False
    assert notify(desk, payment_id) == 200
    assert len(desk.said) == 1


def test_what_the_brokers_did_not_take_is_told_again(desk: Desk, mollie: FakeMollie) -> None:
    payment_id = begun(desk, mollie)
    mollie.becomes(payment_id, "paid")
    desk.away = True
    assert notify(desk, payment_id) == 503
    desk.away = False
    assert notify(desk, payment_id) == 200
    assert len(desk.said) == 1


def test_there_are_no_notices_of_a_provider_that_there_is_not(desk: Desk) -> None:
    assert post(f"{desk.url}/webhooks/other", id="tr_1")[0] == 404


def test_a_key_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="begins with live_ or test_"):
        MolliePayments("secret", "", _ZONE)


def test_of_many_invoices_as_many_are_named_as_fit(mollie: FakeMollie) -> None:
    shares = [(f"INVOICE-{number:06d}", 100_00) for number in range(200)]
    MolliePayments(KEY, mollie.url, _ZONE).begin(
        Bill("C-1", "RF18", 20_000_00, "EUR", shares, "de", "AT", "https://pay.example/p/1"),
        "https://pay.example/webhooks/mollie",
        "key",
    )
    (payment,) = mollie.payments.values()
    assert payment["locale"] == "de_AT"
    kept = payment["metadata"]["shares"]
    assert [tuple(one) for one in kept] == shares[: len(kept)]
    assert 20 < len(kept) < 50
