"""The figures that the journal gives an account, as they have to stand in `credit.exposures.v1`.

A worker publishes them with the commit after the event that touched the account, and before a day
begins. When it commits is its own affair, and figures hang on little that does not touch the
account: the day, before which it always publishes; and rates, which may move a utilisation by less
than a minor unit of the exposure. So figures are taken before each day, and around each rate for
those who have foreign money: one of them has to be published.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.rules import figures, group_figures, has_figures
from agents.reconcile.shelf import Shelf
from schemas.events import Event

_OPEN_MAX = 100_000
"""Accounts that were touched and whose figures are still to be taken, at most."""
GROUP = "\0"
"""Before the id of a group; no customer's id begins so."""


class Expected(msgspec.Struct, array_like=True, gc=False):
    """What has to be published last: the id, and every content that it may have."""

    event_id: str
    contents: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Expected).decode


class ExpectedFigures:
    """The figures of one partition's accounts and groups.

    Args:
        shelf: keeps them, by `name_of` account and partition.
        partition: of the journal.
        encode: an event as it is published.
        policies: by which is decided.
    """

    def __init__(
        self, shelf: Shelf, partition: int, encode: Callable[[Event], bytes], policies: PolicyBook
    ) -> None:
        self._shelf = shelf
        self._partition = partition
        self._encode = encode
        self._policies = policies
        self._open: dict[str, None] = {}
        self.later: dict[str, list[bytes]] = {}
        """Of accounts that were touched behind the state that is compared: what may be published
        by now; empty for one that has left."""

    def touch(self, account_id: str) -> None:
        """The account's next figures have to be published."""
        self._open[account_id] = None

    def touch_group(self, group_id: str) -> None:
        """The group's next figures have to be published."""
        self._open[GROUP + group_id] = None

    def rate_moves(self, ledger: Ledger) -> None:
        """A rate comes next: take the figures that hang on rates, and keep them open."""
        foreign = [key for key in self._open if _hangs_on_rates(ledger, key)]
        self.close(ledger)
        self._open.update(dict.fromkeys(foreign))

    def close(self, ledger: Ledger) -> None:
        """Take the figures of all that was touched, as they are now."""
        for key in self._open:
            self._take(ledger, key)
        self._open.clear()

    def close_when_many(self, ledger: Ledger) -> None:
        """Bounds what is open. Between two commits of a worker there is never so much."""
        if len(self._open) >= _OPEN_MAX:
            self.close(ledger)

    def note_later(self, ledger: Ledger) -> None:
        """Behind the state that is compared: any commit from now on may have published these."""
        for (
            key
        ) in self._open:  # never closed from here on, so that a day's and a rate's move counts
            event = self._figures(ledger, key)
            contents = self.later.setdefault(key, [])
            if event is not None:
                contents.append(self._encode(event))

    def _take(self, ledger: Ledger, key: str) -> None:
        shelved = name_of(key) + b"\0%d" % self._partition
        event = self._figures(ledger, key)
        if event is None:  # kept elsewhere by now
            self._shelf.put(shelved, None)
            return
        content = self._encode(event)
        raw = self._shelf.get(shelved)
        before = None if raw is None else _decode(raw)
        contents = [content]
        if before is not None and before.event_id == event.event_id:
            contents = list(dict.fromkeys((*before.contents, content)))
        self._shelf.put(shelved, _encode(Expected(event.event_id, contents)))

    def _figures(self, ledger: Ledger, key: str) -> Event | None:
        if key.startswith(GROUP):
            return group_figures(ledger, key.removeprefix(GROUP), self._policies)
        return figures(ledger, key, self._policies) if has_figures(ledger, key) else None


def expected_of(shelf: Shelf, name: bytes) -> list[Expected]:
    """What may be published of an account; of several partitions when it was about to move."""
    return [_decode(raw) for _, raw in shelf.entries(name + b"\0")]


def name_of(key: str) -> bytes:
    """How an account's, or a group's, id stands on a shelf."""
    if key.startswith(GROUP):
        return b"g" + key.removeprefix(GROUP).encode()
    return b"c" + key.encode()


def _hangs_on_rates(ledger: Ledger, key: str) -> bool:
    if key.startswith(GROUP):
        return True
    account: state.Account | None = ledger.get(state.account_key(key))
    return account is not None and (account.foreign or bool(account.insured_limit))
