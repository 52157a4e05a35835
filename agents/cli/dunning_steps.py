"""`headroom dunning list|approve|skip|recall|report`: what people do about steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich import box
from rich.table import Table

from agents.cli.paper import plain_console
from agents.cli.progress import Stages
from agents.cli.say import now, tell
from agents.dunning.worklist import HANDED_OVER, OpenStep, open_steps
from agents.live_state import live_states
from schemas.dates import MICROSECONDS_PER_DAY, format_day
from schemas.events import DunningStepDecided, DunningStepReported
from schemas.money import format_amount
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.settings import Settings, load_settings

_RESULTS = ("sent", "unsent", "bounced", "failed")

_Step = Annotated[str, typer.Argument(metavar="STEP", help="By its id in `headroom dunning list`.")]
_By = Annotated[str, typer.Option(help="Who does it; it is kept.")]
_Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
_AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


class UnknownStepError(HeadroomError):
    """No such step is under way."""


def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what nobody has to do anything about.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """List what people have to do: approve steps, call, hand over, find out whether something was
    sent, or how a customer can be reached.
    """
    settings = with_broker(load_settings())
    found = [one for one in _open_steps(settings) if everything or one.task != "none"]
    found.sort(key=lambda one: (one.task, one.since, one.customer_id))
    if as_json:
        typer.echo(json.dumps([_json(one) for one in found], indent=1))
        return
    if not found:
        typer.echo("Nothing is to be done.", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("task", "step", "customer", "level", "what", "amount", "invoices", "since"):
        table.add_column(
            heading, overflow="fold", justify="right" if heading == "amount" else "left"
        )
    for one in found:
        table.add_row(
            one.task if one.task != "none" else one.state,
            one.step_id,
            f"{one.customer_id} {one.name}".strip(),
            str(one.level),
            f"{one.template} by {one.channel}" if one.channel else one.template,
            f"{format_amount(one.amount, one.currency)} {one.currency}" if one.currency else "",
            ", ".join(one.invoice_ids),
            format_day(one.since) if one.since else "",
        )
    plain_console().print(table)


def approve(
    step_id: _Step,
    by: _By,
    reason: _Reason,
    channel: Annotated[
        str | None,
        typer.Option(help="Have it go this way: email, sms, letter, phone, agency, legal."),
    ] = None,
) -> None:
    """Have a proposed step go out with the next run in which a message may."""
    _decide(step_id, "approve", by, reason, channel)
    typer.echo(f"{step_id}: approved")


def skip(step_id: _Step, by: _By, reason: _Reason) -> None:
    """Pass a proposed step over: it counts as taken, and the next one follows in its time."""
    _decide(step_id, "skip", by, reason, None)
    typer.echo(f"{step_id}: skipped")


def recall(step_id: _Step, by: _By, reason: _Reason) -> None:
    """Take a claim back that was handed over; whoever has it is told. Nothing more is sent about
    its invoices until dunning is resumed for them.
    """
    _decide(step_id, "recall", by, reason, None)
    typer.echo(f"{step_id}: recalled")


def report(
    step_id: _Step,
    result: Annotated[
        str, typer.Argument(help="sent (called, handed over), unsent, bounced, or failed.")
    ],
    by: _By,
    reason: _Reason = "",
) -> None:
    """Say what became of a step: a call that was made, a letter that came back, or a mail of which
    nobody knew whether it was sent.

    After `unsent` it goes again the same way, after `bounced` and `failed` by the next channel.
    """
    if result not in _RESULTS:
        raise ConfigurationError(f"RESULT: {result!r} is none of {', '.join(_RESULTS)}")
    settings = with_broker(load_settings())
    step, at = _find(settings, step_id), now()
    tell(
        settings,
        "dunning",
        DunningStepReported(
            event_id=f"dunning-{uuid4()}",
            occurred_at=at,
            customer_id=step.customer_id,
            step_id=step_id,
            attempt=step.attempt,
            channel=step.channel,
            result=result,
            on=at // MICROSECONDS_PER_DAY,
            detail=f"by {by}: {reason}" if reason else f"by {by}",
        ),
        step.customer_id,
    )
    typer.echo(f"{step_id}: {result}")


def _decide(step_id: str, decision: str, by: str, reason: str, channel: str | None) -> None:
    settings = with_broker(load_settings())
    step = _find(settings, step_id)
    wanted = HANDED_OVER if decision == "recall" else "proposed"
    if step.state != wanted:
        raise UnknownStepError(f"step {step_id} is not {wanted} but {step.state}")
    tell(
        settings,
        "dunning",
        DunningStepDecided(
            event_id=f"dunning-{uuid4()}",
            occurred_at=now(),
            customer_id=step.customer_id,
            step_id=step_id,
            decision=decision,
            by=by,
            reason=reason,
            channel=channel,
        ),
        step.customer_id,
    )


def _open_steps(settings: Settings) -> Iterator[OpenStep]:
    with Stages() as stages:
        for ledger in live_states(settings, stages.track):
            yield from open_steps(ledger)


def _find(settings: Settings, step_id: str) -> OpenStep:
    for one in _open_steps(settings):
        if one.step_id == step_id:
            return one
    raise UnknownStepError(
        f"no step {step_id} is under way; `headroom dunning list --all` has them"
    )


def _json(one: OpenStep) -> dict[str, Any]:
    return {
        "task": one.task,
        "customer_id": one.customer_id,
        "name": one.name,
        "step_id": one.step_id,
        "attempt": one.attempt,
        "state": one.state,
        "level": one.level,
        "template": one.template,
        "channel": one.channel,
        "invoice_ids": one.invoice_ids,
        "amount": format_amount(one.amount, one.currency) if one.currency else None,
        "currency": one.currency or None,
        "since": format_day(one.since) if one.since else None,
    }
