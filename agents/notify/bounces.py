"""What mail servers send back (RFC 3464): which mail did not arrive, and why. Pure."""

from __future__ import annotations

import re
from email.message import Message
from typing import NamedTuple

_MESSAGE_ID = re.compile(r"<([^<>@\s]+)@[^<>\s]+>")
_DETAIL = 300


class Bounce(NamedTuple):
    """A mail that did not arrive.

    Attributes:
        letter: what stands before the @ of its Message-ID: the `event_id` of its `DunningStep`.
        detail: to whom, and what the server said.
    """

    letter: str
    detail: str


def bounce_of(mail: Message) -> Bounce | None:
    """The mail that a report is about; None for what is no report, or says that a mail arrived, is
    late or was passed on.
    """
    if mail.get_content_type() != "multipart/report":
        return None
    failed = [one for one in _recipients(mail) if _said(one, "action").lower() == "failed"]
    letter = _returned(mail)
    if not failed or not letter:
        return None
    first = failed[0]
    to = _said(first, "final-recipient").rpartition(";")[2].strip()
    why = _said(first, "diagnostic-code").rpartition(";")[2].strip() or _said(first, "status")
    return Bounce(letter, " ".join(f"{to}: {why}".split())[:_DETAIL])


def _recipients(mail: Message) -> list[Message]:
    """The parts of the report that are about a recipient."""
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status":
            blocks = part.get_payload()
            return (
                [one for one in blocks if isinstance(one, Message)]
                if isinstance(blocks, list)
                else []
            )
    return []


def _returned(mail: Message) -> str:
    """What stands before the @ of the Message-ID of the mail that came back."""
    for part in mail.walk():
        kind = part.get_content_type()
        payload = part.get_payload()
        headers = ""
        if kind == "message/rfc822" and isinstance(payload, list) and payload:
            returned = payload[0]
            headers = str(returned["Message-ID"] or "") if isinstance(returned, Message) else ""
        elif kind == "text/rfc822-headers" and isinstance(payload, str):
            found = re.search(r"^message-id:\s*(\S+)", payload, re.IGNORECASE | re.MULTILINE)
            headers = found[1] if found else ""
        match = _MESSAGE_ID.search(headers)
        if match:
            return match[1]
    return ""


def _said(block: Message, field: str) -> str:
    return str(block.get(field, "")).strip()
