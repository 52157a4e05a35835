"""How the demo shows its board: a live table on a terminal, a line now and then without one."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.demo.board import Board
from schemas.dates import format_day
from schemas.events import ExposureChanged
from schemas.money import format_amount

_ROWS = 12
_BAR = 20
_NEAR, _OVER = 0.80, 1.00


def table(board: Board, events_per_second: float) -> RenderableType:
    """The whole screen."""
    customers = Table(expand=True, pad_edge=False, title="Customers nearest to their limits")
    for heading in ("customer", "exposure", "limit", "headroom", "utilisation", "overdue", "held"):
        customers.add_column(
            heading, justify="left" if heading in ("customer", "utilisation") else "right"
        )
    for one in board.busiest(_ROWS):
        customers.add_row(
            one.customer_id,
            format_amount(one.exposure, one.currency),
            "-" if one.credit_limit is None else format_amount(one.credit_limit, one.currency),
            "-" if one.headroom is None else format_amount(one.headroom, one.currency),
            _bar(one),
            format_amount(one.overdue, one.currency) if one.overdue else "",
            str(one.held_orders) if one.held_orders else "",
        )
    words = Text("\n".join(board.last_words) or " ", style="dim", overflow="ellipsis", no_wrap=True)
    return Group(
        Text(headline(board, events_per_second), style="bold"),
        ProgressBar(total=max(board.days_total, 1), completed=board.days_done),
        customers,
        Panel(words, title="Holds and releases", border_style="dim"),
    )


def headline(board: Board, events_per_second: float) -> str:
    """One line that says where the demo stands."""
    latency = board.latency()
    alerts_80 = sum(n for name, n in board.alerts.items() if name == "0.80 raised")
    pace = (
        "" if latency is None else f"  decision p50 {latency.p50:.1f} ms p99 {latency.p99:.1f} ms"
    )
    return (
        f"{format_day(board.day)}  day {board.days_done}/{board.days_total}"
        f"  events {board.events_sent} ({events_per_second:.0f}/s)"
        f"  approved {board.decisions['approved']}  held {board.decisions['held']}"
        f"  released {board.decisions['released']}  waiting {len(board.held)}"
        f"  80% alerts {alerts_80}{pace}"
    )


def _bar(figures: ExposureChanged) -> Text:
    if not figures.credit_limit:
        return Text("-")
    share = max(figures.exposure / figures.credit_limit, 0.0)
    filled = min(round(share * _BAR), _BAR)
    style = "red" if share >= _OVER else "yellow" if share >= _NEAR else "green"
    return Text("█" * filled + "░" * (_BAR - filled) + f" {share:4.0%}", style=style)
