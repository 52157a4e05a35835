"""What the page of a customer tells, from its live state. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

from agents.console.rows import today_in
from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.authority import Overreach, check_authority
from agents.credit.obstacles import Obstacle, look_at, obstacles_now
from agents.credit.rules import figures
from agents.dunning import records
from agents.dunning.records import Debtor, Followed, Promise
from schemas.events import Day, ExposureChanged, Instant, Minor

AGES = ("not_due", "1_30", "31_60", "61_90", "over_90")
_AGE_ENDS = (0, 30, 60, 90)
_LOOK_MAX = 20_000
"""Documents of a kind that are looked at: a page has to come, whoever the customer is."""
_ORDERS_SHOWN = 50


@dataclass(frozen=True)
class OpenItem:
    """An invoice of which something is unpaid; minor units of `currency`."""

    invoice_id: str
    issued_on: Day
    due_on: Day
    days_late: int
    currency: str
    amount: Minor
    open: Minor
    contested: Minor
    promised: bool
    level: int

    @property
    def age(self) -> str:
        """The bucket of `AGES` in which it is."""
        return AGES[sum(self.days_late > end for end in _AGE_ENDS)]


@dataclass(frozen=True)
class OrderLine:
    """An order of the customer; minor units of `currency`."""

    order_id: str
    placed_at: Instant
    total: Minor
    currency: str
    status: str
    decision_number: int
    held_by: str
    open: Minor


@dataclass(frozen=True)
class Behaviour:
    """How the last invoices were paid, in days after they were due; below zero: before.

    `promises`: how many there are of each outcome, "" for those that run.
    """

    paid: int
    median: float
    on_time: float
    worst: int
    latest: list[int]
    promises: dict[str, int]


@dataclass(frozen=True)
class CustomerView:
    """A customer on its business day; amounts in minor units of its currency where nothing else is
    said.
    """

    account_id: str
    today: Day
    account: state.Account
    figures: ExposureChanged
    debtor: Debtor
    open_items: list[OpenItem]
    ageing: dict[str, dict[str, Minor]]
    """By currency, then by age."""
    orders: list[OrderLine]
    orders_in_all: int
    behaviour: Behaviour | None
    is_cut: bool
    """There are more documents than were looked at."""
    members: list[str] = field(default_factory=list)


def customer_view(
    ledger: Ledger, account_id: str, policies: PolicyBook, *, all_items: bool = False
) -> CustomerView | None:
    """The customer; None for one that nobody has told of.

    Args:
        ledger: of the partition that has the account.
        account_id: the account.
        policies: by which figures are told.
        all_items: all open items, however many, for an export.
    """
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None:
        return None
    today = today_in(ledger, account)
    debtor: Debtor | None = ledger.get(records.debtor_key(account_id))
    most = None if all_items else _LOOK_MAX
    invoices = list(islice(_invoices(ledger, account_id, today), most))
    items = sorted(
        (one for one in invoices if one.open), key=lambda one: (one.due_on, one.invoice_id)
    )
    ageing: dict[str, dict[str, Minor]] = {}
    for one in items:
        of_currency = ageing.setdefault(one.currency, dict.fromkeys(AGES, 0))
        of_currency[one.age] += one.open
    orders = list(islice(_orders(ledger, account_id), most))
    latest = heapq.nlargest(_ORDERS_SHOWN, orders, key=lambda one: (one.placed_at, one.order_id))
    return CustomerView(
        account_id=account_id,
        today=today,
        account=account,
        figures=figures(ledger, account_id, policies),
        debtor=debtor or Debtor(),
        open_items=items,
        ageing=ageing,
        orders=latest,
        orders_in_all=len(orders),
        behaviour=_behaviour(ledger, account_id, account),
        is_cut=most is not None and most in (len(invoices), len(orders)),
    )


def order_line(ledger: Ledger, account_id: str, order_id: str) -> OrderLine | None:
    """One order; None for one that is not known."""
    order: state.Order | None = ledger.get(state.order_key(account_id, order_id))
    return None if order is None else _line(order_id, order)


def what_holds(
    ledger: Ledger, policies: PolicyBook, account_id: str, order_id: str
) -> list[Obstacle]:
    """What stands against an order now, and what would lift it."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    key = state.order_key(account_id, order_id)
    return obstacles_now(ledger, policies, key, today_in(ledger, account))


def reach(
    ledger: Ledger,
    policies: PolicyBook,
    account_id: str,
    order_id: str,
    *,
    by: str,
    role: str,
    confirmed_by: str | None = None,
) -> str:
    """Why the policy would refuse a release by somebody as things are now; "" if it would not.

    It tells which button to show. Whether it is released is decided with the order.
    """
    order: state.Order | None = ledger.get(state.order_key(account_id, order_id))
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if order is None or account is None:
        return "unknown"
    case = look_at(ledger, policies, account_id, today_in(ledger, account))
    release = state.Override(by=by, why="", role=role, confirmed_by=confirmed_by, until=0)
    try:
        check_authority(case, order_id, order, release)
    except Overreach as fault:
        return fault.reason
    return ""


def _invoices(ledger: Ledger, account_id: str, today: Day) -> Iterator[OpenItem]:
    start, end = state.invoice_range(account_id)
    for key, invoice in ledger.scan(start, end):
        invoice_id = key[len(start) :]
        if not invoice.known:
            continue
        followed: Followed | None = None
        if invoice.booked_open:
            followed = ledger.get(records.followed_key(account_id, invoice_id))
        yield OpenItem(
            invoice_id=invoice_id,
            issued_on=invoice.issued_on,
            due_on=invoice.due_on,
            days_late=max(today - invoice.due_on, 0),
            currency=invoice.currency,
            amount=invoice.amount,
            open=invoice.booked_open,
            contested=max(invoice.booked_open - invoice.booked_due, 0),
            promised=followed is not None and bool(followed.promises),
            level=invoice.dunning_level,
        )


def _orders(ledger: Ledger, account_id: str) -> Iterator[OrderLine]:
    start, end = state.order_range(account_id)
    for key, order in ledger.scan(start, end):
        if order.known and order.decision_number:
            yield _line(key[len(start) :], order)


def _line(order_id: str, order: state.Order) -> OrderLine:
    return OrderLine(
        order_id=order_id,
        placed_at=order.placed_at,
        total=order.total,
        currency=order.currency,
        status=order.status,
        decision_number=order.decision_number,
        held_by=order.manual_hold_by or "",
        open=order.booked_open,
    )


def _behaviour(ledger: Ledger, account_id: str, account: state.Account) -> Behaviour | None:
    late = account.days_late
    outcomes: Counter[str] = Counter()
    for _, promise in ledger.scan(*records.promise_range(account_id)):
        if isinstance(promise, Promise):
            outcomes[promise.outcome] += 1
    if not late and not outcomes:
        return None
    return Behaviour(
        paid=len(late),
        median=median(late) if late else 0,
        on_time=sum(days <= 0 for days in late) / len(late) if late else 0,
        worst=max(late, default=0),
        latest=list(late),
        promises=dict(outcomes),
    )
