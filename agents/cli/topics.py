"""`headroom topics`: the catalogue's topics on the broker."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from confluent_kafka.admin import AdminClient

from streams.embedded.parts import with_broker
from streams.errors import HeadroomError
from streams.kafka_client import client_config
from streams.settings import Settings, load_settings
from streams.topics import Difference, apply, catalogue_topics, diff

app = typer.Typer(
    help="Create the topics of the catalogue, or compare them with the broker's.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_AS_JSON = Annotated[bool, typer.Option("--json", help="For a program to read.")]


class TopicsDifferError(HeadroomError):
    """Some topics are not as the catalogue says; what differs has been printed."""


@app.command("apply")
def apply_topics(as_json: _AS_JSON = False) -> None:
    """Create the topics that are missing. One that is there and differs is told and left alone."""
    settings = with_broker(load_settings())
    created = create_topics(settings)
    different = compare_topics(settings)
    if as_json:
        typer.echo(json.dumps({"created": created, "different": [asdict(d) for d in different]}))
    else:
        for name in created:
            typer.echo(f"{name}: created")
        if not created and not different:
            typer.echo("All topics are there.", err=True)
    _end(different, said=as_json)


@app.command("diff")
def diff_topics(as_json: _AS_JSON = False) -> None:
    """Print how the broker's topics differ from the catalogue; exit status 1 when they do."""
    different = compare_topics(with_broker(load_settings()))
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in different]))
    elif not different:
        typer.echo("All topics are as the catalogue says.", err=True)
    _end(different, said=as_json)


def create_topics(settings: Settings) -> list[str]:
    """Create what is missing on the broker that the settings name; the created topics' names."""
    return apply(AdminClient(client_config(settings)), catalogue_topics(settings))


def compare_topics(settings: Settings) -> list[Difference]:
    """How the topics of the broker that the settings name differ from the catalogue."""
    return diff(AdminClient(client_config(settings)), catalogue_topics(settings))


def _end(different: list[Difference], *, said: bool) -> None:
    if not different:
        return
    if not said:
        for entry in different:
            typer.echo(str(entry))
    raise TopicsDifferError(f"{len(different)} differences from the catalogue")
