"""Reads a journal from a file of JSON lines, as `headroom simulate` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from agents.intake.rules import check
from agents.journal.entries import Entry
from schemas.events import BusinessDayStarted
from schemas.json_lines import BadLine, read


def entries(path: Path, refused: Callable[[str], None]) -> Iterator[Entry]:
    """The events of the file, in its order; the offset of one is the number of its line.

    What cannot be used is told to `refused` and left out. Raises `OSError` and `UnicodeDecodeError`
    when the file cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    events = read(line for _, line in numbered)
    for (number, _), event in zip(numbered, events, strict=True):
        if isinstance(event, BadLine):
            refused(f"line {number}: {event.problem}")
            continue
        refusal = None if isinstance(event, BusinessDayStarted) else check(event)
        if refusal is not None:
            refused(f"line {number}: {refusal.reason}: {refusal.field}: {refusal.detail}")
            continue
        yield Entry(0, number, 0, "", event)
