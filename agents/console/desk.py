"""Orders that wait, as one caller sees them: with what they may do about each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

from agents.console import lists
from agents.console.customer import reach
from agents.console.index import Index
from agents.console.kept import Kept, Proposal
from agents.console.lists import Wanted
from agents.console.telling import Telling
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.gateway.callers import Action, Caller
from agents.live_copy import Place
from schemas.dates import format_instant
from schemas.events import OrderDecision


@dataclass(frozen=True)
class Sources:
    """Where what is shown comes from."""

    place_of: Callable[[str], Place]
    latest_on: Callable[[str, str], list[OrderDecision]]
    index: Index
    kept: Kept
    policies: PolicyBook
    partitions: int

    @property
    def is_behind(self) -> bool:
        """Whether the lists are not whole yet."""
        return self.index.missing(self.partitions) > 0


def anchor(*names: str) -> str:
    """An id in the page for something whose name may have any characters."""
    return "r" + blake2b("\0".join(names).encode(), digest_size=9).hexdigest()


def order_href(account_id: str, order_id: str) -> str:
    """The page of an order."""
    return "/console/order?" + urlencode({"customer": account_id, "id": order_id})


class Desk:
    """Orders that wait, as one caller sees them."""

    def __init__(self, sources: Sources, caller: Caller, telling: Telling) -> None:
        self._sources = sources
        self._caller = caller
        self._telling = telling
        self.may_release = caller.may(Action.RELEASE_ORDERS)
        self._proposed = {
            (one.customer_id, one.order_id): one for one in standing(sources) if self.may_release
        }

    def held_page(self, wanted: Wanted) -> dict[str, Any]:
        """A page of the work list."""
        t, index = self._telling, self._sources.index
        rows, total = lists.held(index, wanted)
        first = (wanted.page - 1) * lists.PAGE
        last = first + len(rows)
        return {
            **wanted._asdict(),
            "rows": [self.held_row(row) for row in rows],
            "total_text": t.count(total),
            "text": t.w.page_of.format(
                first=t.count(first + 1), last=t.count(last), all=t.count(total)
            ),
            "before": "" if wanted.page == 1 else f"/console/?{wanted.query(page=wanted.page - 1)}",
            "after": "" if last >= total else f"/console/?{wanted.query(page=wanted.page + 1)}",
            "csv": f"/console/held.csv?{wanted.query(page=1)}",
            "managers": lists.managers(index),
            "may_release": self.may_release,
            "behind": self._sources.is_behind,
        }

    def held_row(self, row: sqlite3.Row) -> dict[str, Any]:
        """One held order."""
        t = self._telling
        proposal = self._proposed.get((row["account_id"], row["order_id"]))
        return {
            "anchor": anchor("o", row["account_id"], row["order_id"]),
            "account_id": row["account_id"],
            "order_id": row["order_id"],
            "href": order_href(row["account_id"], row["order_id"]),
            "name": row["name"] or "",
            "manager": row["manager"] or "",
            "amount": t.money(row["amount"], row["currency"]),
            "placed": t.instant(row["placed_at"]),
            "placed_iso": format_instant(row["placed_at"]),
            "reasons": row["reasons"].split(),
            "proposed_by": "" if proposal is None else proposal.who,
            **self.button(row["account_id"], row["order_id"]),
        }

    def button(self, account_id: str, order_id: str) -> dict[str, str]:
        """How somebody like this releases an order: by themselves, or by asking somebody else."""
        if not self.may_release:
            return {"button": "", "note": ""}
        missing = self._reach(account_id, order_id, self._caller.name, self._caller.role, None)
        return {"button": "propose" if missing else "release", "note": missing}

    def second_rows(self) -> list[dict[str, Any]]:
        """What waits for a second person."""
        rows = []
        for proposal in standing(self._sources):
            held = lists.held_one(self._sources.index, proposal.customer_id, proposal.order_id)
            if held is not None:
                rows.append(self.held_row(held) | self._proposed_row(proposal))
        return rows

    def swapped(self, proposal: Proposal) -> tuple[bool, str]:
        """Whether whoever confirms releases in their own name, and what is missing either way."""
        caller, ids = self._caller, (proposal.customer_id, proposal.order_id)
        missing = self._reach(*ids, proposal.who, proposal.role, caller.name)
        if not missing:
            return False, ""
        missing_mine = self._reach(*ids, caller.name, caller.role, proposal.who)
        return (True, "") if not missing_mine else (False, missing)

    def _proposed_row(self, proposal: Proposal) -> dict[str, Any]:
        is_mine = proposal.who == self._caller.name
        _, missing = (False, "own_proposal") if is_mine else self.swapped(proposal)
        return {
            "proposed_by": proposal.who,
            "proposed_at": self._telling.instant(proposal.at),
            "why": self._telling.why(proposal.why),
            "proposal_id": proposal.event_id,
            "is_mine": is_mine,
            "can_confirm": not missing,
            "note": missing,
        }

    def _reach(
        self, account_id: str, order_id: str, by: str, role: str, confirmed_by: str | None
    ) -> str:
        place = self._sources.place_of(account_id)
        return reach(
            place.ledger, self._sources.policies, place.account_id, order_id,
            by=by, role=role, confirmed_by=confirmed_by,
        )  # fmt: skip


def standing(sources: Sources) -> list[Proposal]:
    """Proposals about orders that are held as they were then."""
    found = []
    for proposal in sources.kept.proposals():
        place = sources.place_of(proposal.customer_id)
        key = state.order_key(place.account_id, proposal.order_id)
        order: state.Order | None = place.ledger.get(key)
        if (
            order is not None
            and order.status == "held"
            and proposal.decision_number in (None, order.decision_number)
        ):
            found.append(proposal)
    return found
