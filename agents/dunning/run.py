"""The dunning run of a business day: every account that is on the agenda has its turn.

Tens of thousands of accounts may be on it, and orders come meanwhile. So a partition takes a few at
a time; then it writes `DunningRunContinued` behind what has come in, and goes on when it comes to
that. What is decided for an account depends on the account and the day only, so the result is the
same as if all had had their turn at once: who gets an event of their own before their turn has it
first, and the run of a day ends before the next day begins.
"""

from __future__ import annotations

from itertools import islice

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import parking, state
from agents.credit.case import Case
from agents.credit.effects import Continuation, Effect
from agents.dunning import records
from agents.dunning.look import look
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import BusinessDayStarted, Day, DunningRunContinued, Event

ACCOUNTS_PER_PIECE = 25


def start_day(
    ledger: Ledger, event: BusinessDayStarted, policies: PolicyBook, effects: list[Effect]
) -> None:
    """Begin the run of the day. At the first one ever all accounts are looked at: they may have
    been here before anybody was dunned.
    """
    if policies.dunning is None:
        return
    if ledger.get(records.RUN) is None:
        for account_id in state.accounts(ledger):
            account: state.Account | None = ledger.get(state.account_key(account_id))
            if account is not None and not account.dun_on:
                account.dun_on = event.date
                ledger.put(state.account_key(account_id), account)
                ledger.put(records.agenda_key(event.date, account_id), True)
    ledger.put(records.RUN, records.Run(event.date))
    _go_on(ledger, event, event.date, policies, effects)


def go_on(
    ledger: Ledger, event: DunningRunContinued, policies: PolicyBook, effects: list[Effect]
) -> None:
    """The next accounts have their turn; nothing, when another day has begun since."""
    run: records.Run | None = ledger.get(records.RUN)
    if policies.dunning is not None and run is not None and run.day == event.date:
        _go_on(ledger, event, event.date, policies, effects)


def continued(continuation: Continuation) -> DunningRunContinued:
    """The event with which the run goes on; the same whenever the same journal is read again."""
    return DunningRunContinued(
        event_id=f"dunning-{format_day(continuation.day)}-{continuation.number}",
        occurred_at=continuation.day * MICROSECONDS_PER_DAY,
        date=continuation.day,
        number=continuation.number,
    )


def finish(ledger: Ledger, event: Event, policies: PolicyBook, effects: list[Effect]) -> None:
    """All that is left of the run of the day that ends."""
    run: records.Run | None = ledger.get(records.RUN)
    if policies.dunning is None or run is None:
        return
    for key, _ in list(ledger.scan(*records.agenda_until(run.day))):
        ledger.delete(key)
        _look_at(ledger, records.account_in(key), event, run.day, policies, effects)


def catch_up(
    ledger: Ledger, account_id: str, event: Event, policies: PolicyBook, effects: list[Effect]
) -> None:
    """The account has its turn now, if it is still to come today."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None or not account.dun_on or policies.dunning is None:
        return
    run: records.Run | None = ledger.get(records.RUN)
    if run is not None and account.dun_on <= run.day:
        ledger.delete(records.agenda_key(account.dun_on, account_id))
        _look_at(ledger, account_id, event, run.day, policies, effects)


def _go_on(
    ledger: Ledger, event: Event, day: Day, policies: PolicyBook, effects: list[Effect]
) -> None:
    found = list(islice(ledger.scan(*records.agenda_until(day)), ACCOUNTS_PER_PIECE + 1))
    for key, _ in found[:ACCOUNTS_PER_PIECE]:
        ledger.delete(key)
        _look_at(ledger, records.account_in(key), event, day, policies, effects)
    if len(found) > ACCOUNTS_PER_PIECE:
        run: records.Run = ledger.get(records.RUN)
        run.pieces += 1
        ledger.put(records.RUN, run)
        effects.append(Continuation(day, run.pieces))


def _look_at(
    ledger: Ledger,
    account_id: str,
    event: Event,
    day: Day,
    policies: PolicyBook,
    effects: list[Effect],
) -> None:
    """Have one account its turn. One that has moved, or stands still, has none here."""
    account: state.Account | None = ledger.get(state.account_key(account_id))
    if account is None or account.parked:
        return
    own_effects: list[Effect] = []
    try:
        case = Case(ledger, policies, account_id, event, day, own_effects)
        account.dun_on = 0
        look(case)
        ledger.put(state.account_key(account_id), account)
    except Exception as error:
        raise parking.AccountFailedError(account_id, event, error) from error
    effects.extend(own_effects)
