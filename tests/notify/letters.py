"""A step and a creditor to write letters with."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from agents.notify.creditor import Creditor
from schemas.currencies import Currencies
from schemas.events import DunningStep
from schemas.json_lines import parse_line

CREDITOR = Creditor(
    name="Noorderlicht Groothandel",
    lines=("Keizersgracht 1", "1015 CN Amsterdam"),
    iban="NL91ABNA0417164300",
    bic="ABNANL2A",
    email="credit@noorderlicht.example",
)
_EXAMPLE = Path("schemas/examples/DunningStep-2.json")


def a_step(**changes: object) -> DunningStep:
    """A notice to a consumer about two invoices."""
    step = parse_line(_EXAMPLE.read_text(encoding="utf-8"), Currencies())
    assert isinstance(step, DunningStep)
    return replace(step, **changes)
