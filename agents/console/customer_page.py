"""The page of a customer, said in somebody's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from agents.console import lists
from agents.console.customer import CustomerView, OpenItem, OrderLine
from agents.console.desk import Desk, Sources, anchor, order_href
from agents.console.kept import Note
from agents.console.telling import Telling, Words
from agents.gateway.callers import Action, Caller
from schemas.dates import format_day, format_instant
from schemas.events import GroupExposureChanged, Minor

_ITEMS_SHOWN = 100
_BAR = 1000
_PARTS = ("open_receivables", "delivered_not_invoiced", "open_orders")


def customer_shown(
    view: CustomerView,
    desk: Desk,
    sources: Sources,
    caller: Caller,
    telling: Telling,
    *,
    asked: str,
    group: GroupExposureChanged | None,
) -> dict[str, Any]:
    """The page of a customer. `asked`: the id by which somebody came."""
    t, w, account, now = telling, telling.w, view.account, view.figures

    def money(minor: Minor | None) -> str:
        return t.money(minor, account.currency)

    name = view.debtor.name or ""
    may_release = caller.may(Action.RELEASE_ORDERS)
    return {
        "id": view.account_id,
        "name": name,
        "title": name or view.account_id,
        "merged_from": asked if asked != view.account_id else "",
        "currency": account.currency,
        "blocked": account.blocked,
        "states": list(_states(view, w)),
        "facts": _facts(view, t),
        "exposure": money(now.exposure),
        "limit": w.unlimited if account.unlimited else money(now.credit_limit),
        "headroom": money(now.headroom),
        "is_over": now.headroom is not None and now.headroom < 0,
        "utilisation": "" if now.utilisation is None else t.percent(float(now.utilisation)),
        "bar": bar(view, t),
        "parts": [
            {"kind": kind, "amount": money(amount)} for kind, amount in _parts(view) if amount
        ],
        "group": None
        if group is None
        else {
            "id": group.group_id,
            "exposure": t.money(group.exposure, group.currency),
            "limit": t.money(group.credit_limit, group.currency),
            "headroom": t.money(group.headroom, group.currency),
        },
        "acts": _acts(caller),
        "today_iso": format_day(view.today),
        "may_release": may_release,
        "orders": [_order_row(one, view, desk, sources, t) for one in view.orders],
        "orders_text": t.count(view.orders_in_all),
        "open_items": [_item(one, view, t) for one in view.open_items[:_ITEMS_SHOWN]],
        "items_text": t.count(len(view.open_items)),
        "is_cut": view.is_cut or len(view.open_items) > _ITEMS_SHOWN,
        "ageing": [_ageing(currency, ages, t) for currency, ages in view.ageing.items()],
        "behaviour": _behaviour(view, t),
        "csv": "/console/items.csv?" + urlencode({"id": view.account_id}),
        "history": "/console/history?" + urlencode({"id": view.account_id}),
        "notes": [
            _note(one, t) for one in sources.kept.notes_on([view.account_id, *account.absorbed])
        ],
    }


def bar(view: CustomerView, telling: Telling) -> dict[str, Any]:
    """The exposure against the limit: what is over the limit goes on behind its mark."""
    now = view.figures
    gross = sum(amount for _, amount in _parts(view) if amount > 0)
    whole = max(now.credit_limit or 0, gross, 1)
    parts, x = [], 0.0
    for kind, amount in _parts(view):
        width = round(max(amount, 0) / whole * _BAR, 1)
        if width:
            parts.append({"kind": kind, "x": round(x, 1), "width": width})
        x += width
    limit_x = None if now.credit_limit is None else round(now.credit_limit / whole * _BAR, 1)
    currency = view.account.currency
    said = [
        f"{telling.w[kind]} {telling.money(amount, currency)}"
        for kind, amount in _parts(view)
        if amount
    ]
    return {
        "parts": parts,
        "limit_x": None if limit_x is None else min(limit_x, _BAR - 4),
        "label": f"{telling.w.exposure}: {', '.join(said) or telling.money(0, currency)}; "
        f"{telling.w.limit} {telling.money(now.credit_limit, currency)}",
    }


def _parts(view: CustomerView) -> list[tuple[str, Minor]]:
    now = view.figures
    shown = [(name, getattr(now, name)) for name in _PARTS]
    return [*shown, ("unapplied_credit", -now.unapplied_credit)]


def _acts(caller: Caller) -> list[str]:
    named = {
        "block": Action.BLOCK_CUSTOMERS,
        "limit": Action.CHANGE_LIMITS,
        "dispute": Action.DISPUTE,
        "promise": Action.PROMISE,
        "note": Action.HOLD_ORDERS,
        "snooze": Action.ANSWER_ALERTS,
    }
    return [name for name, action in named.items() if caller.may(action)]


def _states(view: CustomerView, w: Words) -> Iterator[dict[str, str]]:
    account = view.account
    for kind, is_so in (
        ("blocked", account.blocked),
        ("closed", account.closed),
        ("unknown", not account.known),
        ("prepays", account.prepays),
        ("parked", bool(account.parked)),
    ):
        if is_so:
            yield {"kind": kind, "text": w[f"is_{kind}"]}


def _facts(view: CustomerView, t: Telling) -> list[tuple[str, str]]:
    account, w = view.account, t.w
    temporary = None
    if account.temporary_until is not None and account.has_temporary_limit(view.today):
        temporary = w.until_day.format(
            what=t.money(account.temporary_limit, account.currency),
            day=t.day(account.temporary_until),
        )
    until = t.day(account.limit_valid_until) if account.limit_valid_until else ""
    late = view.figures.overdue
    overdue = t.money(late, account.currency) if late else ""
    facts = [
        (w.manager, account.account_manager),
        (w.segment, account.segment),
        (w.group, account.group_id),
        (w.country, view.debtor.country),
        (w.contact, " · ".join(filter(None, (view.debtor.email, view.debtor.phone)))),
        (w.limit_valid_until, until),
        (w.temporary_limit, temporary or ""),
        (w.overdue, overdue),
        (w.business_day, t.day(view.today)),
    ]
    return [(name, value) for name, value in facts if value]


def _order_row(
    one: OrderLine, view: CustomerView, desk: Desk, sources: Sources, t: Telling
) -> dict[str, Any]:
    decided = sources.latest_on(one.order_id, view.account_id)
    held = one.status == "held"
    row: dict[str, Any] = {
        "anchor": anchor("o", view.account_id, one.order_id),
        "account_id": view.account_id,
        "order_id": one.order_id,
        "href": order_href(view.account_id, one.order_id),
        "placed": t.instant(one.placed_at),
        "placed_iso": format_instant(one.placed_at),
        "amount": t.money(one.total, one.currency),
        "status": one.status,
        "reasons": decided[0].reasons if decided and held else [],
        "by": decided[0].by or "" if decided else "",
        "proposed_by": "",
        "button": "",
        "note": "",
    }
    if held:
        listed = lists.held_one(sources.index, view.account_id, one.order_id)
        if listed is not None:
            shown = desk.held_row(listed)
            kept = ("reasons", "proposed_by", "button", "note")
            return row | {name: shown[name] for name in kept}
        return row | desk.button(view.account_id, one.order_id)
    return row


def _item(one: OpenItem, view: CustomerView, t: Telling) -> dict[str, Any]:
    w = t.w
    states = []
    if one.contested:
        states.append(w.contested.format(amount=t.money(one.contested, one.currency)))
    if one.promised:
        states.append(w.promised)
    if one.level:
        states.append(w.dunned.format(level=one.level))
    return {
        "anchor": anchor("i", view.account_id, one.invoice_id),
        "invoice_id": one.invoice_id,
        "due_on": t.day(one.due_on),
        "days_late": one.days_late,
        "open": t.money(one.open, one.currency),
        "states": states,
    }


def _ageing(currency: str, ages: Mapping[str, Minor], t: Telling) -> dict[str, Any]:
    whole = max(sum(ages.values()), 1)
    return {
        "currency": currency,
        "cells": [
            {
                "age": age,
                "amount": t.money(amount, currency),
                "late": age != "not_due",
                "share": round(amount * 100 / whole, 1),
            }
            for age, amount in ages.items()
        ],
    }


def _behaviour(view: CustomerView, t: Telling) -> list[tuple[str, str]]:
    b, w = view.behaviour, t.w
    if b is None:
        return []
    facts = []
    if b.paid:
        facts = [
            (w.paid_lately, t.count(b.paid)),
            (w.days_late_median, t.count(b.median)),
            (w.days_late_worst, t.count(b.worst)),
            (w.on_time, t.percent(b.on_time)),
            (w.latest_first, ", ".join(t.count(days) for days in reversed(b.latest[-10:]))),
        ]
    return facts + [
        (w.get(f"promises_{outcome or 'open'}", outcome), t.count(count))
        for outcome, count in b.promises.items()
    ]


def _note(one: Note, t: Telling) -> dict[str, str]:
    return {
        "anchor": anchor("n", str(one.at), one.who, one.text),
        "who": one.who,
        "role": one.role,
        "at": t.instant(one.at),
        "iso": format_instant(one.at),
        "text": one.text,
    }
