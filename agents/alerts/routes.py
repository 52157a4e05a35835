"""Who is told of what: recipients, and routes that lead to them. Pure.

every route whose conditions an alert meets leads to its recipients, and later to those of its
escalations; a recipient to whom several lead is told once, the soonest way
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from agents.alerts.alert import Alert, Customer
from agents.alerts.timing import AT_ONCE, Digest, Quiet
from schemas.events import Instant

ACCOUNT_MANAGER = "account manager"
"""As a recipient: whoever looks after the customer."""
_MINUTE = 60_000_000


class Recipient(msgspec.Struct, frozen=True):
    """Somebody, or something, that can be told.

    Attributes:
        channel: `email`, `webhook` or `chat`.
        address: a mail address, or a URL.
        zone: by whose clock digests and quiet hours are counted.
        secrets: sign what a webhook gets, the newest first.
        is_manager: names of an account manager that mean this recipient.
    """

    name: str
    channel: str
    address: str
    language: str = "en"
    zone: str = "UTC"
    digest: Digest = AT_ONCE
    quiet: Quiet | None = None
    secrets: tuple[bytes, ...] = ()
    is_manager: tuple[str, ...] = ()


class Escalation(msgspec.Struct, frozen=True):
    """Who is told when nobody has acknowledged for so many minutes."""

    after_minutes: int
    to: tuple[str, ...]


class Route(msgspec.Struct, frozen=True):
    """Conditions, all of which have to hold, an empty one always does; and where it leads.

    Attributes:
        amount_from, amount_to: bounds of the alert's amount, both included.
        without_manager: instead of the account manager where the customer has none that is known.
        urgent: quiet hours and digests do not count.
        digest: instead of the recipient's own.
    """

    name: str
    to: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    account_managers: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None
    without_manager: tuple[str, ...] = ()
    urgent: bool = False
    digest: Digest | None = None
    escalate: tuple[Escalation, ...] = ()

    def matches(self, alert: Alert, customer: Customer) -> bool:
        said = alert.said
        manager = customer.account_manager.lower()
        return (
            (not self.kinds or alert.kind in self.kinds)
            and (not self.thresholds or said.get("threshold") in self.thresholds)
            and (not self.directions or said.get("direction") in self.directions)
            and (not self.reasons or not set(self.reasons).isdisjoint(said.get("reasons", ())))
            and (not self.signals or (alert.kind == "risk_signal" and said["kind"] in self.signals))
            and (not self.severities or said.get("severity") in self.severities)
            and (not self.segments or customer.segment in self.segments)
            and (not self.account_managers or manager in map(str.lower, self.account_managers))
            and (not self.currencies or alert.currency in self.currencies)
            and self._has_amount(alert.amount)
        )

    def _has_amount(self, amount: Decimal | None) -> bool:
        if self.amount_from is None and self.amount_to is None:
            return True
        return (
            amount is not None
            and (self.amount_from is None or amount >= self.amount_from)
            and (self.amount_to is None or amount <= self.amount_to)
        )


class Told(NamedTuple):
    """A recipient who is to be told. Sorts by how soon."""

    not_before: Instant
    level: int
    at_ones_leisure: bool
    recipient: str
    route: str
    digest: Digest


class Routes(msgspec.Struct, frozen=True):
    """The whole file."""

    recipients: dict[str, Recipient]
    routes: tuple[Route, ...]

    @property
    def escalates(self) -> bool:
        """Whether anybody waits for an acknowledgement."""
        return any(route.escalate for route in self.routes)

    def told(self, alert: Alert, customer: Customer) -> list[Told]:
        """Who is to be told, each once."""
        found: dict[str, Told] = {}
        for route in self.routes:
            if route.matches(alert, customer):
                for one in self._told_by(route, alert, customer):
                    before = found.get(one.recipient)
                    if before is None or one[:3] < before[:3]:
                        found[one.recipient] = one
        return list(found.values())

    def _told_by(self, route: Route, alert: Alert, customer: Customer) -> Iterator[Told]:
        steps = (Escalation(0, route.to), *route.escalate)
        for level, step in enumerate(steps):
            for name in dict.fromkeys(self._named(step.to, route, customer)):
                digest = self.recipients[name].digest if route.digest is None else route.digest
                yield Told(
                    alert.at + step.after_minutes * _MINUTE,
                    level,
                    not route.urgent,
                    name,
                    route.name,
                    AT_ONCE if route.urgent or level else digest,
                )

    def _named(self, to: tuple[str, ...], route: Route, customer: Customer) -> Iterator[str]:
        for name in to:
            if name == ACCOUNT_MANAGER:
                yield from self._manager(customer) or route.without_manager
            else:
                yield name

    def _manager(self, customer: Customer) -> tuple[str, ...]:
        wanted = customer.account_manager.lower()
        for one in self.recipients.values():
            names = (one.name, one.address, *one.is_manager)
            if wanted and one.channel != "webhook" and wanted in map(str.lower, names):
                return (one.name,)
        return ()
