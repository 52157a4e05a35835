"""The run of a business day: every account for which the day changes something has its turn.

In its turn an account follows the day in its books (what becomes overdue, limits that end, orders
to look at again, promises, early warnings), and dunning looks at it. Tens of thousands of accounts
may have one, and orders come meanwhile. So a partition takes a few at a time; then it writes
`BusinessDayContinued` behind what has come in, and goes on when it comes to that. What follows for
an account depends on the account and the day only, so the result is the same as if all had had
their turn at once: who gets an event of their own before their turn has it first, and the run of a
day ends before the next day begins.

What one account's turn means for others is not left to the run: members of credit groups follow the
day when it begins, since each counts in the room of all, and so does what hangs on rates.
"""

from __future__ import annotations

from itertools import chain, islice

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import parking, state, valuation
from agents.credit.case import Case
from agents.credit.effects import Continuation, Effect
from agents.credit.looks import look_at, look_at_group, look_at_valued
from agents.dunning import records as dunning
from agents.dunning.look import look
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import BusinessDayContinued, BusinessDayStarted, Day

ACCOUNTS_PER_PIECE = 6
"""What an order waits for at most, in each partition, is one piece: a millisecond or two."""


def start(
    ledger: Ledger, event: BusinessDayStarted, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Begin a day. An earlier one is ignored."""
    before: Day | None = ledger.get(state.BUSINESS_DAY)
    if before is not None and event.date <= before:
        return
    _finish(ledger, policies, effects)
    last: state.DayRun | None = ledger.get(state.DAY_RUN)
    ledger.put(state.BUSINESS_DAY, event.date)
    run = state.DayRun(
        day=event.date,
        since=event.date if before is None else before + 1,
        done=False,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        dunned=policies.dunning is not None,
    )
    ledger.put(state.DAY_RUN, run)
    groups: list[str] = []
    if before is None:  # whatever was to be looked at before there were days
        due = [state.agenda_until(event.date), state.members_agenda_until(event.date)]
    else:
        if policies.changes_within(before, event.date):
            groups = _wake_all(ledger, event.date)
        due = [state.members_agenda_until(event.date)]
    seen = _look_at_due(ledger, due, event, policies, effects)
    for group_id in groups:
        look_at_group(ledger, group_id, event, policies, effects)
    if before is not None:
        base = policies.at(event.date).base
        moved = valuation.pairs_moving(ledger, base, before, event.date)
        look_at_valued(ledger, moved, seen, event, policies, effects)
    _forget(ledger, event.date, policies.at(event.date).base.remember_days)
    if run.dunned and (last is None or not last.dunned):
        _wake_for_dunning(ledger, event.date)
    _go_on(ledger, run, policies, effects)


def go_on(
    ledger: Ledger, event: BusinessDayContinued, policies: PolicyBook, effects: list[Effect]
) -> None:
    """The next accounts have their turn; nothing, when another day has begun since."""
    run: state.DayRun | None = ledger.get(state.DAY_RUN)
    if run is not None and run.day == event.date and not run.done:
        _go_on(ledger, run, policies, effects)


def continued(continuation: Continuation) -> BusinessDayContinued:
    """The event with which the run goes on; the same whenever the same journal is read again."""
    return BusinessDayContinued(
        event_id=f"day-{format_day(continuation.day)}-{continuation.number}",
        occurred_at=continuation.day * MICROSECONDS_PER_DAY,
        date=continuation.day,
        number=continuation.number,
    )


def catch_up(ledger: Ledger, account_id: str, policies: PolicyBook, effects: list[Effect]) -> None:
    """The account has its turn now, if it is still to come today."""
    run: state.DayRun | None = ledger.get(state.DAY_RUN)
    if run is None or run.done:
        return
    due = _entries(ledger, account_id, run)
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if due or (account is not None and 0 < account.dun_on <= run.day):
        _take_turn(ledger, account_id, due, run, policies, effects)


# ── inside ──────────────────────────────────────────────────────────────────────────────────────


def _go_on(ledger: Ledger, run: state.DayRun, policies: PolicyBook, effects: list[Effect]) -> None:
    woken = list(islice(_waiting(ledger, run), ACCOUNTS_PER_PIECE + 1))
    _follow_all(ledger, woken[:ACCOUNTS_PER_PIECE], run, policies, effects)
    if len(woken) > ACCOUNTS_PER_PIECE:
        run.pieces += 1
        effects.append(Continuation(run.day, run.pieces))
    else:
        run.done = True
    ledger.put(state.DAY_RUN, run)


def _waiting(ledger: Ledger, run: state.DayRun) -> chain[str]:
    """The entries of the agendas that are still to be followed today."""
    agendas = [state.agenda_until(run.day)]
    if run.dunned:
        agendas.append(dunning.agenda_until(run.day))
    return chain.from_iterable((key for key, _ in ledger.scan(*agenda)) for agenda in agendas)


def _finish(ledger: Ledger, policies: PolicyBook, effects: list[Effect]) -> None:
    """All turns that are left of the day that ends."""
    run: state.DayRun | None = ledger.get(state.DAY_RUN)
    if run is None:
        return
    _follow_all(ledger, list(_waiting(ledger, run)), run, policies, effects)


def _entries(ledger: Ledger, account_id: str, run: state.DayRun) -> list[str]:
    """Those of the account on the agenda of its books, for the days that the run makes up for."""
    return [
        key
        for day in range(run.since, run.day + 1)
        if ledger.get(key := state.agenda_key(day, account_id)) is not None
    ]


def _follow_all(
    ledger: Ledger, keys: list[str], run: state.DayRun, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Have the accounts of these entries their turn, each once however many entries it has."""
    for key in keys:
        if ledger.get(key) is not None:
            account_id = state.woken_account(key)
            due = list(dict.fromkeys([key, *_entries(ledger, account_id, run)]))
            _take_turn(ledger, account_id, due, run, policies, effects)


def _take_turn(
    ledger: Ledger,
    account_id: str,
    due: list[str],
    run: state.DayRun,
    policies: PolicyBook,
    effects: list[Effect],
) -> None:
    """Have an account follow the day: `due` are its entries of the agendas. One that has moved, or
    stands still, has no turn here.
    """
    begun = BusinessDayStarted(event_id=run.event_id, occurred_at=run.occurred_at, date=run.day)
    for key in due:
        ledger.delete(key)
    if any(key.startswith(state.AGENDA) for key in due):
        look_at(ledger, account_id, begun, policies, effects)
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None or account.parked or not 0 < account.dun_on <= run.day or not run.dunned:
        return
    ledger.delete(dunning.agenda_key(account.dun_on, account_id))
    own_effects: list[Effect] = []
    try:
        case = Case(ledger, policies, account_id, begun, run.day, own_effects)
        account.dun_on = 0
        look(case)
        ledger.put(state.account_key(account_id), account)
    except Exception as error:
        raise parking.AccountFailedError(account_id, begun, error) from error
    effects.extend(own_effects)


def _look_at_due(
    ledger: Ledger,
    agendas: list[tuple[str, str]],
    event: BusinessDayStarted,
    policies: PolicyBook,
    effects: list[Effect],
) -> dict[str, None]:
    """Have all that are on these agendas follow the day now; who they are."""
    due = [key for agenda in agendas for key, _ in ledger.scan(*agenda)]
    for key in due:
        ledger.delete(key)
    woken = dict.fromkeys(state.woken_account(key) for key in due)
    for account_id in woken:
        look_at(ledger, account_id, event, policies, effects)
    return woken


def _wake_all(ledger: Ledger, day: Day) -> list[str]:
    """Another policy holds from today on: every account is to follow it. The groups are returned,
    which have to as well.
    """
    groups = []
    for account_id in state.accounts(ledger):
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is not None:
            ledger.put(state.agenda_key(day, account_id, member=bool(account.group_id)), True)
        if ledger.get(state.group_key(account_id)) is not None:
            groups.append(account_id)
    return groups


def _wake_for_dunning(ledger: Ledger, day: Day) -> None:
    """Nobody was dunned before: accounts may have been here for long."""
    for account_id in state.accounts(ledger):
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is not None and not account.dun_on:
            account.dun_on = day
            ledger.put(state.account_key(account_id), account)
            ledger.put(dunning.agenda_key(day, account_id), True)


def _forget(ledger: Ledger, today: Day, remember_days: int) -> None:
    """Drop documents that closed long enough ago; one that was opened again since stays, and one
    that the policy by now remembers for longer has its turn later.
    """
    for key, document_keys in list(ledger.scan(*state.forget_until(today))):
        ledger.delete(key)
        for document_key in document_keys:
            document = ledger.get(document_key)
            if document is None or document.closed_on is None:
                continue
            forget_on = document.closed_on + remember_days
            if forget_on <= today:
                ledger.delete(document_key)
                if isinstance(document, state.Invoice):
                    ledger.delete(state.followed_key_of(document_key))
            else:
                later = state.forgotten_later(key, forget_on)
                ledger.put(later, [*(ledger.get(later) or []), document_key])
