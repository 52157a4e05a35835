"""Terms that begin to hold count every document anew, each in its place."""

from __future__ import annotations

from importlib.resources import files

from credit.journals import CUSTOMER, DAY, Journal

from agents.core.ledger import MemoryLedger
from agents.core.policy_text import parse_policy
from agents.credit import state
from agents.credit.rules import figures, reduce
from schemas.dates import format_day


def test_documents_stand_where_they_stood_with_what_they_count_for_now() -> None:
    shipped = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")
    later = f'[[versions]]\nversion = "later"\nvalid_from = {format_day(DAY + 1)}\n'
    policy = parse_policy(later + '[versions.credit]\namounts = "net"\n', shipped)
    ledger = MemoryLedger()
    journal = Journal()
    journal.customer(10_000)
    journal.order("O-1", 121, net_amount=100)
    journal.invoice("I-1", 242, net_amount=200)
    for event in journal:
        reduce(ledger, event, policy)
    before = [key for key, _ in ledger.scan(*state.account_range(CUSTOMER))]
    assert figures(ledger, CUSTOMER, policy).exposure == 363
    journal.wait()
    reduce(ledger, journal[-1], policy)
    assert [key for key, _ in ledger.scan(*state.account_range(CUSTOMER))] == before
    assert figures(ledger, CUSTOMER, policy).exposure == 300
