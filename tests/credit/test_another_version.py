"""What happens to what is open when another version of the policy comes into force."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from agents.core.ledger import MemoryLedger
from agents.core.policy_text import parse_policy
from agents.credit import state
from agents.credit.rules import reduce
from agents.simulate import business_day
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, parse_day
from schemas.events import CreditLimitAlert, Event

_START = parse_day("2026-01-01")
_SHIPPED = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")


class _Account:
    """A customer with a limit of 1,000 under a policy that changes on a day."""

    def __init__(self, changed_on: str, change: str) -> None:
        self._policies = parse_policy(
            f'[[versions]]\nversion = "later"\nvalid_from = {changed_on}\n{change}', _SHIPPED
        )
        self.ledger = MemoryLedger()
        self._today = _START
        self.alerts: list[tuple[str, str]] = []
        self._reduce(business_day(_START))
        self.say(ev.CustomerUpserted, currency="EUR", credit_limit=1_000)

    def _reduce(self, event: Event) -> None:
        self.alerts += [
            (effect.threshold, effect.direction)
            for effect in reduce(self.ledger, event, self._policies)
            if isinstance(effect, CreditLimitAlert)
        ]

    def say(self, kind: Any, **fields: Any) -> None:
        at = self._today * MICROSECONDS_PER_DAY
        self._reduce(kind(event_id="e", occurred_at=at, customer_id="C-1", **fields))

    def days_to(self, day: str) -> None:
        for started in range(self._today + 1, parse_day(day) + 1):
            self._today = started
            self._reduce(business_day(started))

    def invoice(self, amount: int) -> None:
        self.say(
            ev.InvoiceIssued,
            invoice_id="I-1",
            amount=amount,
            currency="EUR",
            issued_on=_START,
            due_on=_START + 3_000,
        )


def test_an_alert_of_a_threshold_that_is_gone_is_cleared_when_it_goes() -> None:
    account = _Account("2026-02-01", '[versions.alerts]\nthresholds = ["0.85", "1.00"]\n')
    account.invoice(950)
    account.days_to("2026-01-31")
    assert account.alerts == [("0.80", "raised"), ("0.90", "raised")]
    account.days_to("2026-02-01")
    assert account.alerts[2:] == [("0.90", "cleared"), ("0.80", "cleared"), ("0.85", "raised")]
    account.days_to("2026-03-01")
    assert len(account.alerts) == 5


def test_a_closed_document_is_remembered_for_as_long_as_the_policy_says_by_then() -> None:
    account = _Account("2026-06-01", "[versions.documents]\nremember_days = 500\n")
    account.invoice(100)
    account.say(ev.InvoiceCancelled, invoice_id="I-1")
    key = state.invoice_key("C-1", "I-1")
    account.days_to("2027-05-15")
    assert account.ledger.get(key) is not None
    account.days_to("2027-05-16")  # day 500
    assert account.ledger.get(key) is None
    assert list(account.ledger.scan(*state.forget_until(10**6))) == []


def test_a_policy_that_remembers_for_a_shorter_time_takes_its_turn_as_it_was_planned() -> None:
    account = _Account("2026-06-01", "[versions.documents]\nremember_days = 10\n")
    account.invoice(100)
    account.say(ev.InvoiceCancelled, invoice_id="I-1")
    account.days_to("2027-02-05")  # day 400
    assert account.ledger.get(state.invoice_key("C-1", "I-1")) is None
