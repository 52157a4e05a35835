"""Parked accounts as they stand in the changelog, and what has them go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import msgspec

from agents.credit import state
from schemas.catalogue import credit_changelog
from schemas.events import BY_NAME, Event, Instant, ParkedAccountRetried, ParkedEventDiscarded
from streams.errors import HeadroomError
from streams.log_reader import Track, open_readers

_PARKED = state.parked_key("").encode()
_KEPT = state.kept_range("")[0].encode()


class NotParkedError(HeadroomError):
    """The account, or the event, is not one of those that wait."""


@dataclass
class Parked:
    """An account that stands still, and the events that wait with it, oldest first."""

    account_id: str
    because: str
    waiting: list[Event] = field(default_factory=list)


def read_parked(config: Mapping[str, Any], app_id: str, track: Track) -> list[Parked]:
    """All parked accounts, by id, as the credit agent has committed them last. Reads the whole
    changelog.
    """
    readers = open_readers(config, credit_changelog(app_id))
    advance = track("reading state", sum(one.end - one.first for one in readers))
    found: list[Parked] = []
    for reader in readers:
        entries: dict[bytes, bytes] = {}
        for record in reader.told(advance):
            key = record.key or b""
            if not key.startswith(_PARKED) and _KEPT not in key:
                continue
            if record.value is None:
                entries.pop(key, None)
            else:
                entries[key] = record.value
        found += parked_in({key.decode(): raw for key, raw in entries.items()})
    return sorted(found, key=lambda one: one.account_id)


def parked_in(entries: Mapping[str, bytes]) -> list[Parked]:
    """Of the entries of one partition's state that tell of parked accounts."""
    start = state.parked_range()[0]
    found = {
        key.removeprefix(start): Parked(key.removeprefix(start), state.decode(key, raw))
        for key, raw in entries.items()
        if key.startswith(start)
    }
    for key in sorted(entries):
        account_id = key.partition(state.NUL)[0]
        if account_id in found:
            name, fields, _, _ = state.decode(key, entries[key])
            found[account_id].waiting.append(msgspec.convert(fields, BY_NAME[name]))
    return list(found.values())


def retried(account_id: str, by: str, reason: str, at: Instant) -> ParkedAccountRetried:
    return ParkedAccountRetried(
        event_id=f"dlq-{uuid4()}", occurred_at=at, customer_id=account_id, by=by, reason=reason
    )


def discarded(
    account: Parked, event_id: str, by: str, reason: str, at: Instant
) -> ParkedEventDiscarded:
    """Raises `NotParkedError` when no such event waits."""
    if event_id not in [one.event_id for one in account.waiting]:
        raise NotParkedError(f"no event {event_id!r} waits with account {account.account_id!r}")
    return ParkedEventDiscarded(
        event_id=f"dlq-{uuid4()}",
        occurred_at=at,
        customer_id=account.account_id,
        parked_event_id=event_id,
        by=by,
        reason=reason,
    )


def find(parked: list[Parked], account_id: str) -> Parked:
    """Raises `NotParkedError` for an account that goes on."""
    for one in parked:
        if one.account_id == account_id:
            return one
    raise NotParkedError(f"account {account_id!r} is not parked")
