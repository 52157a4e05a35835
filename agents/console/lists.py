"""The lists of the console as questions to its index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from agents.console.index import Index
from agents.console.rows import INFINITE, folded
from agents.credit.reasons import PRECEDENCE

PAGE = 50
_EXPORT_MAX = 1_000_000
SORTS = {
    "oldest": "h.placed_at, h.account_id, h.order_id",
    "newest": "h.placed_at DESC, h.account_id, h.order_id",
    "largest": "h.worth DESC, h.account_id, h.order_id",
    "smallest": "h.worth, h.account_id, h.order_id",
}
RISKS = {
    "overdue": "worth_overdue DESC",
    "exposure": "worth DESC",
    "utilisation": "utilisation DESC",
}
BUCKETS = (
    ("none", "utilisation IS NULL"),
    ("below_50", "utilisation < 0.5"),
    ("below_80", "utilisation >= 0.5 AND utilisation < 0.8"),
    ("below_90", "utilisation >= 0.8 AND utilisation < 0.9"),
    ("below_100", "utilisation >= 0.9 AND utilisation <= 1"),
    ("over", "utilisation > 1"),
)
"""How the limit is used, and which accounts do."""
_FOUND_MAX = 50
_RISKS_SHOWN = 25
_MILLION = 1_000_000
_ACCOUNTS = (
    "SELECT a.*, coalesce(max(d.today - a.oldest_due, 0), 0) AS overdue_days"
    " FROM accounts a LEFT JOIN days d USING (partition)"
)


class Wanted(NamedTuple):
    """Which held orders, in which order, and the how-manieth page of them."""

    sort: str = "oldest"
    reason: str = ""
    manager: str = ""
    page: int = 1

    def query(self, **other: object) -> str:
        """As it stands in an address, with some of it changed; what is usual is left out."""
        usual = Wanted()._asdict()
        asked = self._asdict() | other
        return urlencode({k: v for k, v in asked.items() if v != usual[k]})


def wanted_of(asked: Mapping[str, str]) -> Wanted:
    """What an address asks for; what makes no sense in it is passed over."""
    sort, reason, page = asked.get("sort", ""), asked.get("reason", ""), asked.get("page", "")
    usual = Wanted()
    return Wanted(
        sort=sort if sort in SORTS else usual.sort,
        reason=reason if reason in PRECEDENCE else "",
        manager=asked.get("manager", "")[:200],
        page=max(int(page), 1) if page.isascii() and page.isdigit() and len(page) < 7 else 1,  # noqa: PLR2004
    )


def held(index: Index, wanted: Wanted) -> tuple[list[sqlite3.Row], int]:
    """The rows of a page, and how many there are in all."""
    where, parameters = _where(wanted)
    joined = f"FROM held h LEFT JOIN accounts a USING (account_id){where}"
    # Without a filter nothing has to be joined to be counted.
    counted = joined if where else "FROM held"
    total = index.rows(f"SELECT count(*) {counted}", parameters)[0][0]
    rows = index.rows(
        f"SELECT h.*, a.name, a.manager {joined} ORDER BY {SORTS[wanted.sort]} LIMIT ? OFFSET ?",
        (*parameters, PAGE, (wanted.page - 1) * PAGE),
    )
    return rows, total


def all_held(index: Index, wanted: Wanted) -> list[sqlite3.Row]:
    """Every row, for an export."""
    where, parameters = _where(wanted)
    return index.rows(
        "SELECT h.*, a.name, a.manager FROM held h LEFT JOIN accounts a USING (account_id)"  # noqa: S608
        f"{where} ORDER BY {SORTS[wanted.sort]} LIMIT {_EXPORT_MAX}",
        parameters,
    )


def held_one(index: Index, account_id: str, order_id: str) -> sqlite3.Row | None:
    """One of them."""
    found = index.rows(
        "SELECT h.*, a.name, a.manager FROM held h LEFT JOIN accounts a USING (account_id)"
        " WHERE account_id = ? AND order_id = ?",
        (account_id, order_id),
    )
    return found[0] if found else None


def managers(index: Index) -> list[str]:
    """Who looks after customers with held orders."""
    found = index.rows(
        "SELECT DISTINCT a.manager FROM held h JOIN accounts a USING (account_id)"
        " WHERE a.manager != '' ORDER BY 1"
    )
    return [row[0] for row in found]


def names(index: Index, account_ids: set[str]) -> dict[str, str]:
    """What customers are called."""
    found: dict[str, str] = {}
    for account_id in account_ids:
        for row in index.rows("SELECT name FROM accounts WHERE account_id = ?", (account_id,)):
            found[account_id] = row[0]
    return found


def customers_found(index: Index, text: str) -> list[sqlite3.Row]:
    """Customers whose id or name has the text in it; the one with exactly that id first."""
    pattern = "%" + folded(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return index.rows(
        "SELECT account_id, name, exposure, currency FROM accounts WHERE folded LIKE ? ESCAPE '\\'"
        " ORDER BY account_id = ? DESC, worth DESC LIMIT ?",
        (pattern, text, _FOUND_MAX),
    )


def documents_found(index: Index, text: str) -> list[sqlite3.Row]:
    """Orders and invoices whose id begins with the text."""
    return index.rows(
        "SELECT d.*, a.name FROM documents d LEFT JOIN accounts a USING (account_id)"
        " WHERE document_id >= ? AND document_id < ? ORDER BY document_id LIMIT ?",
        (text, text + "\U0010ffff", _FOUND_MAX),
    )


class Portfolio(NamedTuple):
    """What all accounts come to."""

    customers: int
    totals: list[sqlite3.Row]
    on_hold: dict[str, int]
    """What held orders ask for, by currency."""
    buckets: list[tuple[str, int]]
    reasons: list[tuple[str, int]]
    risks: list[sqlite3.Row]


def portfolio(index: Index, by: str) -> Portfolio:
    """All accounts. `by` of `RISKS`."""
    totals = index.rows(
        f"SELECT currency, count(*) AS customers, {_sums('exposure', 'credit_limit', 'overdue')},"  # noqa: S608
        " sum(held_orders) AS held_orders FROM accounts GROUP BY currency"
        " ORDER BY total(worth) DESC"
    )
    on_hold = index.rows(f"SELECT currency, {_sums('amount')} FROM held GROUP BY currency")  # noqa: S608
    cases = ", ".join(f"sum({condition})" for _, condition in BUCKETS)
    counts = index.rows(f"SELECT {cases} FROM accounts")[0]  # noqa: S608  our own words
    return Portfolio(
        customers=sum(row["customers"] for row in totals),
        totals=totals,
        on_hold={row["currency"]: sum_of(row, "amount") for row in on_hold},
        buckets=[(name, counts[at] or 0) for at, (name, _) in enumerate(BUCKETS)],
        reasons=list(_by_reason(index)),
        risks=index.rows(f"{_ACCOUNTS} ORDER BY {RISKS[by]}, account_id LIMIT {_RISKS_SHOWN}"),
    )


def all_accounts(index: Index) -> list[sqlite3.Row]:
    """Every account, for an export."""
    return index.rows(f"{_ACCOUNTS} ORDER BY account_id LIMIT {_EXPORT_MAX}")


def utilisation_of(row: sqlite3.Row) -> float | None:
    """The share of the limit that is used; None: infinite, or no limit."""
    share: float | None = row["utilisation"]
    return None if share is None or share >= INFINITE else share


def sum_of(row: sqlite3.Row, column: str) -> int:
    """A sum that `_sums` asked for."""
    return int((row[f"{column}_millions"] or 0) * _MILLION + (row[f"{column}_rest"] or 0))


def _sums(*columns: str) -> str:
    """Sums in two parts each: amounts have up to 64 bits, and so may not be added up in them."""
    return ", ".join(
        f"sum({one} / {_MILLION}) AS {one}_millions, sum({one} % {_MILLION}) AS {one}_rest"
        for one in columns
    )


def _by_reason(index: Index) -> Iterator[tuple[str, int]]:
    """An order that is held for two reasons counts with each."""
    counts: dict[str, int] = {}
    for row in index.rows("SELECT reasons, count(*) FROM held GROUP BY reasons"):
        for reason in row[0].split():
            counts[reason] = counts.get(reason, 0) + row[1]
    for reason in sorted(counts, key=lambda one: -counts[one]):
        yield reason, counts[reason]


def _where(wanted: Wanted) -> tuple[str, tuple[str, ...]]:
    conditions, parameters = [], []
    if wanted.reason:
        conditions.append("instr(h.reasons, ?)")
        parameters.append(f" {wanted.reason} ")
    if wanted.manager:
        conditions.append("a.manager = ?")
        parameters.append(wanted.manager)
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), tuple(parameters)
