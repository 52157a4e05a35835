"""`headroom simulate`: the rules on a file of events, without Kafka."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from agents.core.policy_text import PolicyError
from agents.core.refusal import Refusal
from agents.policy_file import load_policy
from agents.rule_files import load_dunning
from agents.simulate import Simulation, with_days
from schemas.events import Event
from schemas.json_lines import BadLine, read, to_line

_WRONG_USE = 2


def simulate(
    events: Annotated[Path, typer.Argument(help="Events, one JSON object a line; - reads stdin.")],
    policy: Annotated[
        Path | None, typer.Option(help="Policy file (TOML); default: the one that ships.")
    ] = None,
    procedures: Annotated[
        Path | None,
        typer.Option(help="Directory of dunning procedures (TOML); without one nobody is dunned."),
    ] = None,
    state: Annotated[
        bool,
        typer.Option("--state", help="Then print the figures of every customer and credit group."),
    ] = False,
    days: Annotated[
        bool, typer.Option("--days", help="Begin every business day that the events span.")
    ] = False,
) -> None:
    """Print what goes out, as JSON lines in order; the file is taken as the journal, in its order.

    Lines that cannot be used and events that are refused are told on stderr; the rest goes on.
    """
    try:
        rules = load_policy(policy).with_dunning(load_dunning(procedures, None))
        text = sys.stdin.read() if str(events) == "-" else events.read_text(encoding="utf-8")
    except (PolicyError, OSError, UnicodeDecodeError) as error:
        typer.echo(f"headroom simulate: {error}", err=True)
        raise typer.Exit(_WRONG_USE) from error
    simulation = Simulation(rules)
    # Not `splitlines`: inside a JSON string it would cut at U+2028 and its like.
    usable = _usable(text.split("\n"))
    for event in with_days(usable) if days else usable:
        for effect in simulation.feed(event):
            if isinstance(effect, Refusal):
                typer.echo(
                    f"refused: {effect.reason}: {effect.field}: {effect.detail} "
                    f"(event {event.event_id})",
                    err=True,
                )
            else:
                sys.stdout.write(to_line(effect, None) + "\n")
    if state:
        for published in (*simulation.figures(), *simulation.group_figures()):
            sys.stdout.write(to_line(published, None) + "\n")


def _usable(lines: list[str]) -> Iterator[Event]:
    for event in read(lines):
        if isinstance(event, BadLine):
            typer.echo(f"refused: {event}", err=True)
        else:
            yield event
