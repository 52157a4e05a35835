"""One line in the log for each thing that somebody changed, or tried to: who, in which role, what,
to what end. No names stand in it (docs/operations.md#logs): the caller is an id, that of the key's
entry in the file or the identity provider's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agents.gateway.callers import Caller
from agents.gateway.problems import Problem
from agents.intake.rules import account_of
from schemas.events import Event

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)  # whatever HEADROOM_LOG_LEVEL says of the rest


@dataclass
class Entry:
    """What becomes known on the way.

    Attributes:
        act: type of the event; until there is one, what was to be done.
        event_id: of what is written.
        account: the customer's id.
        order_id: where it is about an order.
        result: `accepted` unless something else is said, or the kind of the problem.
    """

    act: str
    event_id: str = ""
    account: str = ""
    order_id: str = ""
    result: str = "accepted"

    def is_about(self, event: Event) -> None:
        """It is this that is written."""
        self.act = type(event).__name__
        self.event_id = event.event_id
        self.account = account_of(event) or ""
        self.order_id = getattr(event, "order_id", "")


@contextmanager
def audited(caller: Caller, act: str) -> Iterator[Entry]:
    """Write the line when what is done here has ended, however it did."""
    entry = Entry(act)
    try:
        yield entry
    except Problem as problem:
        entry.result = problem.kind
        raise
    except asyncio.CancelledError:
        entry.result = "abandoned"
        raise
    except Exception:
        entry.result = "failed"
        raise
    finally:
        logger.info(
            "%s by %s (%s): %s, event %s",
            entry.act, caller.id, caller.role, entry.result, entry.event_id or "none",
            extra={
                "act": entry.act, "who": caller.id, "role": caller.role, "result": entry.result,
                "event_id": entry.event_id, "account": entry.account, "order_id": entry.order_id,
            },
        )  # fmt: skip
