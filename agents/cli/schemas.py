"""`headroom schemas`: the contracts' own house-keeping. `lock` and `docs` are for a source tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import schemas
from schemas import asyncapi, catalogue, compatibility, golden, records
from streams.errors import HeadroomError
from streams.settings import Settings

app = typer.Typer(
    help="Check the schemas against the released ones, give new ones ids, write the docs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_PACKAGE = Path(schemas.__path__[0])


class SchemasError(HeadroomError):
    """The schemas, their ids or their documentation are not as they should be."""


@app.command()
def check() -> None:
    """Tell what today's schemas would break: readers, subscribers, ids. Exit status 1 if any."""
    faults = list(compatibility.check(records.locked()))
    for fault in faults:
        typer.echo(fault)
    if faults:
        raise SchemasError(f"{len(faults)} faults in the schemas")
    typer.echo(f"{len(records.locked())} schemas are compatible and have their ids", err=True)


@app.command()
def lock(
    release: Annotated[str, typer.Option(help="Release that first writes them, e.g. 0.2.0.")],
) -> None:
    """Give an id to every schema that has none, and keep its text under `schemas/released/`.

    An id is for ever: lock a schema when it is finished, not while it is being worked on.
    """
    rows = records.locked()
    added = compatibility.next_rows(rows, release)
    for row in added:
        text = records.current_text(row.record)
        released = _PACKAGE / "released" / f"{row.record}-{row.version}.avsc"
        released.write_text(text, encoding="utf-8")
        typer.echo(f"id {row.id}: {row.record} version {row.version}")
    if added:
        text = records.format_lock((*rows, *added))
        (_PACKAGE / "ids.lock.json").write_text(text, encoding="utf-8")
    typer.echo(f"{len(added)} ids added", err=True)


@app.command()
def docs(
    to: Annotated[Path, typer.Option(help="The source tree.", metavar="DIRECTORY")] = Path(),
) -> None:
    """Write what is made of the catalogue and the schemas: docs/topics.md, schemas/asyncapi.json,
    and the golden bytes in schemas/golden/.
    """
    golden_place = to / "schemas" / "golden"
    if not (golden_place.is_dir() and (to / "docs").is_dir()):
        raise SchemasError(f"{to.resolve()} is not the source tree; run this there")
    written = golden.documents()
    for path in golden_place.glob("*.json"):
        if path.name not in written:
            path.unlink()  # of a type that is no more
    for name, text in written.items():
        (golden_place / name).write_text(text, encoding="utf-8")
    (to / "docs" / "topics.md").write_text(catalogue.documentation(), encoding="utf-8")
    (to / "schemas" / "asyncapi.json").write_text(asyncapi_text(), encoding="utf-8")
    typer.echo(
        f"wrote docs/topics.md, schemas/asyncapi.json, {len(written)} golden files", err=True
    )


def asyncapi_text() -> str:
    """`schemas/asyncapi.json`, with as many partitions as a topic gets where no setting says."""
    return asyncapi.text(Settings.model_fields["partitions"].default)
