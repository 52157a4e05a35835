"""A real mail server that keeps what it takes, and can be told to make trouble."""

from __future__ import annotations

import asyncio
import email
import threading
from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from streams.embedded.ports import LOOPBACK, free_ports

Verdict = Callable[[str], str | None]


class Mailroom:
    """Serves on a free port of its own until it is closed.

    Attributes:
        box: all mails that were taken, oldest first.
        at_recipient: what is said of an address instead of yes.
        at_dot: what is said at the end of a mail for an address instead of taking it.
        slow: seconds that pass between taking a mail and saying so.
    """

    def __init__(self) -> None:
        self.box: list[EmailMessage] = []
        self.at_recipient: Verdict = lambda _address: None
        self.at_dot: Verdict = lambda _address: None
        self.slow = 0.0
        self.taken = threading.Event()
        (port,) = free_ports(1, [])
        self.url = f"smtp://{LOOPBACK}:{port}"
        self._controller = Controller(self, hostname=LOOPBACK, port=port)
        self._controller.start()

    def received(self) -> Counter[str]:
        """How many mails came for each address."""
        return Counter(str(mail["To"].addresses[0].addr_spec) for mail in list(self.box))

    def close(self) -> None:
        self._controller.stop()

    # ── what aiosmtpd calls ─────────────────────────────────────────────────────────────────────

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[Any],
    ) -> str:
        said = self.at_recipient(address)
        if said is None:
            envelope.rcpt_tos.append(address)
        return said or "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        said = self.at_dot(envelope.rcpt_tos[0])
        if said is not None:
            return said
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.box.append(mail)
        self.taken.set()
        await asyncio.sleep(self.slow)
        return "250 taken"
