"""Webhooks and chats, as a real server gets them, and what becomes of each answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from alerts.told import alert, decision, notice, recipient
from alerts.watch import SECRET, Endpoints, is_signed
from notify.mailroom import Mailroom

from agents.alerts.carriers import Chat, SignedWebhook, drafting
from agents.alerts.notice import Bundle
from agents.alerts.routes import Recipient
from agents.alerts.routes_text import parse_routes
from agents.alerts.words import AlertTexts
from agents.notify.carriers import CarrierAwayError, InDoubtError, RefusedError
from agents.notify.mail import Mailer, mail_server
from streams.embedded.ports import LOOPBACK

TEXTS = AlertTexts("https://credit.example")


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    one = Endpoints()
    yield one
    one.close()


@pytest.fixture
def mailroom() -> Iterator[Mailroom]:
    room = Mailroom()
    yield room
    room.close()


def test_a_mail_is_not_taken_before_the_last_word(mailroom: Mailroom) -> None:
    ann = recipient("ann", language="fr")
    mailer = Mailer(mail_server(mailroom.url), "c@firm.example", drafting(TEXTS, "c@firm.example"))
    mailer.begin(one_alert(ann)).drop()
    leaving = mailer.begin(one_alert(ann))
    assert mailroom.box == []
    leaving.finish()
    (mail,) = mailroom.box
    assert (mail["From"], mail["To"]) == ("Headroom <c@firm.example>", "ann@firm.example")
    assert mail["Subject"] == "La commande O-9 est bloquée : Bakkerij Jansen (C-1)"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    mailroom.at_recipient = lambda _address: "550 unknown"
    with pytest.raises(RefusedError) as refused:
        mailer.begin(one_alert(ann))
    assert refused.value.outcome.result == "bounced"
    mailer.close()


def hook(url: str) -> Recipient:
    routes = f"""recipients.erp = {{webhook = "{url}", secret = "{SECRET}"}}
    routes = [{{name = "all", to = "erp"}}]"""
    return parse_routes(routes).recipients["erp"]


def one_alert(to: Recipient, order_id: str = "O-9") -> Bundle:
    return Bundle(to, (notice(to, alert(decision(order_id))),))


def test_a_webhook_that_is_tried_again_is_the_same_one_signed_anew(endpoints: Endpoints) -> None:
    erp = hook(f"{endpoints.url}/erp")
    times = iter([1_772_443_800.0, 1_772_443_900.9])
    carrier = SignedWebhook(erp, now=lambda: next(times))
    assert [carrier.begin(one_alert(erp)).finish() for _ in range(2)] == ["200", "200"]
    (first, body), (second, same) = endpoints.asked["/erp"]
    assert body == same
    assert first["webhook-id"] == second["webhook-id"] == "d-O-9-held"
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1772443800", "1772443900")
    assert first["webhook-signature"] != second["webhook-signature"]
    assert first["content-type"] == "application/json"
    now = SignedWebhook(erp)
    now.begin(one_alert(erp)).finish()
    assert is_signed(*endpoints.asked["/erp"][-1])
    carrier.close()


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 422, 429, 500, 503])
def test_a_webhook_that_does_not_take_it_is_asked_again(status: int, endpoints: Endpoints) -> None:
    endpoints.status["/erp"] = status
    erp = hook(f"{endpoints.url}/erp")
    with pytest.raises(CarrierAwayError, match=f"^the webhook answers {status}$"):
        SignedWebhook(erp).begin(one_alert(erp)).finish()
    assert list(endpoints.asked) == ["/erp"], "no redirect is followed"


def test_a_webhook_that_is_gone_is_not_asked_again(endpoints: Endpoints) -> None:
    endpoints.status["/erp"] = 410
    erp = hook(f"{endpoints.url}/erp")
    with pytest.raises(RefusedError, match="the webhook answers 410: it is gone"):
        SignedWebhook(erp).begin(one_alert(erp)).finish()


def test_a_chat_gets_text(endpoints: Endpoints) -> None:
    desk = recipient("desk", "chat", address=f"{endpoints.url}/chat")
    assert Chat(desk, TEXTS).begin(one_alert(desk)).finish() == "200"
    ((headers, body),) = endpoints.asked["/chat"]
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["text"].splitlines()[:2] == [
        "*Order O-9 is on hold: Bakkerij Jansen (C-1)* https://credit.example/console/customers/C-1",
        "Customer: Bakkerij Jansen (C-1)",
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, CarrierAwayError), (503, CarrierAwayError), (500, InDoubtError), (502, InDoubtError),
        (302, RefusedError), (400, RefusedError), (404, RefusedError),
    ],
)  # fmt: skip
def test_what_a_chat_may_have_taken_is_not_sent_again(
    status: int, error: type[Exception], endpoints: Endpoints
) -> None:
    endpoints.status["/chat"] = status
    desk = recipient("desk", "chat", address=f"{endpoints.url}/chat")
    with pytest.raises(error, match=f"the chat answers {status}"):
        Chat(desk, TEXTS).begin(one_alert(desk)).finish()


def test_who_is_not_there_has_taken_nothing() -> None:
    url = f"http://{LOOPBACK}:9/"
    erp, desk = hook(url), recipient("desk", "chat", address=url)
    with pytest.raises(CarrierAwayError, match="cannot be reached"):
        SignedWebhook(erp).begin(one_alert(erp)).finish()
    with pytest.raises(CarrierAwayError, match="cannot be reached"):
        Chat(desk, TEXTS).begin(one_alert(desk)).finish()


def test_who_hangs_up_may_have_taken_it() -> None:
    """A webhook drops repeats and is asked again; a chat does not."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def hang_up() -> None:
            for _ in range(2):
                connection, _address = server.accept()
                connection.recv(65_536)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        url = f"http://{LOOPBACK}:{server.getsockname()[1]}/"
        erp, desk = hook(url), recipient("desk", "chat", address=url)
        with pytest.raises(CarrierAwayError):
            SignedWebhook(erp).begin(one_alert(erp)).finish()
        with pytest.raises(InDoubtError):
            Chat(desk, TEXTS).begin(one_alert(desk)).finish()
