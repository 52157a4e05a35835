"""A claim, sum by sum, on a terminal."""

from __future__ import annotations

from rich.table import Table

from agents.cli.paper import plain_console
from agents.dunning.claim import Claim
from agents.dunning.claim_shown import lines_of, sources_of
from schemas.money import format_amount


def print_claim(found: Claim) -> None:
    """As a table, and the sources of the laws behind it."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "how", found.currency):
        table.add_column(heading, justify="right" if heading == found.currency else "left")
    for what, how, minor in lines_of(found):
        table.add_row(what, how, format_amount(minor, found.currency))
    console = plain_console()
    console.print(table)
    if found.without_costs:
        console.print(f"no costs: {found.without_costs}")
    for source in sources_of(found):
        console.print(source, style="italic")
