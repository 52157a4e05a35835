"""Mails as a real server gets them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

import pytest
from notify.letters import CREDITOR, a_step
from notify.mailroom import Mailroom

from agents.notify.carriers import CarrierAwayError, InDoubtError, NotNowError, RefusedError
from agents.notify.mail import MailCarrier, MailServer, mail_server
from agents.notify.texts_file import load_texts

RENDER = partial(load_texts(None).render, creditor=CREDITOR)


@pytest.fixture
def mailroom() -> Iterator[Mailroom]:
    room = Mailroom()
    yield room
    room.close()


def carrier_to(url: str) -> MailCarrier:
    return MailCarrier(mail_server(url), CREDITOR, RENDER)


def test_a_mail_has_all_that_a_letter_says(mailroom: Mailroom) -> None:
    carrier = carrier_to(mailroom.url)
    step = a_step(language="en", name="Bakkerij De Vries, Afd. Crediteuren")
    said = carrier.begin(step).finish()
    (mail,) = mailroom.box
    assert said == f"<{step.event_id}@noorderlicht.example>: taken"
    assert mail["Message-ID"] == f"<{step.event_id}@noorderlicht.example>"
    assert mail["From"] == "Noorderlicht Groothandel <credit@noorderlicht.example>"
    assert mail["To"].addresses[0].display_name == "Bakkerij De Vries, Afd. Crediteuren"
    assert mail["Subject"] == "Pay within fourteen days without costs: I-300, I-310"
    assert mail["Auto-Submitted"] == "auto-generated"
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert plain.get_content().replace("\r\n", "\n") == RENDER(step).text
    assert page.get_content().replace("\r\n", "\n") == RENDER(step).html
    (code,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert code.get_content() == RENDER(step).code
    assert code["Content-ID"] == "<payment-code>"


def test_nothing_is_taken_before_the_dot(mailroom: Mailroom) -> None:
    carrier = carrier_to(mailroom.url)
    carrier.begin(a_step()).drop()
    carrier.begin(a_step(step_id="another")).finish()
    assert len(mailroom.box) == 1


def test_a_line_that_begins_with_a_dot_is_no_end(mailroom: Mailroom) -> None:
    carrier = carrier_to(mailroom.url)
    carrier.begin(a_step(name="\n.\nEHLO", language="en")).finish()
    carrier.begin(a_step(name=".", language="en")).finish()
    assert len(mailroom.box) == 2


def test_one_connection_serves_many_mails_until_the_server_ends_it(mailroom: Mailroom) -> None:
    carrier = carrier_to(mailroom.url)
    for number in range(3):
        carrier.begin(a_step(event_id=str(number))).finish()
    assert carrier._connection is not None
    assert carrier._connection.sock is not None
    carrier._connection.sock.shutdown(socket.SHUT_RDWR)
    carrier.begin(a_step(event_id="after")).finish()
    assert [mail["Message-ID"].split("@")[0] for mail in mailroom.box] == [
        "<0",
        "<1",
        "<2",
        "<after",
    ]


@pytest.mark.parametrize(
    ("said", "error", "heard"),
    [
        ("550 no such user", RefusedError, "550 no such user"),
        ("451 4.7.1 <jan@x.example> greylisted", NotNowError, "the mail server answers 451 4.7.1"),
        ("451 1.2.3.4 waits", NotNowError, "the mail server answers 451"),
        ("421 jan, closing", CarrierAwayError, "the mail server answers 421"),
    ],
)
def test_what_a_server_says_to_an_address(
    said: str, error: type[Exception], heard: str, mailroom: Mailroom
) -> None:
    """What stands in the log names no address; what is reported has all of it."""
    mailroom.at_recipient = lambda _address: said
    carrier = carrier_to(mailroom.url)
    with pytest.raises(error) as raised:
        carrier.begin(a_step())
    assert str(raised.value) == heard
    if isinstance(raised.value, RefusedError):
        assert raised.value.outcome.result == "bounced"
    mailroom.at_recipient = lambda _address: None
    carrier.begin(a_step()).finish()
    assert len(mailroom.box) == 1


@pytest.mark.parametrize(
    ("said", "error", "heard"),
    [
        ("554 looks like spam", RefusedError, "554 looks like spam"),
        ("452 disk full", NotNowError, "answers 452$"),
    ],
)
def test_what_a_server_says_to_the_dot(
    said: str, error: type[Exception], heard: str, mailroom: Mailroom
) -> None:
    mailroom.at_dot = lambda _address: said
    with pytest.raises(error, match=heard):
        carrier_to(mailroom.url).begin(a_step()).finish()


def test_a_server_that_goes_away_before_it_answers_leaves_it_in_doubt(mailroom: Mailroom) -> None:
    carrier = carrier_to(mailroom.url)
    leaving = carrier.begin(a_step())
    assert carrier._connection is not None
    assert carrier._connection.sock is not None
    carrier._connection.sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(InDoubtError):
        leaving.finish()


def test_a_server_that_is_not_there_is_away() -> None:
    with pytest.raises(CarrierAwayError):
        carrier_to("smtp://127.0.0.1:9").begin(a_step())


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "two@x.example, three@x.example", None])
def test_what_is_no_address_bounces_without_asking_anybody(address: str | None) -> None:
    with pytest.raises(RefusedError) as raised:
        carrier_to("smtp://127.0.0.1:9").begin(a_step(email=address))
    assert raised.value.outcome.result == "bounced"


def test_where_mail_is_handed_in() -> None:
    assert mail_server("smtp://mail.example") == MailServer("mail.example", 25, False, None, None)
    assert mail_server("smtps://me%40x:p%3Aw@mail.example") == MailServer(
        "mail.example", 465, True, "me@x", "p:w"
    )
    for wrong in ("mail.example:25", "http://mail.example", "smtp://"):
        with pytest.raises(ValueError, match="should be smtp://"):
            mail_server(wrong)
