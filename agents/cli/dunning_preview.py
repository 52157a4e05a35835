"""`headroom dunning preview`: the letters of a coming day, without sending any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.progress import Stages
from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.dunning.itemised import day_of_letter
from agents.dunning.rehearsal import PastDayError, arrived, goes_by_itself, rehearse
from agents.journal import from_file
from agents.live_state import live_states
from agents.notify.creditor import Creditor, creditor_of
from agents.notify.rendering import MissingTextError, Rendered, Texts
from agents.notify.texts_file import load_texts
from agents.notify.ticket import links_of
from agents.policy_file import load_policy
from agents.rule_files import load_dunning
from agents.simulate import Simulation, with_days
from schemas.dates import MalformedDateError, format_day, parse_day
from schemas.events import Day, DunningStep
from schemas.json_lines import to_payload
from schemas.money import format_amount
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.settings import Settings, load_settings

_AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


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
        self._link = links_of(settings)

    def letter(self, step: DunningStep) -> Rendered | None:
        """None for what is no letter: a call, a handover."""
        try:
            return self._texts.render(
                step, self._creditor, invoice_url=self._invoice_url, link=self._link
            )
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
