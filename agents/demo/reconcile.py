"""Reads the demo's outcome back from ClickHouse and holds it against the file, to the cent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from agents.demo.history import CURRENCY, SettledInvoice, open_receivables_on
from schemas.dates import format_day
from schemas.events import Day, Minor
from schemas.money import format_amount

_STILL_HELD = """
SELECT count() FROM (
    SELECT argMax(decision, decision_number) AS latest FROM headroom.order_decisions GROUP BY
    order_id
) WHERE latest = 'held'
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison: what it is about, what the file says, what ClickHouse says."""

    subject: str
    expected: str
    found: str

    @property
    def agrees(self) -> bool:
        return self.expected == self.found


def compare(
    client: Client, invoices: Sequence[SettledInvoice], events: int, decisions: Counter[str]
) -> list[Finding]:
    """Everything that has to agree.

    Args:
        client: of ClickHouse.
        invoices: the file.
        events: input events that were sent.
        decisions: how many of each kind a subscriber of the decisions counted.
    """
    amount = sum(one.amount for one in invoices)
    last_day = max(one.settled_on for one in invoices)
    findings = [
        _count(client, "events in the journal", events, "journal",
               "type NOT LIKE 'BusinessDay%'"),
        _count(client, "invoices", len(invoices), "invoices"),
        _count(client, "payments", len(invoices), "payments"),
        _count(client, "orders with a first decision", len(invoices), "order_decisions",
               "decision_number = 1", what="uniqExact(order_id)"),
        *(
            _count(client, f"orders {kind}", number, "order_decisions", f"decision = '{kind}'")
            for kind, number in sorted(decisions.items())
        ),
        Finding(
            "orders still on hold",
            "0",
            str(_number(client, _STILL_HELD)),
        ),
        _count(client, "dead letters", 0, "dead_letters"),
        Finding(
            "invoiced in all",
            _money(amount),
            _money(_number(client, "SELECT sum(amount_minor) FROM headroom.invoices")),
        ),
        Finding(
            "paid in all",
            _money(amount),
            _money(_number(client, "SELECT sum(amount_minor) FROM headroom.payments")),
        ),
    ]  # fmt: skip
    first_day = min(one.issued_on for one in invoices)
    expected = {day: open_receivables_on(invoices, day) for day in range(first_day, last_day + 1)}
    findings.append(
        _by_day(client, "open receivables by customer and day, from the documents", expected,
                "open_receivables_by_day")
    )  # fmt: skip
    findings.append(
        _by_day(client, "open receivables by customer and day, from the decisions' state", expected,
                "exposure_by_day")
    )  # fmt: skip
    return findings


def _by_day(
    client: Client, subject: str, expected: dict[Day, dict[str, Minor]], view: str
) -> Finding:
    """Every customer on every day; the first difference is named."""
    # The view's name stands in this file.
    owing = f"FROM headroom.{view} WHERE open_receivables_minor != 0"
    rows = client.query(
        f"SELECT toUInt32(day), customer_id, open_receivables_minor {owing}"
    ).result_rows
    found: dict[Day, dict[str, Minor]] = {day: {} for day in expected}
    for day, customer_id, minor in rows:
        found.setdefault(day, {})[customer_id] = minor
    whole = f"{sum(len(of_day) for of_day in expected.values())} figures"
    for day in sorted(found):
        owed = expected.get(day, {})
        for customer_id in sorted(owed.keys() | found[day].keys()):
            should, is_ = owed.get(customer_id, 0), found[day].get(customer_id, 0)
            if should != is_:
                where = f"{customer_id} on {format_day(day)}: "
                return Finding(subject, where + _money(should), where + _money(is_))
    return Finding(subject, whole, f"{len(rows)} figures")


def _count(
    client: Client,
    subject: str,
    expected: int,
    view: str,
    where: str = "1",
    what: str = "count()",
) -> Finding:
    # Every part of the query stands in this file.
    found = _number(client, f"SELECT {what} FROM headroom.{view} WHERE {where}")  # noqa: S608
    return Finding(subject, str(expected), str(found))


def _number(client: Client, query: str) -> int:
    ((number,),) = client.query(query).result_rows
    return int(number)


def _money(minor: Minor) -> str:
    return f"{CURRENCY} {format_amount(minor, CURRENCY)}"
