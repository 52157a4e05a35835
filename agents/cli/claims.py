"""A claim, sum by sum, for a program and for a person."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from agents.cli.paper import plain_console
from agents.dunning.claim import Claim
from schemas.dates import format_day
from schemas.money import format_amount

# ── for a program ───────────────────────────────────────────────────────────────────────────────


def json_of(found: Claim) -> dict[str, object]:
    """With amounts as text in major units, and the lines that they are made of."""

    def money(minor: int) -> str:
        return format_amount(minor, found.currency)

    return {
        "currency": found.currency,
        "principal": money(found.principal),
        "interest": [
            {
                "amount": money(one.amount),
                "law": one.law.name,
                "source": one.law.source,
                "lines": [
                    {
                        "since": format_day(line.since),
                        "until": format_day(line.until),
                        "days": line.days,
                        "percent": str(float(line.percent)),
                        "base": money(line.base),
                        "amount": money(line.amount),
                    }
                    for line in one.lines
                ],
            }
            for one in found.interest
        ],
        "costs": None
        if found.costs is None
        else {
            "amount": money(found.costs.amount),
            "law": found.costs.law.name,
            "source": found.costs.law.source,
            "lines": [
                {"principal": money(line.principal), "amount": money(line.amount)}
                for line in found.costs.lines
            ],
        },
        "without_costs": found.without_costs,
        "total": money(found.total),
    }


# ── for a person ────────────────────────────────────────────────────────────────────────────────


def print_claim(found: Claim) -> None:
    """As a table, and the sources of the laws behind it."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "how", found.currency):
        table.add_column(heading, justify="right" if heading == found.currency else "left")
    for what, how, minor in _lines(found):
        table.add_row(what, how, format_amount(minor, found.currency))
    console = plain_console()
    console.print(table)
    if found.without_costs:
        console.print(f"no costs: {found.without_costs}")
    for source in _sources(found):
        console.print(source, style="italic")


def _lines(found: Claim) -> Iterable[tuple[str, str, int]]:
    def money(minor: int) -> str:
        return format_amount(minor, found.currency)

    yield "principal", "", found.principal
    for one in found.interest:
        for line in one.lines:
            days = "1 day" if line.days == 1 else f"{line.days} days"
            stretch = f"{format_day(line.since)} to {format_day(line.until)}, {days}"
            rate = f"{float(line.percent):g} % on {money(line.base)}"
            yield "interest", f"{stretch} at {rate}", line.amount
    if found.costs is not None:
        for each in found.costs.lines:
            yield "costs", f"on {money(each.principal)}", each.amount
    yield "total", "", found.total


def _sources(found: Claim) -> list[str]:
    laws = [one.law for one in found.interest if one.lines]
    told = [f"{law.name}: {law.source}" for law in laws]
    if found.costs is not None:
        told.append(f"{found.costs.law.name}: {found.costs.law.source}")
    return list(dict.fromkeys(told))
