"""What every event ends with: held orders get another chance, alerts compare, the books are closed.

In a group one member's payment is another's headroom. So when a group's room grows, the held orders
of all its members are looked at, oldest first, whoever's event it was.
"""

from __future__ import annotations

from agents.credit import state
from agents.credit.alerts import raise_and_clear_alerts, raise_and_clear_group_alerts
from agents.credit.case import Case
from agents.credit.effects import Effect, GroupTouched
from agents.credit.group_books import GroupBooks
from agents.credit.order_check import Waiting, hold_reasons
from agents.credit.order_decisions import recheck_held_orders, release_held


def settle(case: Case) -> None:
    """End an event of one account, and with it what follows for its group."""
    if case.group is None:
        recheck_held_orders(case)
        raise_and_clear_alerts(case)
        case.close()
    else:
        settle_group(case.group, case.effects, case)


def settle_group(group: GroupBooks, effects: list[Effect], own: Case | None = None) -> None:
    """End an event of a group, or of the member whose case is `own`."""
    group.begin()
    if group.group.joined:
        group.room_changed, group.group.joined = True, False
    cases = {} if own is None else {own.account_id: own}
    if group.may_have_grown():
        _recheck_members(group, effects, cases)
    elif own is not None:
        recheck_held_orders(own)
    for case in cases.values():
        if case.begun:
            raise_and_clear_alerts(case)
            case.close()
    raise_and_clear_group_alerts(group, effects)
    close_group(group, effects)


def close_group(group: GroupBooks, effects: list[Effect]) -> None:
    """Store the group, and say that its figures may be others now."""
    group.group.shown = group.exposure()
    group.ledger.put(state.group_key(group.group_id), group.group)
    effects.append(GroupTouched(group.group_id))


def _recheck_members(group: GroupBooks, effects: list[Effect], cases: dict[str, Case]) -> None:
    """Release, oldest first, every held order of a member that now passes."""
    waiting_in_group, waiting = Waiting(group), dict[str, Waiting]()
    who_waits = set[str]()
    for key, _ in list(group.ledger.scan(*group.held_range())):
        order_id, customer_id = state.order_and_customer(key)
        case = cases.get(customer_id)
        if case is None:
            case = cases[customer_id] = Case(
                group.ledger, group.policies, customer_id, group.event, group.today, effects, group
            )
            case.refresh()
        order: state.Order = group.ledger.get(state.order_key(customer_id, order_id))
        if not who_waits:
            group.group.held_from = state.held_place(order.placed_at, order_id, customer_id)
        own = waiting.setdefault(customer_id, Waiting(case))
        if case.account.parked or hold_reasons(case, order_id, order, own, waiting_in_group):
            who_waits.add(customer_id)
        else:
            case.begin()
            if customer_id not in who_waits:
                case.account.held_from = state.held_place(order.placed_at, order_id)
            release_held(case, order_id, order)
