"""`headroom dunning preview|explain|list|approve|skip|report`: the steps of an installation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich import box
from rich.table import Table

from agents.cli.claims import json_of, print_claim
from agents.cli.paper import plain_console
from agents.cli.progress import Stages
from agents.cli.say import now, say
from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.dunning.itemised import day_of_letter, differences, itemised
from agents.dunning.law import LawMissingError
from agents.dunning.rehearsal import PastDayError, arrived, goes_by_itself, rehearse
from agents.dunning.worklist import OpenStep, open_steps
from agents.intake.rules import check
from agents.journal import from_file
from agents.live_state import live_states
from agents.notify.creditor import Creditor, creditor_of
from agents.notify.rendering import MissingTextError, Rendered, Texts
from agents.notify.texts_file import load_texts
from agents.policy_file import load_policy
from agents.rule_files import load_dunning
from agents.simulate import Simulation, with_days
from schemas.catalogue import topic_of
from schemas.dates import MICROSECONDS_PER_DAY, MalformedDateError, format_day, parse_day
from schemas.events import Day, DunningStep, DunningStepDecided, DunningStepReported
from schemas.json_lines import to_payload
from schemas.money import format_amount
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.kafka_client import client_config
from streams.log_reader import open_readers
from streams.registry import open_codec
from streams.settings import Settings, load_settings

_RESULTS = ("sent", "unsent", "bounced", "failed")

_Step = Annotated[str, typer.Argument(metavar="STEP", help="By its id in `headroom dunning list`.")]
_By = Annotated[str, typer.Option(help="Who does it; it is kept.")]
_Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
_AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


class UnknownStepError(HeadroomError):
    """No such step is under way."""


class NotAsPublishedError(HeadroomError):
    """The laws' tables come to other amounts; both have been printed."""


# ── what would go out ───────────────────────────────────────────────────────────────────────────


def preview(
    date: Annotated[str, typer.Option(metavar="DAY", help="Of the letters, YYYY-MM-DD.")],
    customer: Annotated[str | None, typer.Option(help="Only this one's.")] = None,
    procedures: Annotated[
        Path | None,
        typer.Option(help="Directory of procedures to try; else HEADROOM_PROCEDURES_DIR."),
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="A file of events (JSON lines) instead of the live state.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Print the letters of a coming day without sending any: as they would go out if nobody paid
    until then. What goes out before is taken to arrive; of a file, what went out to have arrived.
    """
    settings = load_settings()
    day = _day(date)
    directory = procedures or settings.procedures_dir
    if directory is None:
        raise ConfigurationError(
            "nobody is dunned without procedures: name --procedures or HEADROOM_PROCEDURES_DIR"
        )
    policies = load_policy(settings.policy_file).with_dunning(
        load_dunning(directory, settings.laws_dir)
    )
    writer = _Writer(settings, policies)
    found = [
        step
        for ledger in _ledgers(settings, policies, journal)
        for step in _rehearsed(ledger, policies, day)
        if customer in (None, step.customer_id)
    ]
    found.sort(key=lambda step: (step.customer_id, step.step_id))
    if as_json:
        for step in found:
            typer.echo(json.dumps(writer.json_of(step)))
        return
    for step in found:
        typer.echo(writer.text_of(step))
    typer.echo(_summary(found, day), err=True)


def _rehearsed(ledger: Ledger, policies: PolicyBook, day: Day) -> list[DunningStep]:
    """The steps of that day."""
    try:
        steps = list(rehearse(ledger, policies, day))
    except PastDayError as error:
        raise ConfigurationError(
            f"--date: {error}; `headroom dunning list` has its steps"
        ) from error
    return [step for step in steps if day_of_letter(step) == day]


def _ledgers(settings: Settings, policies: PolicyBook, journal: Path | None) -> Iterator[Ledger]:
    if journal is None:
        with Stages() as stages:
            yield from live_states(with_broker(settings), stages.track)
        return
    simulation = Simulation(policies)
    try:
        entries = list(from_file.entries(journal, lambda text: typer.echo(text, err=True)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{journal}: {error}") from error
    for event in with_days(entry.event for entry in entries):
        for effect in list(simulation.feed(event)):
            if isinstance(effect, DunningStep) and goes_by_itself(effect):
                list(simulation.feed(arrived(effect)))
    yield simulation.ledger


class _Writer:
    """Letters as a person reads them on a terminal."""

    def __init__(self, settings: Settings, policies: PolicyBook) -> None:
        assert policies.dunning is not None  # noqa: S101  `preview` has looked
        self._texts: Texts = load_texts(settings.texts_dir, policies.dunning.procedures)
        self._creditor = (
            creditor_of(settings)
            if settings.creditor_name
            else Creditor("HEADROOM_CREDITOR_NAME", (), "", "", "nobody@headroom.invalid")
        )
        self._invoice_url = settings.invoice_url

    def letter(self, step: DunningStep) -> Rendered | None:
        """None for what is no letter: a call, a handover."""
        try:
            return self._texts.render(step, self._creditor, invoice_url=self._invoice_url)
        except MissingTextError:
            return None

    def json_of(self, step: DunningStep) -> dict[str, Any]:
        letter = self.letter(step)
        told = to_payload(step)
        if letter is not None:
            told |= {"subject": letter.subject, "text": letter.text}
        return told

    def text_of(self, step: DunningStep) -> str:
        letter = self.letter(step)
        to = {"email": step.email, "sms": step.phone, "phone": step.phone}.get(step.channel)
        head = f"{step.step_id}  level {step.level}, {step.template} by {step.channel}"
        head += f" to {to}" if to else ""
        head += ", when a person has approved it" if step.proposed else ""
        lines = ["─" * 78, head, ""]
        if letter is not None:
            return "\n".join([*lines, letter.subject, "", letter.text])
        lines += [
            f"{one.invoice_id}: {format_amount(one.open_amount, step.currency)} {step.currency}, "
            f"due {format_day(one.due_on)}, {one.days_overdue} days late"
            for one in step.invoices
        ]
        return "\n".join([*lines, ""])


def _summary(steps: list[DunningStep], day: Day) -> str:
    proposed = sum(1 for step in steps if step.proposed)
    by_channel: dict[str, int] = {}
    for step in steps:
        if not step.proposed:
            by_channel[step.channel] = by_channel.get(step.channel, 0) + 1
    parts = [f"{number} by {channel}" for channel, number in sorted(by_channel.items())]
    parts += [f"{proposed} for a person to approve"] if proposed else []
    return f"{format_day(day)}: {', '.join(parts) or 'nothing goes out'}"


def _day(text: str) -> Day:
    try:
        return parse_day(text)
    except MalformedDateError as error:
        raise ConfigurationError(f"--date: {error}") from error


# ── why a step asks what it asks ────────────────────────────────────────────────────────────────


def explain(
    step_id: Annotated[str, typer.Argument(metavar="STEP", help="By its id.")],
    procedures: Annotated[
        Path | None, typer.Option(help="Directory of procedures; else HEADROOM_PROCEDURES_DIR.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Tell what a step asked, sum by sum, with the law behind each: recomputed from the tables of
    laws, and held against what was published. Exit status 1 when they differ.
    """
    settings = with_broker(load_settings())
    book = load_dunning(procedures or settings.procedures_dir, settings.laws_dir)
    if book is None:
        raise ConfigurationError("name --procedures or HEADROOM_PROCEDURES_DIR")
    step = _published(settings, step_id)
    try:
        claim = itemised(step, book)
    except LawMissingError as error:
        raise ConfigurationError(str(error)) from error
    if as_json:
        typer.echo(json.dumps({"step": to_payload(step), "claim": json_of(claim)}, indent=1))
    else:
        invoices = ", ".join(one.invoice_id for one in step.invoices)
        typer.echo(
            f"{step_id}, {format_day(day_of_letter(step))}: {step.template} about {invoices}"
        )
        print_claim(claim)
    different = differences(step, claim)
    if different:
        raise NotAsPublishedError(f"published otherwise: {', '.join(different)}")


def _published(settings: Settings, step_id: str) -> DunningStep:
    """The last attempt at the step, as it stands in its topic."""
    codec = open_codec(settings)
    needle, found = step_id.encode(), None
    for reader in open_readers(client_config(settings), topic_of("DunningStep")):
        for record in reader:
            if needle in (record.value or b""):
                event = codec.decode(record.value)
                if isinstance(event, DunningStep) and event.step_id == step_id:
                    found = event
    if found is None:
        raise UnknownStepError(f"no step {step_id} was published")
    return found


# ── what is under way ───────────────────────────────────────────────────────────────────────────


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
    _tell(
        settings,
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
    )
    typer.echo(f"{step_id}: {result}")


def _decide(step_id: str, decision: str, by: str, reason: str, channel: str | None) -> None:
    settings = with_broker(load_settings())
    step = _find(settings, step_id)
    if step.task != "approve":
        raise UnknownStepError(f"step {step_id} is not proposed but {step.state}")
    _tell(
        settings,
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
    )


def _tell(settings: Settings, event: DunningStepReported | DunningStepDecided) -> None:
    refusal = check(event)
    if refusal is not None:
        raise ConfigurationError(f"{refusal.field}: {refusal.detail}")
    say(settings, open_codec(settings), "dunning", event, event.customer_id)


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
