"""An account on a day: what it may owe, under the terms of its segment."""

from __future__ import annotations

from agents.core.ledger import Ledger
from agents.core.policy import SHARE_ONE, PolicyBook
from agents.credit import state
from agents.credit.holdings import Holdings
from schemas.events import Day, Minor


class AccountDay(Holdings):
    """One account as it stands on one day, under the policy of that day and its segment."""

    __slots__ = ("account", "account_id", "policies")

    def __init__(
        self,
        ledger: Ledger,
        policies: PolicyBook,
        account_id: str,
        account: state.Account,
        today: Day,
    ) -> None:
        super().__init__(ledger, account, policies.at(today).of(account.segment), today)
        self.policies = policies
        self.account_id = account_id
        self.account = account

    def limit(self) -> Minor | None:
        """The effective limit; None when there is none to compare with (missing or unlimited)."""
        account = self.account
        if account.unlimited:
            return None
        given = account.limit
        if given is None or account.temporary_until is not None:
            given = self._given_limit()
        if given is None or account.insured_limit is None or not self.policy.cap_by_insurance:
            return given
        cover = account.insured_limit * (SHARE_ONE + self.policy.own_risk_margin) // SHARE_ONE
        return min(given, cover)

    def limit_expired(self) -> bool:
        account = self.account
        return (
            account.limit_valid_until is not None
            and self.today > account.limit_valid_until
            and not account.has_temporary_limit(self.today)
        )

    def limit_hangs_on_rates(self) -> bool:
        """Whether the limit is an amount of the policy in another currency."""
        account, named = self.account, self.policy.currency
        return (
            self.policy.default_limit is not None
            and named not in (None, account.currency)
            and account.limit is None
        )

    def _given_limit(self) -> Minor | None:
        account = self.account
        if account.has_temporary_limit(self.today):
            return account.temporary_limit
        if account.limit is not None:
            return account.limit
        default = self.policy.default_limit
        return None if default is None else self.policy_amount(default)
