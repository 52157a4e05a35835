"""The `headroom` command: one verb, one module, imported only when its verb is asked for.

A verb is a line in `VERBS` and a module `agents.cli.<verb>`. Results go to stdout, talk to stderr.
Exit status: 0 done, 1 the work failed, 2 wrong use; a wrong setting is wrong use.
"""

from __future__ import annotations

import logging
import sys
from keyword import iskeyword

from agents.cli.verbs import Verb, group
from streams.errors import ConfigurationError, HeadroomError

FAILED = 1
WRONG_USE = 2

VERBS = {
    "demo": "The main job on real receivables, all parts embedded.",
    "simulate": "The rules on a file of events, without Kafka.",
    "check": "Place an order and tell what is decided.",
    "tail": "What goes over topics, as it comes.",
    "import": "Events of a file, to their topics.",
    "replay": "A history of your own, day by day.",
    "explain": "Why an order was decided so, and what would release it.",
    "backtest": "What another policy would have decided, on the journal.",
    "dlq": "Look at dead letters and parked accounts; retry or discard them.",
    "reconcile": "Compare the journal with live state, published figures and ClickHouse.",
    "rebuild": "Re-derive all state from the journal; put it in the place of the live one.",
    "sink": "Make a table of ClickHouse anew from the topics.",
    "dunning": "Steps to come and under way; what the law lets ask of somebody who pays late.",
    "alerts": "Who is told of holds and limit alerts; acknowledge, snooze.",
    "policy": "Check a policy file; tell what changes from one to another.",
    "up": "Start the embedded Kafka broker and keep it until Ctrl-C.",
    "down": "Stop what `headroom up` started in another terminal.",
    "worker": "Run agents: intake, credit, sink, notify, alerts, or some of them.",
    "gateway": "Serve order checks, what people do, and feeds over HTTP.",
    "order-system": "Play an order system: place orders, ship or wait as is decided.",
    "portal": "Serve the pages that letters link to: pay, contest, promise.",
    "topics": "Create the topics of the catalogue, or compare them with the broker's.",
    "schemas": "Check the schemas against the released ones; register them.",
    "clickhouse": "Bring ClickHouse's tables up to date; show what that takes, and who may what.",
    "sql": "Ask ClickHouse, be it a server or the embedded engine.",
    "doctor": "Show every setting and check all that Headroom needs.",
    "bench": "Measure throughput and latency on this machine.",
}
"""Every verb with what `headroom --help` says of it, so that the help needs no verb's imports."""


def _verb(name: str, line: str) -> Verb:
    # Python keeps some words for itself, and no name of its has a hyphen.
    word = f"{name}_" if iskeyword(name) else name.replace("-", "_")
    return Verb(line, word, word)


app = group(
    "headroom",
    "Real-time credit control on Kafka.",
    {name: _verb(name, line) for name, line in VERBS.items()},
)


def run() -> None:
    """Entry point. An error of ours is one line on stderr; any other is a bug and shows itself."""
    try:
        app()
    except ConfigurationError as error:
        _say(error)
        sys.exit(WRONG_USE)
    except HeadroomError as error:
        _say(error)
        sys.exit(FAILED)


def _say(error: HeadroomError) -> None:
    from streams.logs import speaks_json  # noqa: PLC0415  only who fails pays for it

    if speaks_json():
        logging.getLogger("agents.cli").critical("%s", error)
    else:
        print(f"headroom: {error}", file=sys.stderr)


if __name__ == "__main__":
    run()
