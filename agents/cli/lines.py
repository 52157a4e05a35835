"""A file of events, as somebody brings it: what can be used of it, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from agents.intake.rules import check
from schemas.catalogue import TOPICS, topic_of
from schemas.events import Event
from schemas.json_lines import BadLine, read
from streams.errors import ConfigurationError, HeadroomError


class NotAllSentError(HeadroomError):
    """Some lines were refused; the others were sent."""


class Lines:
    """The events of a file that others may write. Each refused line is told on stderr.

    Args:
        path: one JSON object a line; `-` reads stdin.
        left_out: types that are passed over without a word.

    Raises:
        ConfigurationError: the file cannot be read.
    """

    def __init__(self, path: Path, left_out: tuple[type[Event], ...] = ()) -> None:
        try:
            self._text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: {error}") from error
        self._left_out = left_out
        self._refused = 0

    def usable(self) -> Iterator[Event]:
        """In the order of the file."""
        # Not `splitlines`: inside a JSON string it would cut at U+2028 and its like.
        for event in read(self._text.split("\n")):
            if isinstance(event, self._left_out):
                continue
            fault = _fault(event)
            if fault is not None:
                self._refused += 1
                typer.echo(f"refused: {fault}", err=True)
            elif not isinstance(event, BadLine):
                yield event

    def check_all_sent(self) -> None:
        """Raises NotAllSentError when a line was refused."""
        if self._refused:
            raise NotAllSentError(f"{self._refused} lines were refused")


def _fault(event: Event | BadLine) -> str | None:
    if isinstance(event, BadLine):
        return str(event)
    name = type(event).__name__
    if TOPICS[topic_of(name)].direction != "in":
        return f"type: {name} is not for others to write (event {event.event_id})"
    refusal = check(event)
    if refusal is None:
        return None
    return f"{refusal.reason}: {refusal.field}: {refusal.detail} (event {event.event_id})"
