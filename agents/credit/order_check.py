"""The order check: may this order ship on credit, and if not, why not.

Laws that the tests hold it to: an approval reserves before anything else is looked at, so no two
approvals share the same headroom; a held order reserves nothing; every reason that applies is
given, in the order of `reasons.PRECEDENCE`; a held order is looked at again whenever something can
have helped, oldest first.
"""

from __future__ import annotations

from fractions import Fraction

from agents.core.policy import SHARE_ONE
from agents.credit import reasons, state
from agents.credit.bookkeeping import Books
from agents.credit.case import Case
from agents.credit.feeds import may_be_paid_already
from agents.credit.group_books import GroupBooks
from agents.credit.lateness import is_overdue
from schemas.events import Minor


class Waiting:
    """What the held orders of an account, or of a group, ask for that were placed before another.

    To be asked about one order after the other, oldest first: then each held order is counted once.
    """

    __slots__ = ("_at", "_books", "_held", "_total")

    def __init__(self, books: Books | GroupBooks) -> None:
        self._books = books
        self._held: list[tuple[str, str]] | None = None
        self._at = 0
        self._total: Minor | Fraction = 0

    def before(self, held_key: str) -> Minor | Fraction:
        """In the currency of the books, exact."""
        books = self._books
        if self._held is None:
            self._held = books.held_orders()
        while self._at < len(self._held) and self._held[self._at][0] < held_key:
            order: state.Order = books.ledger.get(self._held[self._at][1])
            self._total += books.exact(order.booked_held, order.currency)
            self._at += 1
        return self._total


def hold_reasons(
    case: Case,
    order_id: str,
    order: state.Order,
    waiting: Waiting | None = None,
    waiting_in_group: Waiting | None = None,
) -> list[str]:
    """Every reason against what the order asks for now, whether it has the credit or wants it.

    An order that reserves already is judged as if it gave that back first. One whose goods are out
    passes only when all of the exposure fits. Where held orders consume, those placed before it
    come first; not those placed after it, or two that wait would keep each other waiting. Who asks
    about several, oldest first, gives what is waiting in the account and in its group.
    """
    found = standing_reasons(case)
    account = case.account
    if account.known:
        own, group = order.currency == account.currency, case.group
        if not own and not case.is_valued(order.currency):
            _add(reasons.FX_RATE_MISSING, found)
        # A group that nobody has told of has no currency to compare with, nor a limit.
        if group is not None and group.group.known and not group.is_valued(order.currency):
            _add(reasons.FX_RATE_MISSING, found)
        asked = case.asked(order)
        if asked > 0 or order.uncovered:
            change = asked - order.booked_open
            more = change if own else case.exact(change, order.currency)
            more_of_group = 0 if group is None else group.exact(change, order.currency)
            if case.policy.held_orders_consume:
                waiting = Waiting(case) if waiting is None else waiting
                more += waiting.before(state.held_key(case.account_id, order.placed_at, order_id))
                if group is not None:
                    key = state.group_held_key(
                        group.group_id, order.placed_at, case.account_id, order_id
                    )
                    waiting = Waiting(group) if waiting_in_group is None else waiting_in_group
                    more_of_group += waiting.before(key)
            _check_amount(case, more, more_of_group, found)
            if case.policy.strict_fifo and _waits_behind(case, order):
                _add(reasons.CREDIT_LIMIT_EXCEEDED, found)
    return _with_manual_hold(case, order, found)


def delivery_reasons(case: Case, order_id: str, order: state.Order) -> list[str]:
    """Every reason against an order of which goods go out: whether what approved it still holds.

    Older orders keep their room first, so of what is reserved only younger orders make way for it;
    those that are held came to wait for what it has.
    """
    found = standing_reasons(case)
    if case.account.known:
        ceiling = 0 if prepays(case) else case.limit()
        more = _given_up(case, ceiling, order_id, order)
        group = case.group
        more_of_group = 0 if group is None else _given_up(group, group.limit(), order_id, order)
        _check_amount(case, more, more_of_group, found)
    return _with_manual_hold(case, order, found)


def standing_reasons(case: Case) -> list[str]:
    """The reasons that lie in the account and its day, whatever the order."""
    account = case.account
    if not account.known:
        return [reasons.CUSTOMER_UNKNOWN]
    found: list[str] = []
    if account.blocked or account.closed:
        found.append(reasons.CUSTOMER_BLOCKED)
    if not prepays(case):
        if not account.unlimited:
            if case.limit() is None:
                found.append(reasons.LIMIT_MISSING)
            elif case.limit_expired():
                found.append(reasons.LIMIT_EXPIRED)
        if case.group is not None and case.group.limit() is None:
            _add(reasons.LIMIT_MISSING, found)
    if case.policy.overdue_above_utilisation is None and is_overdue(case):
        found.append(reasons.OVERDUE)
    if account.dunning_blocks or (account.dunned and is_dunned(case)):
        found.append(reasons.DUNNING_BLOCK)
    if account.insured_limit is not None and is_cover_stopped(case):
        found.append(reasons.INSURANCE_COVER_STOPPED)
    if (account.foreign and case.has_unvalued_currency()) or (
        case.group is not None and case.group.has_unvalued_currency()
    ):
        found.append(reasons.FX_RATE_MISSING)
    return found


def prepays(case: Case) -> bool:
    """Whether orders of the account wait for their money."""
    policy, account = case.policy, case.account
    return (
        account.prepays
        or policy.prepayment
        or (policy.prepayment_after_write_off and account.written_off > 0)
    )


def is_dunned(case: Case) -> bool:
    """Whether an open invoice has reached the dunning level from which the policy blocks."""
    level = case.policy.block_from_level
    return level is not None and any(reached >= level for reached in case.account.dunned)


def is_cover_stopped(case: Case) -> bool:
    """Whether an unpaid invoice is past the insurer's maximum extension, counted from its original
    due day.
    """
    extension = case.policy.max_extension_days
    if extension is None:
        return False
    oldest = case.oldest_original_due()
    return oldest is not None and case.today - oldest > extension


def _check_amount(
    case: Case, more: Minor | Fraction, more_of_group: Minor | Fraction, found: list[str]
) -> None:
    """Add the reasons that hang on what the account, and its group, would owe with so much more."""
    policy = case.policy
    after = case.exact_exposure() + more
    limit = case.limit()
    share = policy.overdue_above_utilisation
    if (
        share is not None
        and is_overdue(case)
        and (limit is None or after * SHARE_ONE > share * limit)
    ):
        found.append(reasons.OVERDUE)
    if prepays(case):
        if after > 0:
            found.append(reasons.PREPAYMENT_REQUIRED)
    elif limit is not None and after > limit:
        found.append(reasons.CREDIT_LIMIT_EXCEEDED)
        if policy.payments_feed_minutes is not None and may_be_paid_already(case, after - limit):
            found.append(reasons.STALE_DATA)
    group = case.group
    if group is None or (group_limit := group.limit()) is None:
        return
    if group.exact_exposure() + more_of_group > group_limit:
        found.append(reasons.GROUP_LIMIT_EXCEEDED)


def _given_up(
    books: Books | GroupBooks, ceiling: Minor | None, order_id: str, order: state.Order
) -> Minor | Fraction:
    """What younger orders would give up of their reservations, below zero, as far as is needed to
    bring the books down to the ceiling.
    """
    over = 0 if ceiling is None else books.exact_exposure() - ceiling
    return -books.reserved_after(order_id, order, over) if over > 0 else 0


def _waits_behind(case: Case, order: state.Order) -> bool:
    """Whether an older order waits, other than for a person."""
    start, end = case.held_range()
    own_key = state.held_key(case.account_id, order.placed_at, "")
    for key, _ in case.ledger.scan(start, min(end, own_key)):
        older: state.Order = case.ledger.get(state.order_key(case.account_id, state.last_part(key)))
        if not older.is_held_by_person(case.today):
            return True
    return False


def _with_manual_hold(case: Case, order: state.Order, found: list[str]) -> list[str]:
    """The reasons in their order, with the hold that a person put on the order."""
    if order.is_held_by_person(case.today):
        found.append(reasons.MANUAL_HOLD)
    if len(found) > 1:
        found.sort(key=reasons.PRECEDENCE.index)
    return found


def _add(reason: str, found: list[str]) -> None:
    if reason not in found:
        found.append(reason)
