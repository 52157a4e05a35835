"""What alerts say, in four languages, to people and to programs."""

from __future__ import annotations

import base64
import hmac
import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from alerts.told import AMSTERDAM, AT, alert, decision, limit_alert, notice, recipient, signal

from agents.alerts.carriers import body_of, mail_of, message_id, signature_of
from agents.alerts.notice import Bundle
from agents.alerts.routes_text import LANGUAGES
from agents.alerts.words import AlertTexts
from agents.credit.reasons import PRECEDENCE
from schemas.events import Event

TEXTS = AlertTexts("https://credit.example")


def bundle(*events: Event, language: str = "en", **changes: Any) -> Bundle:
    to = recipient("ann", language=language, zone=AMSTERDAM)
    return Bundle(to, tuple(notice(to, alert(one), **changes) for one in events))


def test_a_mail_says_what_happened_in_the_readers_language() -> None:
    words = TEXTS.render(bundle(decision(), language="nl"))
    assert words.subject == "Order O-9 staat geblokkeerd: Bakkerij Jansen (C-1)"
    assert words.text == (
        "Order O-9 staat geblokkeerd: Bakkerij Jansen (C-1)\n\n"
        "  Klant: Bakkerij Jansen (C-1)\n"
        "  Orderbedrag: €\xa01.250,00\n"
        "  Reden: er zijn facturen te laat; de kredietlimiet zou worden overschreden\n"
        "  Uitstaand: €\xa0900,00\n"
        "  Kredietlimiet: €\xa01.000,00\n"
        "  Kredietruimte: €\xa0100,00\n"
        "  Benutting: 90%\n"
        "  Wanneer: 2 maart 2026 10:30 CET\n"
        "  Melding: d-O-9-held\n"
        "  Openen in de console: https://credit.example/console/customers/C-1\n\n"
        "Verstuurd door Headroom, op grond van de route holds. Bevestig in de console, of met:"
        " headroom alerts ack d-O-9-held --by UW-NAAM\n"
    )
    assert 'href="https://credit.example/console/customers/C-1"' in words.html


@pytest.mark.parametrize(
    ("language", "held", "raised", "cleared"),
    [
        ("en", "€1,250.00", "uses 85% of the credit limit", "is below 80% of"),
        ("nl", "€ 1.250,00", "gebruikt 85% van de", "weer onder 80% van"),
        ("de", "1.250,00 €", "nutzt 85 % des Kreditlimits", "wieder unter 80 % des"),
        ("fr", "1 250,00 €", "utilise 85 % de sa limite", "repassé sous 80 % de"),
    ],
)
def test_amounts_and_shares_have_the_form_of_the_language(
    language: str, held: str, raised: str, cleared: str
) -> None:
    def flat(text: str) -> str:
        return re.sub(r"\s", " ", text)

    assert held in flat(TEXTS.render(bundle(decision(), language=language)).text)
    assert raised in flat(TEXTS.render(bundle(limit_alert(), language=language)).subject)
    down = limit_alert(direction="cleared")
    assert cleared in flat(TEXTS.render(bundle(down, language=language)).subject)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_and_signal_has_words(language: str) -> None:
    held = TEXTS.render(bundle(decision(reasons=list(PRECEDENCE)), language=language)).text
    assert not [one for one in PRECEDENCE if "_" in one and one in held]
    for kind in ("forecast_breach", "promise_broken", "promise_partly_kept", "promise_kept"):
        assert kind not in TEXTS.render(bundle(signal(kind), language=language)).subject
    new = TEXTS.render(bundle(decision(reasons=["of_tomorrow"]), signal("new"), language=language))
    assert "of_tomorrow" in new.text
    infinite = limit_alert(utilisation=None, credit_limit=0)
    assert "None" not in TEXTS.render(bundle(infinite, language=language)).text


def test_several_are_told_together_and_who_is_asked_later_is_told_so() -> None:
    words = TEXTS.render(bundle(decision(), limit_alert()))
    assert words.subject == "2 credit alerts"
    assert "Order O-9 is on hold" in words.text
    assert "uses 85% of the credit limit" in words.text
    late = TEXTS.render(bundle(decision(), level=1))
    assert late.subject.startswith("Nobody has acknowledged: Order O-9")


def test_what_a_customer_is_called_is_no_mark_up() -> None:
    words = TEXTS.render(bundle(decision(), name="<!channel> & *Sons*\r\nBcc: x@y.example"))
    assert "&lt;!channel&gt; &amp; ∗Sons∗ Bcc" in words.chat
    assert "<!channel>" not in words.html
    assert "\n" not in words.subject
    mail = mail_of(
        bundle(decision(), name="A\r\nBcc: x@y.example"), TEXTS, "c@firm.example", datetime.now(UTC)
    ).mail
    assert mail["Bcc"] is None


def test_a_group_has_no_page_of_a_customer() -> None:
    assert "/console/" not in TEXTS.render(bundle(limit_alert(group_id="C-1"))).text
    assert "http" not in AlertTexts(None).render(bundle(decision())).text


def test_the_same_alerts_make_the_same_mail() -> None:
    def made(*events: Event, **changes: Any) -> str:
        one = bundle(*events, **changes)
        return str(mail_of(one, TEXTS, "c@firm.example", datetime.now(UTC)).mail["Message-ID"])

    assert made(decision()) == made(decision())
    assert made(decision()) != made(decision(), limit_alert())
    assert made(decision(), attempt=2) != made(decision())


def test_a_webhook_gets_the_event_signed_as_the_specification_has_it() -> None:
    """The vector is that of the specification's own libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature_of(
        (secret,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    both = signature_of((secret, b"x" * 24), "a", 1, b"{}").split(" ")
    assert len(both) == 2
    digest = hmac.digest(b"x" * 24, b"a.1.{}", sha256)
    assert both[1] == f"v1,{base64.b64encode(digest).decode()}"


def test_the_body_tells_what_the_event_says() -> None:
    one = notice(recipient("erp", "webhook"), level=1)
    body = json.loads(body_of(one))
    assert {k: v for k, v in body.items() if k != "data"} == {
        "type": "credit.order.held",
        "timestamp": "2026-03-02T09:30:00Z",
        "route": "holds",
        "level": 1,
    }
    assert body["data"]["type"] == "OrderDecision"
    assert (body["data"]["event_id"], body["data"]["amount"]) == ("d-O-9-held", "1250.00")
    assert message_id(one) == "d-O-9-held"
    odd = notice(recipient("erp", "webhook"), alert(decision(event_id="erp.1:0"), AT))
    assert re.fullmatch("[0-9a-f]{32}", message_id(odd))
