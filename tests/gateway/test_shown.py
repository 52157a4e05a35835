"""What a gateway shows of a customer."""

from __future__ import annotations

from typing import Any

from credit.office import Office

from agents.gateway.shown import customer_shown
from agents.policy_file import load_policy
from schemas.events import CustomerUpserted


def _customer(at: int, **more: Any) -> CustomerUpserted:
    return CustomerUpserted(
        event_id=f"e-{at}",
        occurred_at=at,
        customer_id="C-1",
        currency="EUR",
        credit_limit=100_000,
        **more,
    )


def test_an_account_manager_is_whom_the_newest_master_record_names() -> None:
    office = Office(load_policy(None))

    def shown() -> object:
        told = customer_shown(office.ledger, "C-1", "C-1", office.policies)
        assert told is not None
        return told["account_manager"]

    office.apply(_customer(2, account_manager="j.devries"))
    assert shown() == "j.devries"
    office.apply(_customer(1, account_manager="older"))
    assert shown() == "j.devries"
    office.restart()
    assert shown() == "j.devries"
    office.apply(_customer(3))
    assert shown() is None
