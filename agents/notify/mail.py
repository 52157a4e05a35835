"""Letters by mail, over SMTP.

The words go to the server before it is written down that the letter is about to leave, and the dot
behind them after that (RFC 5321, 4.1.1.4): until the dot the server has taken nothing, and once it
has answered it has. Only who ends between the two does not know.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from agents.notify.addresses import mail_address
from agents.notify.carriers import (
    CarrierAwayError,
    Errand,
    InDoubtError,
    Leaving,
    NotNowError,
    RefusedError,
    Words,
    step_of,
)
from agents.notify.creditor import Creditor
from agents.notify.rendering import CODE, Rendered
from schemas.events import DunningStep
from streams.logs import shown

_SECONDS = 10.0
_DOT_SECONDS = 600.0
"""RFC 5321, 4.5.3.2.6: a server may look at a message for long before it answers for it."""
_PORTS = {"smtp": 25, "smtps": 465}
_PERMANENT = 500
_DOTS = re.compile(rb"^\.", re.MULTILINE)
"""A line that begins with a dot gets another one (RFC 5321, 4.5.2)."""
_STATUS = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?!\S)")
"""An enhanced status code (RFC 3463)."""
_SERVICE_ENDS = 421


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in. With `tls` from the first byte; else as soon as it is offered."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None


def mail_server(url: str) -> MailServer:
    """Read `smtp://[user:password@]host[:port]`.

    Raises:
        ValueError: it is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("should be smtp://host:port or smtps://host:port")
    return MailServer(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        parts.scheme == "smtps",
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


def connect(server: MailServer, seconds: float = _SECONDS) -> smtplib.SMTP:
    """A connection over which mails can be handed in; each answer is awaited for so long.

    Raises:
        OSError, smtplib.SMTPException: the server cannot be reached, or does not let us in.
    """
    context = ssl.create_default_context()
    connection: smtplib.SMTP
    if server.tls:
        connection = smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=context)
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=seconds)
    try:
        connection.ehlo()
        if not server.tls and connection.has_extn("starttls"):
            connection.starttls(context=context)
        connection.ehlo_or_helo_if_needed()
        if server.user is not None:
            connection.login(server.user, server.password or "")
    except BaseException:
        connection.close()
        raise
    return connection


def compose(
    step: DunningStep, letter: Rendered, creditor: Creditor, sent_at: datetime
) -> EmailMessage:
    """The mail of a step. Another attempt at the same step has another Message-ID, the same one
    repeated has the same.

    Raises:
        RefusedError: there is no address, or it is none.
    """
    domain = creditor.email.rpartition("@")[2]
    try:
        to = mail_address(step.name or "", step.email or "")
    except ValueError as error:
        raise RefusedError("bounced", str(error)) from error
    mail = EmailMessage(policy=SMTP if to.addr_spec.isascii() else SMTPUTF8)
    mail["From"] = mail_address(creditor.name, creditor.email)
    mail["To"] = to
    mail["Subject"] = " ".join(letter.subject.split())
    mail["Date"] = format_datetime(sent_at)
    mail["Message-ID"] = f"<{step.event_id}@{domain}>"
    mail["Content-Language"] = letter.language
    # RFC 3834: no out-of-office reply should answer to it.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    mail.add_alternative(letter.html, subtype="html")
    if letter.code is not None:
        parts = mail.get_payload()
        assert isinstance(parts, list)  # noqa: S101  two alternatives
        page = parts[1]
        assert isinstance(page, EmailMessage)  # noqa: S101
        page.add_related(letter.code, "image", "png", cid=f"<{CODE}>", disposition="inline")
    return mail


class Draft(NamedTuple):
    """A mail, to whom it goes, and its words if they are to be kept."""

    mail: EmailMessage
    address: str
    words: Words | None


class Mailer:
    """Hands mails in, over a connection that is kept as long as the server keeps it.

    Args:
        server: where.
        sender: the address to which what cannot be delivered comes back.
        draft: the mail of an errand; raises `RefusedError`.
    """

    repeatable = False

    def __init__(self, server: MailServer, sender: str, draft: Callable[[Any], Draft]) -> None:
        self._server = server
        self._sender = sender
        self._draft = draft
        self._connection: smtplib.SMTP | None = None

    def begin(self, errand: Any) -> Leaving:
        draft = self._draft(errand)
        try:
            connection = self._connected()
            self._hand_in(connection, draft.mail, draft.address)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise CarrierAwayError(shown(error)) from error
        return _Mail(self, connection, str(draft.mail["Message-ID"]), draft.words)

    def _connected(self) -> smtplib.SMTP:
        """The connection, if the server kept it, else a new one."""
        if self._connection is not None:
            try:
                self._connection.rset()
            except (OSError, smtplib.SMTPException):
                self.close()
            else:
                return self._connection
        self._connection = connect(self._server)
        return self._connection

    def _hand_in(self, connection: smtplib.SMTP, mail: EmailMessage, address: str) -> None:
        """Everything but the dot."""
        options = []
        if not address.isascii():
            if not connection.has_extn("smtputf8"):
                raise RefusedError("bounced", "the mail server takes no address outside ASCII")
            options = ["SMTPUTF8"]
        self._expect(250, connection.mail(self._sender, options))
        self._expect(250, connection.rcpt(address), "bounced")
        self._expect(354, connection.docmd("DATA"))
        connection.send(_DOTS.sub(b"..", mail.as_bytes()))

    def _expect(self, wanted: int, reply: tuple[int, bytes], result: str = "failed") -> None:
        """Raise what a reply means that is another."""
        code, text = reply
        if code == wanted:
            return
        # What stands behind the codes may be the recipient's address.
        status = _STATUS.match(text)
        codes = f"the mail server answers {code} {status[0].decode() if status else ''}".rstrip()
        if code == _SERVICE_ENDS or code < 0:
            self.close()
            raise CarrierAwayError(codes)
        if code >= _PERMANENT:
            raise RefusedError(result, f"{code} {text.decode(errors='replace')}", code)
        raise NotNowError(codes)

    def end(self, connection: smtplib.SMTP) -> str:
        """Send the dot; what the server says."""
        try:
            assert connection.sock is not None  # noqa: S101  it took the words just now
            connection.sock.settimeout(_DOT_SECONDS)
            connection.send(b".\r\n")
            code, text = connection.getreply()
            if connection.sock is not None:
                connection.sock.settimeout(_SECONDS)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise InDoubtError(f"the mail server did not answer for it: {_said(error)}") from error
        self._expect(250, (code, text))
        return text.decode(errors="replace")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class MailCarrier(Mailer):
    """Letters by mail.

    Args:
        server: where they are handed in.
        creditor: who writes.
        render: the letter of a step.
    """

    def __init__(
        self, server: MailServer, creditor: Creditor, render: Callable[[DunningStep], Rendered]
    ) -> None:
        def draft(errand: Errand) -> Draft:
            step = step_of(errand)
            letter = render(step)
            mail = compose(step, letter, creditor, datetime.now(UTC))
            address = step.email or ""
            words = Words(address, letter.language, letter.subject, letter.text, letter.html)
            return Draft(mail, address, words)

        super().__init__(server, creditor.email, draft)


class _Mail:
    def __init__(
        self,
        carrier: Mailer,
        connection: smtplib.SMTP,
        message_id: str,
        words: Words | None,
    ) -> None:
        self._carrier = carrier
        self._connection = connection
        self._message_id = message_id
        self.words = words

    def finish(self) -> str:
        return f"{self._message_id}: {self._carrier.end(self._connection)}"

    def drop(self) -> None:
        # A server that was given words and no dot has taken nothing; there is no other way back.
        self._carrier.close()


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
