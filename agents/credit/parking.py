"""Accounts that stand still: an event of theirs failed in a way that no rule foresees.

Nobody knows what such an event means for the account, so nothing that came behind it is applied
either: it is kept, in its order, until somebody has the account go on, as a rule with a release in
which the event does not fail. All other accounts go on.

A parked account does not move, is not looked at on a new day or rate, and has none of its held
orders released; what it had approved stays approved and counts, in its group too
(docs/decisions/0017-parked-accounts.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from agents.core.ledger import Ledger
from agents.credit import state
from agents.credit.effects import Sent
from schemas.events import BY_NAME, Event
from streams.errors import HeadroomError


class AccountFailedError(HeadroomError):
    """An event could not be applied to an account. The ledger is in between: what was changed since
    the event before has to be thrown away.

    Its text is for those who look into the account; it may quote the event.
    """

    loggable = False

    def __init__(self, account_id: str, event: Event, cause: Exception) -> None:
        super().__init__(
            f"{type(event).__name__} {event.event_id!r}: {type(cause).__name__}: {cause}"
        )
        self.account_id = account_id
        self.event = event


class Kept(NamedTuple):
    """An event that waits, how it came, and where it stands in the ledger."""

    key: str
    event: Event
    sent: Sent


def park(ledger: Ledger, account_id: str, because: str) -> None:
    """Have the account stand still from the next event on; one that does already stays as it is."""
    account: state.Account = ledger.get(state.account_key(account_id)) or state.Account()
    if not account.parked:
        account.parked = 1
        ledger.put(state.account_key(account_id), account)
        ledger.put(state.parked_key(account_id), because)


def keep(ledger: Ledger, account_id: str, account: state.Account, event: Event, sent: Sent) -> None:
    """Have an event wait behind those that wait already."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    kept = (type(event).__name__, fields, sent.group_id, list(sent.aliases))
    ledger.put(state.kept_key(account_id, account.parked), kept)
    account.parked += 1
    ledger.put(state.account_key(account_id), account)


def kept(ledger: Ledger, account_id: str) -> Iterator[Kept]:
    """The events that wait with an account, in their order."""
    for key, (name, fields, group_id, aliases) in list(ledger.scan(*state.kept_range(account_id))):
        event = msgspec.convert(fields, BY_NAME[name])
        yield Kept(key, event, Sent(group_id, tuple(aliases)))


def parked_in(ledger: Ledger) -> dict[str, str]:
    """The accounts of a partition that stand still, each with which event failed, and how."""
    start, end = state.parked_range()
    return {key[len(start) :]: because for key, because in ledger.scan(start, end)}


def let_go_on(ledger: Ledger, account_id: str, account: state.Account) -> list[Kept]:
    """End it; what has waited is the caller's to apply."""
    waited = list(kept(ledger, account_id))
    for one in waited:
        ledger.delete(one.key)
    account.parked = 0
    ledger.put(state.account_key(account_id), account)
    ledger.delete(state.parked_key(account_id))
    return waited
