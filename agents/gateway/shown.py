"""What a gateway shows of accounts and orders, from a copy of the live state. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.rules import figures
from agents.dunning.records import Debtor, debtor_key
from schemas.dates import format_day, format_instant
from schemas.json_lines import to_payload
from schemas.money import format_amount

_FIRST = "\1"
"""Behind what belongs to a partition."""
_BEHIND = "\1"
"""After an account's id: behind all that it has."""
_LAST = "\U0010ffff"
NOT_SHOWN = ("type", "event_id", "occurred_at", "cause_event_id")


def customer_shown(
    ledger: Ledger, account_id: str, customer_id: str, policies: PolicyBook
) -> dict[str, Any] | None:
    """The figures and the standing of a customer; None for one that is not known."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None:
        return None
    published = figures(ledger, account_id, policies)
    shown = {k: v for k, v in to_payload(published).items() if k not in NOT_SHOWN}
    shown["customer_id"] = customer_id
    debtor: Debtor | None = ledger.get(debtor_key(account_id))
    temporary = account.temporary_limit
    temporary_text = None if temporary is None else format_amount(temporary, account.currency)
    return shown | {
        "changed_at": format_instant(account.changed_at),
        "known": account.known,
        "name": debtor.name if debtor is not None else None,
        "segment": account.segment,
        "account_manager": account.account_manager or None,
        "blocked": account.blocked,
        "closed": account.closed,
        "unlimited": account.unlimited,
        "prepays": account.prepays,
        "credit_limit_valid_until": _day(account.limit_valid_until),
        "temporary_limit": temporary_text,
        "temporary_limit_until": _day(account.temporary_until),
        "alerts_raised": list(account.raised),
        "merged_into": account_id if account_id != customer_id else None,
    }


def customer_ids(
    ledgers: Sequence[Ledger], begins: str = "", after: str | None = None
) -> Iterator[str]:
    """Customers with an account, by their id. Goes from one account to the next; what they have is
    not read.

    Args:
        ledgers: of all partitions.
        begins: only those whose id begins so.
        after: the id behind which to begin.
    """
    yield from heapq.merge(*(_ids_in(ledger, begins, after) for ledger in ledgers))


def _ids_in(ledger: Ledger, begins: str, after: str | None) -> Iterator[str]:
    start = max(begins or _FIRST, "" if after is None else after + _BEHIND)
    end = begins + _LAST
    while True:
        key = next((key for key, _ in ledger.scan(start, end)), None)
        if key is None:
            return
        account_id = key.partition(state.NUL)[0]
        if ledger.get(state.account_key(account_id)) is not None:
            yield account_id
        start = account_id + _BEHIND


def orders_of(ledger: Ledger, account_id: str, after: str | None) -> Iterator[dict[str, Any]]:
    """The orders of an account that are kept, by their id, from behind one on."""
    start, end = state.order_range(account_id)
    if after is not None:
        start = state.order_key(account_id, after) + state.NUL
    for key, order in ledger.scan(start, end):
        if order.known:
            order_id = key.removeprefix(state.order_key(account_id, ""))
            yield _order_shown(account_id, order_id, order) | {
                "status": order.status or None,
                "decision_number": order.decision_number,
                "deliver_on": _day(order.deliver_on),
            }


def held_orders(
    ledgers: Sequence[Ledger], after: tuple[int, str, str] | None
) -> Iterator[tuple[tuple[int, str, str], dict[str, Any]]]:
    """Orders on hold, the oldest first, each with its place in that order.

    Args:
        ledgers: of all partitions.
        after: the place behind which to begin: when it was placed, account, order.
    """
    for place, ledger in heapq.merge(
        *(_held_in(ledger, after) for ledger in ledgers), key=lambda found: found[0]
    ):
        _, account_id, order_id = place
        order: state.Order | None = ledger.get(state.order_key(account_id, order_id))
        if order is not None:
            yield place, _order_shown(account_id, order_id, order)


def _order_shown(account_id: str, order_id: str, order: state.Order) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "customer_id": account_id,
        "placed_at": format_instant(order.placed_at),
        "amount": format_amount(order.total, order.currency),
        "currency": order.currency,
        "held_by": order.manual_hold_by,
    }


def _held_in(
    ledger: Ledger, after: tuple[int, str, str] | None
) -> Iterator[tuple[tuple[int, str, str], Ledger]]:
    start, end = state.partition_held_range()
    if after is not None:
        start = state.partition_held_key(*after) + "\0"
    for key, _ in ledger.scan(start, end):
        yield state.held_order(key), ledger


def _day(day: int | None) -> str | None:
    return None if day is None else format_day(day)
