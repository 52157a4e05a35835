"""What a gateway shows of accounts and orders, from a copy of the live state. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.rules import figures
from schemas.dates import format_day, format_instant
from schemas.json_lines import to_payload
from schemas.money import format_amount

_NOT_SHOWN = ("type", "event_id", "occurred_at", "cause_event_id")


def customer_shown(
    ledger: Ledger, account_id: str, customer_id: str, policies: PolicyBook
) -> dict[str, Any] | None:
    """The figures and the standing of a customer; None for one that is not known."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None:
        return None
    published = figures(ledger, account_id, policies)
    shown = {k: v for k, v in to_payload(published).items() if k not in _NOT_SHOWN}
    shown["customer_id"] = customer_id
    temporary = account.temporary_limit
    temporary_text = None if temporary is None else format_amount(temporary, account.currency)
    return shown | {
        "changed_at": format_instant(account.changed_at),
        "known": account.known,
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
        placed_at, account_id, order_id = place
        order: state.Order | None = ledger.get(state.order_key(account_id, order_id))
        if order is not None:
            yield (
                place,
                {
                    "order_id": order_id,
                    "customer_id": account_id,
                    "placed_at": format_instant(placed_at),
                    "amount": format_amount(order.total, order.currency),
                    "currency": order.currency,
                    "held_by": order.manual_hold_by,
                },
            )


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
