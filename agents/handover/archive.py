"""The dossier as one file: a ZIP with the dossier to read, the tables, and every letter."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import jinja2
import msgspec

from agents.handover.dossier import Dossier, letter_file
from agents.notify.pdf import pdf_of

_TABLES = ("invoices", "payments", "disputes", "promises", "steps", "contacts", "journal")


def page_of(dossier: Dossier) -> str:
    """The dossier as a page."""
    return _template().render(dossier=dossier, sources=_sources(dossier))


def _sources(dossier: Dossier) -> list[str]:
    """The laws that the claim stands on, each once."""
    parts = [*dossier.claim["interest"], dossier.claim["costs"]]
    return list(dict.fromkeys(f"{one['law']}: {one['source']}" for one in parts if one))


def archive_of(dossier: Dossier) -> bytes:
    """A ZIP: `dossier.pdf`, `dossier.json` with everything, a CSV file per table, and the letters.

    Raises:
        UnprintableError: no PDF could be made.
    """
    found = {
        "dossier.pdf": pdf_of(page_of(dossier)),
        "dossier.json": msgspec.json.format(msgspec.json.encode(dossier), indent=1),
    }
    for name in _TABLES:
        found[f"{name}.csv"] = _csv(getattr(dossier, name), _row_type(name))
    for number, letter in enumerate(dossier.letters, 1):
        name = letter_file(letter, number)
        found[f"{name}.txt"] = f"{letter.subject}\n\n{letter.text}".encode()
        if letter.html:
            found[f"{name}.html"] = letter.html.encode()
    packed = io.BytesIO()
    year, month, day = map(int, dossier.made_on.split("-"))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            # Not the clock's time: the same dossier is the same file.
            entry = zipfile.ZipInfo(name, (max(year, 1980), month, day, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def _csv(rows: Sequence[msgspec.Struct], kind: type[msgspec.Struct]) -> bytes:
    """With a heading (RFC 4180), in UTF-8 with the mark by which spreadsheets know it."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = kind.__struct_fields__
    writer.writerow(names)
    writer.writerows([_harmless(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _harmless(cell: object) -> object:
    """A text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return cell


@cache
def _row_type(table: str) -> type[msgspec.Struct]:
    (field,) = [one for one in msgspec.structs.fields(Dossier) if one.name == table]
    kind: type[msgspec.Struct] = field.type.__args__[0]
    return kind


@cache
def _template() -> jinja2.Template:
    text = (files("agents.handover") / "dossier.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
