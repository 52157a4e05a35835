"""The page of an order and what explains it, said in somebody's language."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from agents.console.customer import OrderLine
from agents.console.desk import Desk
from agents.console.kept import Proposal
from agents.console.telling import Telling
from agents.credit.explanation import Explanation
from agents.credit.obstacles import Obstacle
from agents.gateway.callers import Action, Caller
from schemas.events import OrderDecision


def order_shown(
    one: OrderLine,
    account_id: str,
    name: str,
    holds: list[Obstacle],
    decided: list[OrderDecision],
    desk: Desk,
    proposal: Proposal | None,
    caller: Caller,
    t: Telling,
    answer: dict[str, Any] | None,
) -> dict[str, Any]:
    """The page of an order. `answer`: to the hold, if it is on hold."""
    w = t.w
    held = one.status == "held"
    acts = []
    if held and desk.may_release:
        acts.append("release")
    if caller.may(Action.HOLD_ORDERS) and not one.held_by and one.status != "cancelled":
        acts.append("hold")
    facts = [
        (w.amount, t.money(one.total, one.currency)),
        (w.reserved, t.money(one.open, one.currency) if one.open else ""),
        (w.placed, t.instant(one.placed_at)),
        (w.held_by, one.held_by),
    ]
    return {
        "order_id": one.order_id,
        "account_id": account_id,
        "name": name,
        "status": one.status,
        "facts": [(label, value) for label, value in facts if value],
        "obstacles": [_obstacle(each, t) for each in holds],
        "acts": acts,
        "answer": answer,
        "proposed_by": "" if proposal is None else proposal.who,
        "proposed_why": "" if proposal is None else t.why(proposal.why),
        "decision": decision_facts(decided[0], t) if decided else [],
        "explain": "/console/explain?" + urlencode({"customer": account_id, "id": one.order_id}),
        **(desk.button(account_id, one.order_id) if held else {"button": "", "note": ""}),
    }


def decision_facts(decision: OrderDecision, t: Telling) -> list[tuple[str, str]]:
    """What a decision says."""
    w, own = t.w, decision.account_currency
    facts = [
        (w.status, w.get(f"decision_{decision.decision}", decision.decision)),
        (w.when, t.instant(decision.occurred_at)),
        (w.reason, ", ".join(w.get(f"reason_{one}", one) for one in decision.reasons)),
        (w.by, "" if decision.by is None else f"{decision.by}: {t.why(decision.why or '')}"),
        (w.amount, t.money(decision.amount, decision.currency)),
        (w.exposure_before, t.money(decision.exposure_before, own)),
        (w.exposure_after, t.money(decision.exposure_after, own)),
        (w.limit, t.money(decision.credit_limit, own)),
        (w.headroom, t.money(decision.headroom, own)),
        (w.policy, decision.policy_version),
        (w.cause, decision.cause_event_id),
    ]
    return [(label, value) for label, value in facts if value]


def _obstacle(one: Obstacle, t: Telling) -> dict[str, str]:
    return {
        "reason": t.w.get(f"reason_{one.reason}", one.reason),
        "finding": t.sentence(one.finding),
        "remedy": t.sentence(one.remedy),
    }


def explained(found: list[Explanation], t: Telling) -> list[dict[str, Any]]:
    """Every decision on an order, and what counted in each."""
    return [
        {
            "number": ruling.decision.decision_number,
            "decision": ruling.decision.decision,
            "at": t.instant(ruling.decision.occurred_at),
            "facts": decision_facts(ruling.decision, t),
            "obstacles": [_obstacle(each, t) for each in ruling.obstacles],
            "inputs": [
                {
                    "what": each.what,
                    "id": each.id,
                    "due_on": "" if each.due_on is None else t.day(each.due_on),
                    "amount": t.money(each.amount, each.currency),
                }
                for each in ruling.inputs
            ],
        }
        for one in found
        for ruling in one.rulings
    ]
