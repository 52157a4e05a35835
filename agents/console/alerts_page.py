"""The page of limit alerts, and who sees to what people were told of."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from agents.console import lists
from agents.console.desk import Sources, anchor
from agents.console.kept import Answer
from agents.console.telling import Telling
from agents.gateway.callers import Action, Caller
from schemas.dates import format_instant
from schemas.events import Instant

_SHOWN = 50


def alerts_shown(
    sources: Sources, before: str, caller: Caller, t: Telling, now: Instant
) -> dict[str, Any]:
    """The page.

    Args:
        sources: where alerts and answers are kept.
        before: the time of the last alert of the page before; empty: from the latest on.
        caller: who looks.
        t: how it is said.
        now: snoozes that have ended are not told.
    """
    rows = sources.kept.alerts(int(before) if before.isdecimal() else None, _SHOWN)
    names = lists.names(sources.index, {row["customer_id"] for row in rows})
    return {
        "rows": [
            {
                "anchor": anchor("l", row["event_id"]),
                "iso": format_instant(row["at"]),
                "at": t.instant(row["at"]),
                "customer_id": row["customer_id"],
                "group": row["group_id"],
                "name": names.get(row["customer_id"], ""),
                "href": "/console/customer?" + urlencode({"id": row["customer_id"]}),
                "direction": row["direction"],
                "threshold": t.percent(float(row["threshold"])),
                "exposure": t.money(row["exposure"], row["currency"]),
                "limit": t.money(row["credit_limit"], row["currency"]),
                # What only informs waits for nobody.
                "answer": None
                if row["direction"] != "raised"
                else answer_shown(sources, row["event_id"], row["customer_id"], caller, t, now),
            }
            for row in rows
        ],
        "after": f"/console/alerts?before={rows[-1]['at']}" if len(rows) == _SHOWN else "",
    }


def answer_shown(
    sources: Sources, alert_id: str, customer_id: str, caller: Caller, t: Telling, now: Instant
) -> dict[str, Any]:
    """What people said to an alert, and whether there is something to say yet."""
    said = sources.kept.answers_to(alert_id, customer_id)
    acknowledged = [one for one in said if one.until is None]
    return {
        "alert_id": alert_id,
        "said": _said(acknowledged, said, t, now),
        "is_open": not acknowledged and caller.may(Action.ANSWER_ALERTS),
    }


def _said(acknowledged: list[Answer], said: list[Answer], t: Telling, now: Instant) -> str:
    if acknowledged:
        last = acknowledged[-1]
        who = t.w.sees_to_it.format(who=last.who, at=t.instant(last.at))
        return f"{who}: {last.why}" if last.why else who
    silent = [one for one in said if one.until is not None and one.until > now]
    if not silent:
        return ""
    longest = max(silent, key=lambda one: one.until or 0)
    return t.w.silent_until.format(until=t.instant(longest.until or 0), who=longest.who)
