"""The journal as the rules see it: one event after the other, each with its place."""

from __future__ import annotations

from typing import NamedTuple

from agents.credit.effects import Sent
from schemas.events import Event

DIRECT = Sent()


class Entry(NamedTuple):
    """One event of the journal.

    Attributes:
        partition: of the journal; 0 in a file.
        offset: in the partition; in a file, the number of the line.
        timestamp: when it was written, milliseconds since 1970; 0 in a file.
        key: the account under which it stands; empty for what concerns every account.
        event: what happened.
        sent: how it was forwarded, if it was.
    """

    partition: int
    offset: int
    timestamp: int
    key: str
    event: Event
    sent: Sent = DIRECT
