"""Lists as CSV, for a spreadsheet. Pure.

A spreadsheet takes a cell that begins like a formula for one, and a customer may be called `=1+1`:
such a text gets an apostrophe in front. Amounts are plain numbers, also those below zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from schemas.events import Minor
from schemas.money import format_amount, is_known

_LIKE_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_BYTE_ORDER_MARK = "\ufeff"
"""By which spreadsheets tell that a file is in UTF-8."""
_LINES_AT_A_TIME = 500

Cell = str | int | Decimal | None


def number(minor: Minor | None, currency: str) -> Decimal | None:
    """An amount as a number."""
    if minor is None:
        return None
    return Decimal(format_amount(minor, currency if is_known(currency) else None))


def csv_lines(heading: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """The file, piece by piece."""
    out = io.StringIO()
    writer = csv.writer(out)
    out.write(_BYTE_ORDER_MARK)
    writer.writerow(heading)
    for at, row in enumerate(rows, 1):
        writer.writerow([_safe(cell) for cell in row])
        if at % _LINES_AT_A_TIME == 0:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def _safe(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return "'" + cell if cell.lstrip(" ").startswith(_LIKE_A_FORMULA) else cell
    return format(cell, "f") if isinstance(cell, Decimal) else str(cell)
