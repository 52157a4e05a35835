"""How an account moves: out of a ledger in parts, into the books of a credit group, and out."""

from __future__ import annotations

from agents.core.ledger import Ledger
from agents.credit import state
from agents.credit.case import Case, outgoing_id
from agents.credit.effects import AccountLeft, Effect, Forward, Sent, Standing
from agents.credit.group_books import GroupBooks
from schemas.events import AccountMoved, Event, MovedEntry

_ENTRIES_PER_PART = 500


def send(
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
    entries = [] if account is None else take_out(ledger, customer_id, account, effects)
    parts = max(-(-len(entries) // _ENTRIES_PER_PART), 1)
    for part in range(1, parts + 1):
        moved = AccountMoved(
            event_id=outgoing_id(
                customer_id,
                0 if account is None else account.sequence,
                cause.event_id,
                f"moved {part}",
            ),
            occurred_at=cause.occurred_at,
            customer_id=customer_id,
            part=part,
            parts=parts,
            entries=entries[(part - 1) * _ENTRIES_PER_PART : part * _ENTRIES_PER_PART],
            into_customer_id=into,
        )
        effects.append(Forward(key, sent, moved))


def take_out(
    ledger: Ledger, customer_id: str, account: state.Account, effects: list[Effect]
) -> list[MovedEntry]:
    """All that stands under an account, which this ledger then no longer has.

    The account's own record comes last: where only some of the parts have come, there is no account
    yet.
    """
    account.sequence += 1
    effects.append(
        AccountLeft(customer_id, Standing(account.currency, account.shown, account.held_orders))
    )
    account.shown = 0
    entries = []
    for entry, value in list(ledger.scan(*state.account_range(customer_id))):
        if state.moves_with_account(entry):
            _, _, own_key = entry.partition(state.NUL)
            entries.append(MovedEntry(key=own_key, value=state.to_json(value)))
            ledger.delete(entry)
            if own_key[0] == "h":
                ledger.delete(state.held_in_partition(entry))
    return [*entries[1:], *entries[:1]]


def enter_group(case: Case, group: GroupBooks) -> None:
    """Count what a new member has with the group's."""
    group.begin()
    case.group = group
    case.account.group_id = group.group_id
    _count(group, case.account_id, case.account, 1)
    group.group.members += 1
    group.group.joined = True
    case.ledger.put(state.member_key(group.group_id, case.account_id), True)


def leave_group(group: GroupBooks, customer_id: str, account: state.Account) -> None:
    """Take what a member has out of the group's; what it had approved stays approved."""
    _count(group, customer_id, account, -1)
    group.group.members -= 1
    group.ledger.delete(state.member_key(group.group_id, customer_id))


def _count(group: GroupBooks, customer_id: str, account: state.Account, by: int) -> None:
    for currency, book in account.books.items():
        group.add(book, currency, by)
    for key, _ in list(group.ledger.scan(*state.held_range(customer_id))):
        order_id = state.last_part(key)
        order = group.ledger.get(state.order_key(customer_id, order_id))
        group.count_held(customer_id, order_id, order, by)
    group.rank_all(customer_id, reserves=by > 0)
