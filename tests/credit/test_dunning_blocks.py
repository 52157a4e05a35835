"""How many open invoices have reached a dunning level that holds orders."""

from __future__ import annotations

from credit.journals import CUSTOMER, Journal
from credit.office import Office
from credit.policy_worlds import policy

from agents.credit import state
from agents.credit.obstacles import look_at
from schemas import events as ev


def test_each_open_invoice_that_blocks_counts_once_until_it_is_paid() -> None:
    history = Journal()
    history.customer(1_000)
    history.invoice("I-1", 1)
    history.invoice("I-2", 50)
    office = Office(policy())
    office.run(history)

    def blocking(invoice_id: str, *, blocks: bool) -> int:
        case = look_at(office.ledger, office.policies, CUSTOMER, history.today)
        invoice = office.ledger.get(state.invoice_key(CUSTOMER, invoice_id))
        invoice.dunning_blocks = blocks
        case.rebook_invoice(invoice_id, invoice)
        office.ledger.put(state.account_key(CUSTOMER), case.account)
        return case.account.dunning_blocks

    assert blocking("I-1", blocks=True) == 1
    assert blocking("I-1", blocks=True) == 1
    assert blocking("I-2", blocks=True) == 2
    assert blocking("I-2", blocks=False) == 1
    assert blocking("I-2", blocks=True) == 2
    history.say(
        ev.PaymentReceived, payment_id="P-1", amount=50, currency="EUR", value_on=history.today,
        allocations=[ev.Allocation(invoice_id="I-2", amount=50)],
    )  # fmt: skip
    office.apply(history[-1])
    assert office.ledger.get(state.account_key(CUSTOMER)).dunning_blocks == 1
