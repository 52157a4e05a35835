"""The figures that docs/forecast.md gives are those of today's rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.forecast import foresight

_PAGE = (Path(__file__).parents[2] / "docs" / "forecast.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("days", [7, 14, 30])
def test_the_page_says_how_many_holds_are_foretold(days: int) -> None:
    found = foresight(days)
    (row,) = re.findall(rf"^\| {days} \|.*$", _PAGE, re.MULTILINE)
    said = [cell.strip() for cell in row.strip("|").split("|")]
    assert said == [
        str(found.forecast_days),
        str(found.holds),
        f"{found.in_time} ({found.in_time / found.holds:.0%})",
        str(found.warnings),
        str(found.false_alarms),
        f"{1 - found.false_alarms / found.warnings:.0%}",
        f"{found.chance:.0%}",
    ]
