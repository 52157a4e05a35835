"""A claim, sum by sum: as lines that a person reads, and for a program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.dunning.claim import Claim
from schemas.dates import format_day
from schemas.money import format_amount


def json_of(found: Claim) -> dict[str, Any]:
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


def lines_of(found: Claim) -> Iterable[tuple[str, str, int]]:
    """What it is made of, how each was counted, and minor units; the total last."""

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


def sources_of(found: Claim) -> list[str]:
    """The laws that it stands on, with where they are to be found."""
    laws = [one.law for one in found.interest if one.lines]
    told = [f"{law.name}: {law.source}" for law in laws]
    if found.costs is not None:
        told.append(f"{found.costs.law.name}: {found.costs.law.source}")
    return list(dict.fromkeys(told))
