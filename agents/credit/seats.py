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
from agents.credit.effects import AccountLeft, Effect, Forward, Sent, Standing
from agents.credit.group_books import GroupBooks
from agents.credit.settlement import settle, settle_group
from agents.credit.stamps import supersedes
from schemas.events import (
    BY_NAME,
    AccountMoved,
    AccountRecalled,
    CreditLimitChanged,
    CustomerBlocked,
    CustomersMerged,
    CustomerUnblocked,
    CustomerUpserted,
    Day,
    Event,
    MovedEntry,
)

_ENTRIES_PER_PART = 500
_OF_THE_CUSTOMER = (CustomerUpserted, CreditLimitChanged, CustomerBlocked, CustomerUnblocked)
"""What says something of a customer, not of its documents."""
_NOTHING = Standing("", 0, 0)


def redirect(
    ledger: Ledger,
    event: Event,
    sent: Sent,
    account: state.Account | None,
    effects: list[Effect],
) -> bool:
    """Send an event of a customer to where the account is kept; False: it is here.

    Args:
        ledger: of the customer's own partition.
        event: as it came, under the customer's id.
        sent: how it came.
        account: the account, if this partition has it.
        effects: what follows is added here.
    """
    customer_id = customer_of(event)
    seat: state.Seat | None = ledger.get(state.seat_key(customer_id))
    if seat is None:
        return _joins(ledger, event, sent, account, effects)
    if seat.recalled:
        _let_wait(ledger, seat, event, sent)
    elif seat.merged_into:
        _forward_to_survivor(event, sent, seat.merged_into, effects)
    elif isinstance(event, CustomerUpserted) and supersedes(seat.master, event):
        if (event.group_id or "") == seat.group_id:
            ledger.put(state.seat_key(customer_id), seat)
            effects.append(Forward(seat.group_id, _to_group(seat, sent), event))
        else:
            _recall(ledger, seat, event, sent, effects)
    else:
        effects.append(Forward(seat.group_id, _to_group(seat, sent), event))
    return True


def merge(ledger: Ledger, event: CustomersMerged, sent: Sent, effects: list[Effect]) -> None:
    """Send the account of a customer into that of another, and all that comes later as well."""
    customer_id, survivor = event.merged_customer_id, event.customer_id
    seat: state.Seat | None = ledger.get(state.seat_key(customer_id))
    account: state.Account | None = ledger.get(state.account_key(customer_id))
    if seat is not None and seat.recalled:
        _let_wait(ledger, seat, event, sent)
    elif seat is not None and seat.group_id:
        _recall(ledger, seat, event, sent, effects)
    elif seat is not None:
        if seat.merged_into != survivor:
            _refuse_merger(event, f"was merged into {seat.merged_into!r} already", effects)
    elif account is not None and survivor in account.absorbed:
        _refuse_merger(event, f"has {survivor!r} in it: it was merged the other way", effects)
    else:
        _send(ledger, event, customer_id, account, survivor, Sent(), effects, into=survivor)
        seat = state.Seat(
            merged_into=survivor,
            currency="" if account is None else account.currency,
            cause_event_id=event.event_id,
            changed_at=event.occurred_at,
        )
        ledger.put(state.seat_key(customer_id), seat)


def customer_of(event: Event) -> str:
    """The customer whose account the event is to be applied to."""
    if isinstance(event, AccountMoved) and event.into_customer_id is not None:
        return event.into_customer_id
    if isinstance(event, CustomersMerged):
        return event.merged_customer_id
    customer_id: str = event.customer_id  # type: ignore[attr-defined]  # all that come here have one
    return customer_id


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
        refuse_stray(event, event.group_id, effects)
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
    _send(ledger, event, event.customer_id, account, event.customer_id, Sent(), effects)
    settle_group(group, effects)


def take_in(
    ledger: Ledger,
    policies: PolicyBook,
    event: AccountMoved,
    sent: Sent,
    today: Day,
    effects: list[Effect],
) -> Iterator[tuple[Event, Sent]]:
    """Store a part of an account that comes; with the last part the account is kept here.

    Yields the events that have waited for it, in their order, to be applied now, and how they came.
    """
    customer_id = event.customer_id
    for entry in event.entries:
        ledger.put(f"{customer_id}\0{entry.key}", state.from_json(entry.key, entry.value))
    if event.part < event.parts:
        return
    account: state.Account = ledger.get(state.account_key(customer_id)) or state.Account()
    account.group_id = ""  # not in the books of a group before all of it is here
    ledger.put(state.account_key(customer_id), account)
    case = Case(ledger, policies, customer_id, event, today, effects)
    case.begin()
    case.before = _NOTHING
    case.age()
    case.rebuild_agenda()
    if sent.group_id:
        case.account.group_id = sent.group_id
        _enter_group(case, GroupBooks(ledger, policies, sent.group_id, event, today))
    if sent.group_id or ledger.get(state.seat_key(customer_id)) is None:
        settle(case)
        return
    # What it was called back for comes next, perhaps another group: nothing is released before.
    case.close()
    ledger.delete(state.seat_key(customer_id))
    yield from _those_that_waited(ledger, customer_id)


def refuse_stray(event: Event, group_id: str, effects: list[Effect]) -> None:
    """Refuse an event that was forwarded to a group which does not keep the account."""
    effects.append(
        Refusal(
            "account_not_here",
            "customer_id",
            f"{type(event).__name__} was forwarded to group {group_id!r}, which does not keep the "
            f"account of customer {customer_of(event)!r}",
        )
    )


# ── inside ──────────────────────────────────────────────────────────────────────────────────────


def _joins(
    ledger: Ledger,
    event: Event,
    sent: Sent,
    account: state.Account | None,
    effects: list[Effect],
) -> bool:
    """Send the account of a customer who joins a group there, the event behind it."""
    if not isinstance(event, CustomerUpserted) or not event.group_id:
        return False
    if account is not None and event.occurred_at < account.master.at:
        return False
    seat = state.Seat(
        group_id=event.group_id, master=state.Stamp(event.occurred_at, [event.event_id])
    )
    to_group = _to_group(seat, sent)
    _send(ledger, event, event.customer_id, account, seat.group_id, to_group, effects)
    ledger.put(state.seat_key(event.customer_id), seat)
    effects.append(Forward(seat.group_id, to_group, event))
    return True


def _to_group(seat: state.Seat, sent: Sent) -> Sent:
    return Sent(seat.group_id, sent.aliases)


def _forward_to_survivor(event: Event, sent: Sent, survivor: str, effects: list[Effect]) -> None:
    """Forward under the id of the customer who stays."""
    customer_id = customer_of(event)
    if customer_id in sent.aliases:
        effects.append(
            Refusal(
                "merged_in_a_circle",
                "customer_id",
                f"{type(event).__name__}: customers {', '.join(sent.aliases)} were merged into "
                "each other",
            )
        )
        return
    if isinstance(event, _OF_THE_CUSTOMER):
        effects.append(
            Refusal(
                "customer_merged",
                "customer_id",
                f"{type(event).__name__}: customer {customer_id!r} was merged into {survivor!r}, "
                "whose own limit, block and terms count",
            )
        )
        return
    field = "into_customer_id" if isinstance(event, AccountMoved) else "customer_id"
    renamed = msgspec.structs.replace(event, **{field: survivor})
    effects.append(Forward(survivor, Sent("", (*sent.aliases, customer_id)), renamed))


def _recall(
    ledger: Ledger, seat: state.Seat, event: Event, sent: Sent, effects: list[Effect]
) -> None:
    """Ask the group for the account; the event waits for it."""
    customer_id = customer_of(event)
    recall = AccountRecalled(
        event_id=outgoing_id(customer_id, 0, event.event_id, "recall"),
        occurred_at=event.occurred_at,
        customer_id=customer_id,
        group_id=seat.group_id,
    )
    effects.append(Forward(seat.group_id, Sent(seat.group_id), recall))
    seat.recalled = True
    _let_wait(ledger, seat, event, sent)


def _refuse_merger(event: CustomersMerged, why: str, effects: list[Effect]) -> None:
    detail = f"customer {event.merged_customer_id!r} {why}"
    effects.append(Refusal("merged_already", "merged_customer_id", detail))


def _send(
    ledger: Ledger,
    cause: Event,
    customer_id: str,
    account: state.Account | None,
    key: str,
    sent: Sent,
    effects: list[Effect],
    into: str | None = None,
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
        for entry, value in list(ledger.scan(*state.account_range(customer_id))):
            if state.moves_with_account(entry):
                _, _, own_key = entry.partition(state.NUL)
                entries.append(MovedEntry(key=own_key, value=state.to_json(value)))
                ledger.delete(entry)
    parts = max(-(-len(entries) // _ENTRIES_PER_PART), 1)
    for part in range(1, parts + 1):
        moved = AccountMoved(
            event_id=outgoing_id(customer_id, sequence, cause.event_id, f"moved {part}"),
            occurred_at=cause.occurred_at,
            customer_id=customer_id,
            part=part,
            parts=parts,
            entries=entries[(part - 1) * _ENTRIES_PER_PART : part * _ENTRIES_PER_PART],
            into_customer_id=into,
        )
        effects.append(Forward(key, sent, moved))


def _enter_group(case: Case, group: GroupBooks) -> None:
    """Count what a new member has with the group's."""
    case.group = group
    for currency, book in case.account.books.items():
        group.add(book, currency, 1)
    for key, _ in list(case.ledger.scan(*state.held_range(case.account_id))):
        order_id = state.last_part(key)
        order = case.ledger.get(state.order_key(case.account_id, order_id))
        group.count_held(case.account_id, order_id, order, 1)
    group.rank_all(case.account_id)
    group.group.members += 1
    case.ledger.put(state.member_key(group.group_id, case.account_id), True)


def _let_wait(ledger: Ledger, seat: state.Seat, event: Event, sent: Sent) -> None:
    customer_id = customer_of(event)
    seat.waiting += 1
    ledger.put(state.seat_key(customer_id), seat)
    fields: dict[str, Any] = msgspec.to_builtins(event)
    ledger.put(
        state.waiting_key(customer_id, seat.waiting),
        (type(event).__name__, fields, list(sent.aliases)),
    )


def _those_that_waited(ledger: Ledger, customer_id: str) -> Iterator[tuple[Event, Sent]]:
    for key, (name, fields, aliases) in list(ledger.scan(*state.waiting_range(customer_id))):
        ledger.delete(key)
        yield msgspec.convert(fields, BY_NAME[name]), Sent("", tuple(aliases))
