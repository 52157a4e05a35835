"""The page of all customers together, said in somebody's language."""

from __future__ import annotations

import sqlite3
from typing import Any
from urllib.parse import urlencode

from agents.console import lists
from agents.console.desk import Sources, anchor
from agents.console.telling import Telling


def portfolio_shown(sources: Sources, by: str, t: Telling) -> dict[str, Any]:
    """The page of the portfolio."""
    p, w = lists.portfolio(sources.index, by), t.w
    return {
        "customers": t.count(p.customers),
        "behind": sources.is_behind,
        "by": by,
        "totals": [
            {
                "currency": row["currency"] or "–",
                "customers": t.count(row["customers"]),
                "exposure": t.money(lists.sum_of(row, "exposure"), row["currency"]),
                "limit": t.money(lists.sum_of(row, "credit_limit"), row["currency"]),
                "overdue": t.money(lists.sum_of(row, "overdue"), row["currency"]),
                "held": t.count(row["held_orders"]),
                "on_hold": t.money(p.on_hold.get(row["currency"], 0), row["currency"]),
            }
            for row in p.totals
        ],
        "spreads": [
            _spread("utilised", w.utilisation_of_limits, "bucket", p.buckets, t),
            _spread("by-reason", w.holds_by_reason, "reason", p.reasons, t),
        ],
        "risks": [risk_row(row, t) for row in p.risks],
    }


def risk_row(row: sqlite3.Row, t: Telling) -> dict[str, Any]:
    """An account among the top risks."""
    share = lists.utilisation_of(row)
    return {
        "anchor": anchor("a", row["account_id"]),
        "account_id": row["account_id"],
        "href": "/console/customer?" + urlencode({"id": row["account_id"]}),
        "name": row["name"],
        "manager": row["manager"],
        "exposure": t.money(row["exposure"], row["currency"]),
        "limit": t.money(row["credit_limit"], row["currency"]),
        "utilisation": ("∞" if row["utilisation"] else "–") if share is None else t.percent(share),
        "overdue": t.money(row["overdue"], row["currency"]),
        "days": row["overdue_days"],
    }


def _spread(
    name: str, heading: str, prefix: str, counts: list[tuple[str, int]], t: Telling
) -> dict[str, Any]:
    most = max((count for _, count in counts), default=0) or 1
    return {
        "id": name,
        "heading": heading,
        "rows": [
            {
                "name": t.w.get(f"{prefix}_{one}", one),
                "kind": "late" if one in ("over", "below_100") else "open",
                "count": t.count(count),
                "share": round(count * 100 / most, 1),
            }
            for one, count in counts
        ],
    }
