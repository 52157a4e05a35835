"""What goes from where alerts are routed to where they are told: who is to be told of what, and
what people did about it. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agents.alerts.alert import Alert
from agents.alerts.routes import Recipient
from agents.alerts.timing import AT_ONCE, Digest
from schemas.events import Instant
from streams.errors import InvalidMessage


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """One recipient is to be told of one alert.

    Attributes:
        recipient: by its name in the file of routes.
        name: the customer's.
        level: 0: told at once; above: told unless somebody has seen to it by `not_before`.
        not_before: the earliest time at which it may leave.
        urgent: it leaves in quiet hours too.
        digest: what it leaves with.
        route: by which it came.
        attempt: counts from 1; another one is another notice.
    """

    alert: Alert
    recipient: str
    name: str
    level: int
    not_before: Instant
    urgent: bool
    route: str
    digest: Digest = AT_ONCE
    attempt: int = 1

    @property
    def key(self) -> str:
        again = f"#{self.attempt}" if self.attempt > 1 else ""
        return f"{self.alert.alert_id}>{self.recipient}{again}"


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """Somebody acknowledged an alert."""

    alert_id: str
    by: str
    at: Instant
    reason: str = ""


class Snoozed(msgspec.Struct, frozen=True, tag="snoozed"):
    """Nobody is to be told before `until`: of an alert or, without one, of anything about the
    customer.
    """

    customer_id: str
    alert_id: str
    by: str
    at: Instant
    until: Instant
    reason: str = ""


class Over(msgspec.Struct, frozen=True, tag="over"):
    """What was to be seen to has ended by itself, for all alerts of the subject until `at`."""

    subject: str
    at: Instant


Said: TypeAlias = Notice | Answered | Snoozed | Over
"""A record of the topic."""


class Bundle(msgspec.Struct, frozen=True):
    """What one message tells one recipient, the oldest first."""

    recipient: Recipient
    notices: tuple[Notice, ...]


_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Notice | Answered | Snoozed | Over)


def encode(said: Said) -> bytes:
    """As it stands in the topic."""
    return msgspec.json.encode(said)


def decode(value: bytes | None) -> Said:
    """The reverse. Raises `InvalidMessage`."""
    if value is None:
        raise InvalidMessage("undecodable", "is empty")
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise InvalidMessage("undecodable", f"is no notice: {error}") from error


def again(value: bytes | None, now: Instant) -> bytes:
    """A notice that did not get through, as another attempt. Raises `InvalidMessage`."""
    said = decode(value)
    if not isinstance(said, Notice):
        raise InvalidMessage("undecodable", "is no notice")
    return encode(msgspec.structs.replace(said, attempt=said.attempt + 1, not_before=now, level=0))
