"""One event on one account: what the rules work on while they handle it.

A `Case` is the account on its day, with its books, the event that is the cause, and the effects so
far.
"""

from __future__ import annotations

from hashlib import blake2b

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.bookkeeping import Books
from agents.credit.effects import AccountTouched, Effect, Standing
from agents.credit.group_books import GroupBooks
from agents.credit.recounting import recount
from schemas.events import BusinessDayStarted, Day, Event, Instant


class Case(Books):
    """The account that an event concerns, and all that follows from the event."""

    __slots__ = ("at", "before", "begun", "cause", "effects", "of_day")

    def __init__(
        self,
        ledger: Ledger,
        policies: PolicyBook,
        account_id: str,
        event: Event,
        today: Day,
        effects: list[Effect],
        group: GroupBooks | None = None,
    ) -> None:
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is None:
            account = state.Account()
        if group is None and account.group_id:
            group = GroupBooks(ledger, policies, account.group_id, event, today)
        super().__init__(ledger, policies, account_id, account, today, group)
        self.at: Instant = event.occurred_at
        self.cause = event.event_id
        self.effects = effects
        self.before = Standing(account.currency, account.shown, account.held_orders)
        self.begun = False
        self.of_day = isinstance(event, BusinessDayStarted)
        """Nothing happened but that another day began."""

    def begin(self) -> None:
        """The event counts for this account; until then it was only looked at."""
        if not self.begun:
            self.begun = True
            account = self.account
            account.sequence += 1
            account.cause_event_id = self.cause
            account.changed_at = self.at
            recount(self)

    def resegment(self) -> None:
        """Go on under the terms of the segment that the account is in now."""
        self.policy = self.policies.at(self.today).of(self.account.segment)
        recount(self)

    # ── effects ─────────────────────────────────────────────────────────────────────────────────

    def next_id(self) -> str:
        """An id for the next outgoing event: the same whenever the same journal is read again."""
        return outgoing_id(self.account_id, self.account.sequence, self.cause, len(self.effects))

    def refuse(self, reason: str, field: str, detail: str) -> None:
        self.effects.append(Refusal(reason=reason, field=field, detail=detail))

    def close(self) -> None:
        """Store the account, and say how it stands now."""
        account = self.account
        account.shown = self.exposure()
        if self.policy.forecast_days and not self.of_day:
            self.look_ahead_on(self.today + 1)
        self.ledger.put(state.account_key(self.account_id), account)
        if self.closed:
            forget_on = self.today + self.policy.remember_days
            key = state.forget_key(forget_on, self.account_id, account.sequence)
            self.ledger.put(key, self.closed)
        after = Standing(account.currency, account.shown, account.held_orders)
        self.effects.append(AccountTouched(self.account_id, self.before, after))


def outgoing_id(account_id: str, sequence: int, cause: str, place: int | str) -> str:
    """The id of an outgoing event: cause, account, the account's count of events, place among its
    effects.

    The sequence keeps ids apart even when a sender uses one event id twice.
    """
    return blake2b(
        f"{account_id}\0{sequence}\0{cause}\0{place}".encode(), digest_size=16
    ).hexdigest()
