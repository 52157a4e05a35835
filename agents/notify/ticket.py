"""The link in a letter: which step it is, signed, so that nobody else can make one.

Who has the link sees what the letter said, as who has the letter does.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import urlsplit

import msgspec

from schemas.events import DunningStep, Minor
from streams.errors import ConfigurationError
from streams.settings import Settings

_SIGNATURE_BYTES = 16
"""128 bits (RFC 2104, 5: at least half of the hash)."""
_CHARACTERS_MAX = 1500
_SECRET_CHARACTERS = 32


class Ticket(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a link stands for; `interest` and `costs` in minor units, as the letter asked them."""

    customer_id: str
    step_id: str
    interest: Minor
    costs: Minor


class BadTicketError(ValueError):
    """It is no link of ours."""


_decode = msgspec.msgpack.Decoder(Ticket).decode


def ticket_of(step: DunningStep) -> Ticket:
    """The ticket of a step's letter."""
    return Ticket(step.customer_id, step.step_id, step.interest, step.costs)


def sign(ticket: Ticket, secret: str) -> str:
    """The ticket as it stands in a link."""
    said = msgspec.msgpack.encode(ticket)
    return _text(said + _signature(said, secret))


def read(text: str, secrets: tuple[str, ...]) -> Ticket:
    """The ticket of a link, signed with one of the secrets.

    Raises:
        BadTicketError: it was signed by nobody, or has been changed.
    """
    if len(text) > _CHARACTERS_MAX or not text.isascii():
        raise BadTicketError
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise BadTicketError from error
    said, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
    if not any(hmac.compare_digest(signature, _signature(said, secret)) for secret in secrets):
        raise BadTicketError
    try:
        return _decode(said)
    except msgspec.MsgspecError as error:
        raise BadTicketError from error


def _signature(said: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), said, sha256)[:_SIGNATURE_BYTES]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def links_of(settings: Settings) -> Callable[[DunningStep], str] | None:
    """What makes the link of a step's letter; None: letters have none.

    Raises:
        ConfigurationError: the address or the secret is missing or cannot be used.
    """
    if settings.portal_url is None:
        return None
    parts = urlsplit(settings.portal_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ConfigurationError("HEADROOM_PORTAL_URL: should be https://host")
    base, secret = settings.portal_url.rstrip("/"), secrets_of(settings)[0]
    return lambda step: f"{base}/p/{sign(ticket_of(step), secret)}"


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The secrets by which links are signed: new ones by the first.

    Raises:
        ConfigurationError: there is none, or one is too short.
    """
    given = "" if settings.portal_secret is None else settings.portal_secret.get_secret_value()
    secrets = tuple(one.strip() for one in given.split(","))
    if any(len(one) < _SECRET_CHARACTERS for one in secrets):
        raise ConfigurationError(
            f"HEADROOM_PORTAL_SECRET: needs {_SECRET_CHARACTERS} characters or more"
        )
    return secrets
