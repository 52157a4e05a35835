"""Reports of mail servers, as they come."""

from __future__ import annotations

import email
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.notify.bounces import Bounce, bounce_of

_POSTFIX = """\
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--B
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
X-Postfix-Queue-ID: 4XyZ

Final-Recipient: rfc822; ap@bakker.example
Original-Recipient: rfc822;ap@bakker.example
Action: {action}
Status: 5.1.1
Remote-MTA: dns; mail.bakker.example
Diagnostic-Code: smtp; 550 5.1.1 <ap@bakker.example>: Recipient address
    rejected

--B
Content-Description: Undelivered Message
Content-Type: {kind}

From: Noorderlicht <credit@noorderlicht.example>
To: ap@bakker.example
Subject: Herinnering
Message-ID: <2924a00315717be4959278eb0a1e8a63@noorderlicht.example>

{body}
--B--
"""
_LETTER = "2924a00315717be4959278eb0a1e8a63"


def report(action: str = "failed", kind: str = "message/rfc822", body: str = "Geachte") -> Message:
    return email.message_from_string(_POSTFIX.format(action=action, kind=kind, body=body))


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
def test_a_mail_that_came_back_is_told_with_the_reason(kind: str) -> None:
    assert bounce_of(report(kind=kind)) == Bounce(
        _LETTER,
        "ap@bakker.example: 550 5.1.1 <ap@bakker.example>: Recipient address rejected",
    )


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", ""])
def test_a_mail_that_is_late_or_arrived_has_not_come_back(action: str) -> None:
    assert bounce_of(report(action)) is None


def test_an_answer_of_a_person_is_no_report() -> None:
    answer = EmailMessage()
    answer["Subject"] = "Re: Herinnering"
    answer["In-Reply-To"] = f"<{_LETTER}@noorderlicht.example>"
    answer.set_content("I have paid yesterday.")
    assert bounce_of(answer) is None


def test_a_report_about_another_mail_names_no_letter_of_ours() -> None:
    without = _POSTFIX.replace("Message-ID:", "X-Other:")
    assert bounce_of(email.message_from_string(without.format(
        action="failed", kind="message/rfc822", body=""
    ))) is None  # fmt: skip


@given(st.text(), st.binary(max_size=300))
def test_whatever_comes_in_a_mailbox_breaks_nothing(text: str, raw: bytes) -> None:
    bounce_of(email.message_from_string(text))
    bounce_of(
        email.message_from_bytes(b"Content-Type: multipart/report; boundary=B\n\n--B\n" + raw)
    )
    broken = _POSTFIX.format(action="failed", kind="message/rfc822", body=text)
    bounce_of(email.message_from_string(broken[: len(broken) - len(raw)]))
