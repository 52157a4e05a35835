"""Where an account is kept: with the customer, with a credit group, or with another customer.

All events of a customer reach the journal under the customer's own id. The account of a member of a
credit group is kept where the group is, since one writer must see all that uses the group's limit;
the customer's own partition then holds a `Seat` that says so, and forwards every event there, in
their order (docs/decisions/0015-forward-group-members.md). An account moves as a whole, by
`AccountMoved` events in the journal. While it is on its way back from a group, events wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.case import Case, outgoing_id
from agents.credit.effects import AccountLeft, Effect, Forward, Standing
from agents.credit.group_books import GroupBooks
from agents.credit.settlement import settle, settle_group
from agents.credit.stamps import supersedes
from schemas.events import (
    BY_NAME,
    AccountMoved,
    AccountRecalled,
    CustomerUpserted,
    Day,
    Event,
    MovedEntry,
)

_ENTRIES_PER_PART = 500
_NOTHING = Standing("", 0, 0)


def redirect(
    ledger: Ledger,
    event: Event,
    customer_id: str,
    account: state.Account | None,
    effects: list[Effect],
) -> bool:
    """Send an event of a customer to where the account is kept; False: it is here.

    Args:
        ledger: of the customer's own partition.
        event: as it came, under the customer's id.
        customer_id: the customer.
        account: the account, if this partition has it.
        effects: what follows is added here.
    """
    seat: state.Seat | None = ledger.get(state.seat_key(customer_id))
    if seat is None:
        return _joins(ledger, event, customer_id, account, effects)
    if seat.recalled:
        _let_wait(ledger, seat, event, customer_id)
        return True
    if isinstance(event, CustomerUpserted) and supersedes(seat.master, event):
        if (event.group_id or "") != seat.group_id:
            recall = AccountRecalled(
                event_id=outgoing_id(customer_id, 0, event.event_id, "recall"),
                occurred_at=event.occurred_at,
                customer_id=customer_id,
                group_id=seat.group_id,
            )
            effects.append(Forward(seat.group_id, seat.group_id, recall))
            seat.recalled = True
            _let_wait(ledger, seat, event, customer_id)
            return True
        ledger.put(state.seat_key(customer_id), seat)
    effects.append(Forward(seat.group_id, seat.group_id, event))
    return True


def hand_back(
    ledger: Ledger,
    policies: PolicyBook,
    event: AccountRecalled,
    today: Day,
    effects: list[Effect],
) -> None:
    """Send a member's account back to the customer's own partition; its room is the group's again.

    The group's figures from now on are without it; what it had approved stays approved.
    """
    account: state.Account | None = ledger.get(state.account_key(event.customer_id))
    if account is None or account.group_id != event.group_id:
        refuse_stray(event, event.customer_id, event.group_id, effects)
        return
    group = GroupBooks(ledger, policies, event.group_id, event, today)
    for currency, book in account.books.items():
        group.add(book, currency, -1)
    for key, _ in list(ledger.scan(*state.held_range(event.customer_id))):
        order_id = state.last_part(key)
        order = ledger.get(state.order_key(event.customer_id, order_id))
        group.count_held(event.customer_id, order_id, order, -1)
    group.rank_all(event.customer_id, reserves=False)
    group.group.members -= 1
    ledger.delete(state.member_key(event.group_id, event.customer_id))
    _send(ledger, event, event.customer_id, account, "", effects)
    settle_group(group, effects)


def take_in(
    ledger: Ledger,
    policies: PolicyBook,
    event: AccountMoved,
    seat: str,
    today: Day,
    effects: list[Effect],
) -> Iterator[Event]:
    """Store a part of an account that comes; with the last part the account is kept here.

    Yields the events that have waited for it, in their order, to be applied now.
    """
    customer_id = event.customer_id
    for entry in event.entries:
        ledger.put(f"{customer_id}\0{entry.key}", state.from_json(entry.key, entry.value))
    if event.part < event.parts:
        return
    account: state.Account = ledger.get(state.account_key(customer_id)) or state.Account()
    account.group_id = seat
    ledger.put(state.account_key(customer_id), account)
    case = Case(ledger, policies, customer_id, event, today, effects)
    case.begin()
    case.before = _NOTHING
    case.age()
    case.rebuild_agenda()
    if case.group is not None:
        _enter_group(case, case.group)
    settle(case)
    own: state.Seat | None = ledger.get(state.seat_key(customer_id))
    if not seat and own is not None:
        ledger.delete(state.seat_key(customer_id))
        yield from _those_that_waited(ledger, customer_id)


def refuse_stray(event: Event, customer_id: str, seat: str, effects: list[Effect]) -> None:
    """Refuse an event that was forwarded to a group which does not keep the account."""
    effects.append(
        Refusal(
            "account_not_here",
            "customer_id",
            f"{type(event).__name__} was forwarded to group {seat!r}, which does not keep the "
            f"account of customer {customer_id!r}",
        )
    )


# ── inside ──────────────────────────────────────────────────────────────────────────────────────


def _joins(
    ledger: Ledger,
    event: Event,
    customer_id: str,
    account: state.Account | None,
    effects: list[Effect],
) -> bool:
    """Send the account of a customer who joins a group there, the event behind it."""
    if not isinstance(event, CustomerUpserted) or not event.group_id:
        return False
    if account is not None and event.occurred_at < account.master.at:
        return False
    _send(ledger, event, customer_id, account, event.group_id, effects)
    seat = state.Seat(
        group_id=event.group_id, master=state.Stamp(event.occurred_at, [event.event_id])
    )
    ledger.put(state.seat_key(customer_id), seat)
    effects.append(Forward(event.group_id, event.group_id, event))
    return True


def _send(
    ledger: Ledger,
    cause: Event,
    customer_id: str,
    account: state.Account | None,
    seat: str,
    effects: list[Effect],
) -> None:
    """Take an account out of the ledger and forward it, in parts; an unknown one as an empty
    part.
    """
    entries: list[MovedEntry] = []
    sequence = 0
    if account is not None:
        account.sequence += 1
        sequence = account.sequence
        effects.append(
            AccountLeft(customer_id, Standing(account.currency, account.shown, account.held_orders))
        )
        account.shown = 0
        for key, value in list(ledger.scan(*state.account_range(customer_id))):
            if state.moves_with_account(key):
                _, _, own_key = key.partition(state.NUL)
                entries.append(MovedEntry(key=own_key, value=state.to_json(value)))
                ledger.delete(key)
    parts = max(-(-len(entries) // _ENTRIES_PER_PART), 1)
    for part in range(1, parts + 1):
        moved = AccountMoved(
            event_id=outgoing_id(customer_id, sequence, cause.event_id, f"moved {part}"),
            occurred_at=cause.occurred_at,
            customer_id=customer_id,
            part=part,
            parts=parts,
            entries=entries[(part - 1) * _ENTRIES_PER_PART : part * _ENTRIES_PER_PART],
        )
        effects.append(Forward(seat or customer_id, seat, moved))


def _enter_group(case: Case, group: GroupBooks) -> None:
    """Count what a new member has with the group's."""
    for currency, book in case.account.books.items():
        group.add(book, currency, 1)
    for key, _ in list(case.ledger.scan(*state.held_range(case.account_id))):
        order_id = state.last_part(key)
        order = case.ledger.get(state.order_key(case.account_id, order_id))
        group.count_held(case.account_id, order_id, order, 1)
    group.rank_all(case.account_id)
    group.group.members += 1
    case.ledger.put(state.member_key(group.group_id, case.account_id), True)


def _let_wait(ledger: Ledger, seat: state.Seat, event: Event, customer_id: str) -> None:
    seat.waiting += 1
    ledger.put(state.seat_key(customer_id), seat)
    fields: dict[str, Any] = msgspec.to_builtins(event)
    ledger.put(state.waiting_key(customer_id, seat.waiting), (type(event).__name__, fields))


def _those_that_waited(ledger: Ledger, customer_id: str) -> Iterator[Event]:
    for key, (name, fields) in list(ledger.scan(*state.waiting_range(customer_id))):
        ledger.delete(key)
        yield msgspec.convert(fields, BY_NAME[name])
