"""Verbs whose module is imported when one of them is asked for: help, and a verb of little weight,
should not wait for what the others need.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Verb(NamedTuple):
    """Where a verb is, and what the help of its group says of it.

    `agents.cli.<module>` has a function of the verb's name, or of `function`, which is a typer
    command; or a typer `app` with verbs of its own.
    """

    line: str
    module: str
    function: str | None = None


def group(name: str, text: str, verbs: Mapping[str, Verb]) -> typer.Typer:
    """A command of verbs; `text` is what its help says."""

    class Verbs(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            verb = verbs.get(args[0])
            if verb is not None:
                return args[0], command(args[0], verb), args[1:]
            return super().resolve_command(ctx, args)

    app = typer.Typer(
        name=name,
        cls=Verbs,
        help=text,
        no_args_is_help=True,
        add_completion=False,
        # Plain help and errors: the decorated ones cost a tenth of a second at every start.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    # A callback of its own keeps a group a group, however many verbs there are.
    app.callback()(lambda: None)
    for one, verb in verbs.items():
        app.command(one, help=verb.line)(lambda: None)
    return app


def command(name: str, verb: Verb) -> Any:
    """A verb as click has it, its module imported."""
    module = import_module(f"agents.cli.{verb.module}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(getattr(module, verb.function or name))
    return typer.main.get_command(app)
