"""The `headroom` command: one verb, one module, imported only when its verb is asked for.

A verb is a line in `VERBS` and a module `agents.cli.<verb>` that has either a function of the
verb's name, which is a typer command, or a typer `app` with verbs of its own. Results go to stdout,
talk to stderr. Exit status: 0 done, 1 the work failed, 2 wrong use; a wrong setting is wrong use.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from streams.errors import ConfigurationError, HeadroomError

FAILED = 1
WRONG_USE = 2

VERBS = {
    "demo": "The main job on real receivables, all parts embedded.",
    "simulate": "The rules on a file of events, without Kafka.",
    "explain": "Why an order was decided so, and what would release it.",
    "backtest": "What another policy would have decided, on the journal.",
    "dlq": "Look at dead letters and parked accounts; retry or discard them.",
    "reconcile": "Compare the journal with live state, published figures and ClickHouse.",
    "rebuild": "Re-derive all state from the journal; put it in the place of the live one.",
    "dunning": "Steps to come and under way; what the law lets ask of somebody who pays late.",
    "policy": "Check a policy file; tell what changes from one to another.",
    "up": "Start the embedded Kafka broker and keep it until Ctrl-C.",
    "down": "Stop what `headroom up` started in another terminal.",
    "worker": "Run agents: intake, credit, sink, notify, or some of them.",
    "portal": "Serve the pages that letters link to: pay, contest, promise.",
    "topics": "Create the topics of the catalogue, or compare them with the broker's.",
    "schemas": "Check the schemas against the released ones; register them.",
    "sql": "Ask ClickHouse, be it a server or the embedded engine.",
    "doctor": "Show every setting and check all that Headroom needs.",
    "bench": "Measure throughput and latency on this machine.",
}
"""Every verb with what `headroom --help` says of it, so that the help needs no verb's imports."""


class _Verbs(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in self.commands:
            return name, _command(name), args[1:]
        return super().resolve_command(ctx, args)


def _command(verb: str) -> Any:
    module = import_module(f"agents.cli.{verb}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(verb)(getattr(module, verb))
    return typer.main.get_command(app)


def _app() -> typer.Typer:
    app = typer.Typer(
        name="headroom",
        cls=_Verbs,
        help="Real-time credit control on Kafka.",
        no_args_is_help=True,
        add_completion=False,
        # Plain help and errors: the decorated ones cost a tenth of a second at every start.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    # A callback of its own keeps a group a group, however many verbs there are.
    app.callback()(lambda: None)
    for verb, line in VERBS.items():
        app.command(verb, help=line)(lambda: None)
    return app


def run() -> None:
    """Entry point. An error of ours is one line on stderr; any other is a bug and shows itself."""
    try:
        _app()()
    except ConfigurationError as error:
        print(f"headroom: {error}", file=sys.stderr)
        sys.exit(WRONG_USE)
    except HeadroomError as error:
        print(f"headroom: {error}", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    run()
