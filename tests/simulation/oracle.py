"""What the pure rules say to a journal: replayed record by record, partition by partition, without
any of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from simulation.log import Written

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.day_run import continued
from agents.credit.effects import (
    AccountLeft,
    AccountTouched,
    Continuation,
    Forward,
    GroupTouched,
    Sent,
    Standing,
)
from agents.credit.failures import Failures
from agents.credit.parking import AccountFailedError, kept, parked_in
from agents.credit.portfolio import Totals
from agents.credit.rules import figures, group_figures, has_figures
from schemas.catalogue import topic_of
from schemas.events import AccountMoved, BusinessDayStarted, Event, OrderPlaced
from streams.cloud_events import ORIGIN, SEAT
from streams.codec import Codec

Key = tuple[str, bytes]
"""An outgoing topic, and a key in it."""

_FIGURES = topic_of("ExposureChanged")
_GROUP_FIGURES = topic_of("GroupExposureChanged")
_decode_seat = msgspec.json.Decoder(Sent).decode


@dataclass
class Said:
    """What follows from a partition of the journal."""

    events: dict[Key, list[bytes]] = field(default_factory=dict)
    """Of each topic and key, in order."""
    figures: dict[Key, list[bytes]] = field(default_factory=dict)
    """Every figure that could have been said, in order."""
    last_figures: dict[Key, list[bytes]] = field(default_factory=dict)
    """Of the accounts and groups that are here in the end: one of these is published last. Days
    overdue rise by themselves, and are published when something else happens.
    """
    forwards: list[bytes] = field(default_factory=list)
    refusals: int = 0
    undecided: set[str] = field(default_factory=set)
    """Orders that wait with a parked account, or were discarded there."""
    parked: set[str] = field(default_factory=set)
    waiting: dict[str, set[str]] = field(default_factory=dict)
    """Orders that wait for an account to come back: for ever, if it is parked where it was, or
    fails when it comes.
    """
    under_way: set[str] = field(default_factory=set)
    """Accounts that failed when they came here: nobody has them."""
    totals: Totals = field(default_factory=Totals)
    origins: dict[str, int] = field(default_factory=dict)
    """The last of each origin's partition."""
    state: dict[bytes, bytes] = field(default_factory=dict)


def header(record: Written, name: str) -> bytes | None:
    return dict(record.headers).get(name)


def without_repeats(journal: Sequence[Written]) -> list[Written]:
    """A partition's records, each origin once."""
    seen: set[bytes] = set()
    kept = []
    for record in journal:
        origin = header(record, ORIGIN)
        if origin is None or origin not in seen:
            kept.append(record)
        if origin is not None:
            seen.add(origin)
    return kept


def replay(journal: Sequence[Written], codec: Codec, policy: PolicyBook) -> Said:
    """What the rules say to one partition's records, repeats left out."""
    failures = Failures()
    while True:
        try:
            return _replay(without_repeats(journal), codec, policy, failures)
        except AccountFailedError:
            continue  # come to again, it is parked


def _replay(
    journal: Sequence[Written], codec: Codec, policy: PolicyBook, failures: Failures
) -> Said:
    ledger, said = MemoryLedger(), Said()
    for place, record in enumerate(journal):
        event = codec.decode(record.value)
        source, _, offset = (header(record, ORIGIN) or b"").decode().rpartition(":")
        if source:
            said.origins[source] = max(int(offset), said.origins.get(source, -1))
        seat = header(record, SEAT)
        touched: dict[Key, bool] = {}
        if isinstance(event, BusinessDayStarted):
            touched.update(dict.fromkeys(said.figures, False))
        sent = Sent() if seat is None else _decode_seat(seat)
        for effect in failures.reduce((0, place), ledger, event, policy, sent):
            match effect:
                case AccountTouched():
                    said.totals.move(effect.before, effect.after)
                    touched[_FIGURES, effect.account_id.encode()] = True
                case AccountLeft():
                    said.totals.move(effect.before, Standing("", 0, 0))
                    touched[_FIGURES, effect.account_id.encode()] = True
                case GroupTouched():
                    touched[_GROUP_FIGURES, effect.group_id.encode()] = True
                case Forward():
                    said.forwards.append(codec.encode(effect.event))
                case Continuation():
                    said.forwards.append(codec.encode(continued(effect)))
                case Refusal():
                    said.refusals += 1
                    if isinstance(effect.event, OrderPlaced) and effect.reason == "discarded":
                        said.undecided.add(effect.event.order_id)
                case _:
                    key = (topic_of(type(effect).__name__), effect.customer_id.encode())
                    said.events.setdefault(key, []).append(codec.encode(effect))
        for key, by_an_event in touched.items():
            if by_an_event:
                said.last_figures[key] = []
            figure = _figure(ledger, key, policy)
            if figure is None:
                said.last_figures.pop(key, None)
                continue
            value = codec.encode(figure)
            said.figures.setdefault(key, []).append(value)
            said.last_figures[key].append(value)
    for account_id in parked_in(ledger):
        waiting = [one.event for one in kept(ledger, account_id)]
        if any(isinstance(one, AccountMoved) for one in waiting):
            said.under_way.add(account_id)  # it failed on its way here
        said.parked.add(account_id)
        said.undecided |= {one.order_id for one in waiting if isinstance(one, OrderPlaced)}
    said.waiting = _waiting(ledger)
    said.state = {
        key.encode(): state.encode(key, value) for key, value in ledger.scan("", chr(0x10FFFF))
    }
    return said


def _waiting(ledger: MemoryLedger) -> dict[str, set[str]]:
    """Orders that wait for an account to come back, by whose they are."""
    found: dict[str, set[str]] = {}
    for key, value in ledger.scan("\1", chr(0x10FFFF)):
        account_id, _, kind = key.partition("\0")
        if kind.startswith("w") and value[0] == OrderPlaced.__name__:
            found.setdefault(account_id, set()).add(value[1]["order_id"])
    return found


def _figure(ledger: MemoryLedger, key: Key, policy: PolicyBook) -> Event | None:
    topic, raw = key
    if topic == _GROUP_FIGURES:
        return group_figures(ledger, raw.decode(), policy)
    return figures(ledger, raw.decode(), policy) if has_figures(ledger, raw.decode()) else None
