"""`headroom gateway`: order systems ask over HTTP; `headroom gateway key`: who may."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.gateway.callers import ROLES, entry_of, new_key
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.settings import load_settings

app = typer.Typer(
    help="Serve the HTTP interface: order checks, what people do, feeds.",
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def gateway(context: typer.Context) -> None:
    """Serve the HTTP interface until Ctrl-C or SIGTERM (docs/http.md)."""
    if context.invoked_subcommand is None:
        from agents.gateway.run import run_gateway  # noqa: PLC0415  a key needs no server

        run_gateway(with_broker(load_settings()))


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Who gets it; stands in what they do.")],
    roles: Annotated[
        list[str], typer.Option("--role", help=f"Several times; of {', '.join(ROLES)}.")
    ],
) -> None:
    """Make an API key: shown on stderr, once; its entry for HEADROOM_GATEWAY_KEYS on stdout."""
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise ConfigurationError(f"--role: no role {', '.join(unknown)} ({', '.join(ROLES)})")
    secret = new_key()
    typer.echo(entry_of(name, tuple(roles), secret), nl=False)
    typer.echo(f"The key, which is kept nowhere: {secret}", err=True)


@app.command()
def openapi() -> None:
    """Print the description of the interface for programs (OpenAPI 3.1)."""
    from agents.gateway.openapi import text  # noqa: PLC0415  a key needs no schemas

    typer.echo(text(), nl=False)
