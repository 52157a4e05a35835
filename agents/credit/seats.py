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
from agents.core.records import Stamp
from agents.core.refusal import Refusal
from agents.credit import merging, state
from agents.credit.case import Case, outgoing_id
from agents.credit.effects import Effect, Forward, Sent, Standing
from agents.credit.group_books import GroupBooks
from agents.credit.moving import enter_group, leave_group, send, take_out
from agents.credit.settlement import close_group, settle, settle_group
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
    ParkedAccountRetried,
    ParkedEventDiscarded,
)

_OF_THE_CUSTOMER = (CustomerUpserted, CreditLimitChanged, CustomerBlocked, CustomerUnblocked)
"""What says something of a customer, not of its documents."""
_OF_PARKED = (ParkedAccountRetried, ParkedEventDiscarded)
"""What people do about an account that stands still."""
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
    if seat.recalled and isinstance(event, _OF_PARKED):
        # The account may stand still there, and come back only when this is done.
        effects.append(Forward(seat.group_id, _to_group(seat, sent), event))
    elif seat.recalled:
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
        if isinstance(event, AccountMoved):
            seat.absorbed += merging.absorbed_with(event)
            ledger.put(state.seat_key(customer_id), seat)
        effects.append(Forward(seat.group_id, _to_group(seat, sent), event))
    return True


def merge(ledger: Ledger, event: CustomersMerged, sent: Sent, effects: list[Effect]) -> None:
    """Send the account of a customer into that of another, and all that comes later as well."""
    customer_id, survivor = event.merged_customer_id, event.customer_id
    seat: state.Seat | None = ledger.get(state.seat_key(customer_id))
    account: state.Account | None = ledger.get(state.account_key(customer_id))
    kept = account or seat
    if seat is not None and seat.recalled:
        _let_wait(ledger, seat, event, sent)
    elif seat is not None and seat.merged_into:
        if seat.merged_into != survivor:
            _refuse_merger(event, f"was merged into {seat.merged_into!r} already", effects)
    elif kept is not None and survivor in kept.absorbed:
        _refuse_merger(event, f"has {survivor!r} in it: it was merged the other way", effects)
    elif seat is not None:
        _recall(ledger, seat, event, sent, effects)
    else:
        send(ledger, event, customer_id, account, survivor, Sent(), effects, into=survivor)
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
    event: AccountRecalled | CustomersMerged,
    sent: Sent,
    today: Day,
    effects: list[Effect],
) -> None:
    """Send a member's account back to the customer's own partition; its room is the group's again.

    A member that is merged into another member leaves no room: its account is taken in here, and
    what goes back is an account with nothing in it.
    """
    customer_id = customer_of(event)
    account: state.Account | None = ledger.get(state.account_key(customer_id))
    if account is None or account.group_id != sent.group_id:
        refuse_stray(event, sent.group_id, effects)
        return
    group = GroupBooks(ledger, policies, sent.group_id, event, today)
    leave_group(group, customer_id, account)
    into = event.customer_id if isinstance(event, CustomersMerged) else ""
    if ledger.get(state.member_key(sent.group_id, into)) is None:
        settle_group(group, effects)
    else:
        moved = AccountMoved(
            event_id=event.event_id,
            occurred_at=event.occurred_at,
            customer_id=customer_id,
            part=1,
            parts=1,
            entries=take_out(ledger, customer_id, account, effects),
            into_customer_id=into,
        )
        case = Case(ledger, policies, into, event, today, effects, group)
        case.begin()
        case.age()
        merging.absorb(case, moved)
        settle(case)
        account = state.Account(
            currency=account.currency, sequence=account.sequence, absorbed=account.absorbed
        )
        ledger.put(state.account_key(customer_id), account)
    send(ledger, event, customer_id, account, customer_id, Sent(), effects)


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
        key = f"{customer_id}\0{entry.key}"
        ledger.put(key, state.from_json(entry.key, entry.value))
        if entry.key[0] == "h":
            ledger.put(state.held_in_partition(key), True)
    if event.part < event.parts:
        return
    account: state.Account = ledger.get(state.account_key(customer_id)) or state.Account()
    account.group_id = ""  # not in the books of a group before all of it is here
    ledger.put(state.account_key(customer_id), account)
    case = Case(ledger, policies, customer_id, event, today, effects)
    case.begin()
    case.before = _NOTHING
    case.age()
    group = None
    if sent.group_id:
        group = GroupBooks(ledger, policies, sent.group_id, event, today)
        enter_group(case, group)
    case.rebuild_agenda()
    # What it came for is next, perhaps another limit, or another group: nothing is released before.
    if group is not None:
        case.close()
        close_group(group, effects)
    elif ledger.get(state.seat_key(customer_id)) is None:
        settle(case)
    else:
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
    seat = state.Seat(group_id=event.group_id)
    if account is not None:
        seat.master = Stamp(account.master.at, list(account.master.event_ids))
        seat.absorbed = list(account.absorbed)
    if not supersedes(seat.master, event):
        return False
    to_group = _to_group(seat, sent)
    send(ledger, event, event.customer_id, account, seat.group_id, to_group, effects)
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
    """Ask the group for the account; the event waits for it. A merger asks for itself."""
    customer_id = customer_of(event)
    recall = event
    if not isinstance(event, CustomersMerged):
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
