"""What takes alerts to people and programs: mail, webhooks, chats.

Only the addresses of the file of routes are ever called, and no redirect is followed.
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from hashlib import blake2b, sha256

import msgspec
import urllib3

from agents.alerts.notice import Bundle, Notice
from agents.alerts.routes import Recipient
from agents.alerts.words import AlertTexts
from agents.notify.addresses import mail_address
from agents.notify.carriers import (
    CarrierAwayError,
    InDoubtError,
    Leaving,
    RefusedError,
    Words,
)
from agents.notify.mail import Draft
from schemas.dates import format_instant
from streams.logs import shown

_TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
_AGAIN_LATER = frozenset({408, 409, 425, 429})
_NOTHING_DONE = frozenset({429, 503})
_ANSWER_BYTES_MAX = 4096
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_USER_AGENT = "Headroom"


# ── mail ────────────────────────────────────────────────────────────────────────────────────────


def mail_of(bundle: Bundle, texts: AlertTexts, sender: str, sent_at: datetime) -> Draft:
    """The mail that tells one recipient of one or more alerts. The same alerts to the same
    recipient have the same Message-ID.
    """
    words = texts.render(bundle)
    to = bundle.recipient.address
    mail = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    mail["From"] = mail_address("Headroom", sender)
    mail["To"] = mail_address("", to)
    mail["Subject"] = words.subject
    mail["Date"] = format_datetime(sent_at)
    named = "\0".join(one.key for one in bundle.notices)
    digest = blake2b(named.encode(), digest_size=16).hexdigest()
    mail["Message-ID"] = f"<alert-{digest}@{sender.rpartition('@')[2]}>"
    mail["Content-Language"] = words.language
    # RFC 3834: no out-of-office reply should answer to it.
    mail["Auto-Submitted"] = "auto-generated"
    if any(one.urgent for one in bundle.notices):
        mail["Importance"] = "high"
    mail.set_content(words.text)
    mail.add_alternative(words.html, subtype="html")
    return Draft(mail, to, None)


def drafting(texts: AlertTexts, sender: str) -> Callable[[Bundle], Draft]:
    """What a `Mailer` asks for."""
    return lambda bundle: mail_of(bundle, texts, sender, datetime.now(UTC))


# ── webhooks ────────────────────────────────────────────────────────────────────────────────────


def message_id(notice: Notice) -> str:
    """The same for the same alert, however often it comes: receivers drop repeats by it."""
    alert_id = notice.alert.alert_id
    if _SAFE_ID.fullmatch(alert_id):
        return alert_id
    return blake2b(alert_id.encode(), digest_size=16).hexdigest()


def body_of(notice: Notice) -> bytes:
    """What a webhook gets."""
    alert = notice.alert
    return msgspec.json.encode(
        {
            "type": alert.type,
            "timestamp": format_instant(alert.at),
            "data": alert.said,
            "route": notice.route,
            "level": notice.level,
        }
    )


def signature_of(secrets: tuple[bytes, ...], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` (Standard Webhooks 1.0): one for each secret, so that secrets
    can be changed.
    """
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    digests = (hmac.digest(secret, signed, sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


class _Endpoint:
    """A URL that is given JSON, over connections that are kept."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        """The status that is answered. Raises what urllib3 raises."""
        answer = self._pool.request(
            "POST",
            self._url,
            body=body,
            headers={"Content-Type": "application/json", "User-Agent": _USER_AGENT, **headers},
            redirect=False,
            preload_content=False,
        )
        try:
            # So that the connection can be used again; whoever answers more than that is cut off.
            answer.read(_ANSWER_BYTES_MAX)
        finally:
            answer.release_conn()
        return answer.status

    def close(self) -> None:
        self._pool.clear()


class SignedWebhook:
    """Gives each alert to an endpoint, signed anew each time it is tried."""

    repeatable = True

    def __init__(self, recipient: Recipient, now: Callable[[], float] = time.time) -> None:
        self._endpoint = _Endpoint(recipient.address)
        self._secrets = recipient.secrets
        self._now = now

    def begin(self, errand: Bundle) -> Leaving:
        (notice,) = errand.notices
        return _Post(lambda: self._post(notice))

    def _post(self, notice: Notice) -> str:
        body, webhook_id, timestamp = body_of(notice), message_id(notice), int(self._now())
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_of(self._secrets, webhook_id, timestamp, body),
        }
        try:
            status = self._endpoint.post(body, headers)
        except urllib3.exceptions.HTTPError as error:
            raise CarrierAwayError(f"the webhook cannot be reached: {shown(error)}") from error
        if 200 <= status < 300:  # noqa: PLR2004  success
            return str(status)
        if status == 410:  # noqa: PLR2004  Standard Webhooks: it is not wanted any more
            raise RefusedError("failed", f"the webhook answers {status}: it is gone", status)
        # Whatever else it answers, somebody may mend it there, so it is tried for as long.
        raise CarrierAwayError(f"the webhook answers {status}")

    def close(self) -> None:
        self._endpoint.close()


# ── chats ───────────────────────────────────────────────────────────────────────────────────────


class Chat:
    """Gives text to a webhook of a chat. Those drop no repeats, so what may have been taken is not
    sent again.
    """

    repeatable = False

    def __init__(self, recipient: Recipient, texts: AlertTexts) -> None:
        self._endpoint = _Endpoint(recipient.address)
        self._texts = texts

    def begin(self, errand: Bundle) -> Leaving:
        body = msgspec.json.encode({"text": self._texts.render(errand).chat})
        return _Post(lambda: self._post(body))

    def _post(self, body: bytes) -> str:
        try:
            status = self._endpoint.post(body, {})
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.SSLError,
        ) as error:
            raise CarrierAwayError(f"the chat cannot be reached: {shown(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            raise InDoubtError(f"the chat did not answer: {shown(error)}") from error
        if 200 <= status < 300:  # noqa: PLR2004  success
            return str(status)
        if status in _NOTHING_DONE or status in _AGAIN_LATER:
            raise CarrierAwayError(f"the chat answers {status}")
        if status >= 500:  # noqa: PLR2004  its own fault, after who knows what
            raise InDoubtError(f"the chat answers {status}")
        raise RefusedError("failed", f"the chat answers {status}", status)

    def close(self) -> None:
        self._endpoint.close()


class _Post:
    """Nothing was asked for before `finish`."""

    words: Words | None = None

    def __init__(self, post: Callable[[], str]) -> None:
        self._post = post

    def finish(self) -> str:
        return self._post()

    def drop(self) -> None:
        """Nothing was asked for yet."""
