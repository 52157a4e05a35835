"""What to do when the rules fail on a record: take back what they began, come to it again, and park
the account first.

The rules change live objects, so after a failure the ledger is between two events. Whoever holds it
goes back to where it was written last and reads the same records again; the second time the account
is parked before the record is applied. The rules are deterministic, so that another worker, or a
replay by the same release, comes to the same.
"""

from __future__ import annotations

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit.effects import Effect, Sent
from agents.credit.parking import AccountFailedError, park
from agents.credit.rules import reduce
from schemas.events import Event, ParkedAccountRetried
from streams.errors import HeadroomError

Place = tuple[int, int]
"""Partition and offset in the journal."""


class FailedAgainError(HeadroomError):
    """An event failed on an account that stands still: no fault of one account."""

    loggable = False


class Failures:
    """Which accounts have failed at which records. It outlives the ledger that is thrown away."""

    def __init__(self) -> None:
        self._failed: dict[Place, dict[str, str]] = {}

    def reduce(
        self, place: Place, ledger: Ledger, event: Event, policies: PolicyBook, sent: Sent
    ) -> list[Effect]:
        """Fold the event into the ledger as `rules.reduce` does, what has failed on it parked.

        Raises:
            AccountFailedError: take the ledger back to before this record and come again.
            FailedAgainError: that does not help.
        """
        failed = self._failed.get(place, {}) if self._failed else {}
        for account_id, because in failed.items():
            park(ledger, account_id, because)
        if isinstance(event, ParkedAccountRetried) and event.customer_id in failed:
            return []  # what waits has failed again, so it goes on waiting
        try:
            return reduce(ledger, event, policies, sent)
        except AccountFailedError as error:
            if error.account_id in failed:
                raise FailedAgainError(f"{error}, though the account is parked") from error
            self._failed.setdefault(place, {})[error.account_id] = str(error)
            raise
