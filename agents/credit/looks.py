"""Looks at accounts and groups that follow events which are not their own: a new day, a rate."""

from __future__ import annotations

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import parking, state
from agents.credit.account_day import AccountDay
from agents.credit.case import Case
from agents.credit.effects import Effect
from agents.credit.forecast import warn_of_breach
from agents.credit.group_books import GroupBooks
from agents.credit.order_decisions import look_again
from agents.credit.settlement import settle, settle_group
from agents.credit.today import today_of
from agents.dunning import promises
from schemas.events import BusinessDayStarted, Event


def look_at(
    ledger: Ledger,
    account_id: str,
    event: Event,
    policies: PolicyBook,
    effects: list[Effect],
    *,
    rebuild_agenda: bool = False,
) -> None:
    """Have an account follow an event that is not its own."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None or account.parked:
        return  # it has moved, or stands still
    own_effects: list[Effect] = []
    try:
        case = Case(ledger, policies, account_id, event, today_of(ledger, event), own_effects)
        case.begin()
        case.age()
        if rebuild_agenda:
            case.rebuild_agenda()
        for order_id in case.orders_to_look_at():
            look_again(case, order_id)
        if isinstance(event, BusinessDayStarted):
            promises.follow_day(case)
            warn_of_breach(case)
        settle(case)
    except Exception as error:
        raise parking.AccountFailedError(account_id, event, error) from error
    effects.extend(own_effects)


def look_at_group(
    ledger: Ledger, group_id: str, event: Event, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Have a group follow an event that is not its own."""
    own_effects: list[Effect] = []
    group = GroupBooks(ledger, policies, group_id, event, today_of(ledger, event))
    group.room_changed = True
    settle_group(group, own_effects)
    effects.extend(own_effects)


def look_at_valued(
    ledger: Ledger,
    pairs: list[tuple[str, str]],
    seen: dict[str, None],
    event: Event,
    policies: PolicyBook,
    effects: list[Effect],
) -> None:
    """Look at the accounts that rates of these pairs may have moved, other than those seen
    already.
    """
    currencies = sorted({currency for pair in pairs for currency in pair})
    hang_on_them = dict.fromkeys(
        state.last_part(key)
        for currency in currencies
        for key, _ in ledger.scan(*state.valued_range(currency))
    )
    today = today_of(ledger, event)
    for account_id in hang_on_them:
        if account_id in seen:
            continue
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is None or account.parked:
            continue  # it has moved, or stands still
        shown = AccountDay(ledger, policies, account_id, account, today)
        moved = shown.exposure() != account.shown or shown.limit_hangs_on_rates()
        if moved or account.held_orders:
            look_at(ledger, account_id, event, policies, effects)
    for group_id in dict.fromkeys(
        state.last_part(key)
        for currency in currencies
        for key, _ in ledger.scan(*state.valued_group_range(currency))
    ):
        look_at_group(ledger, group_id, event, policies, effects)
