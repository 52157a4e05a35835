"""Whether a person may release an order: authority by role, and four eyes above an amount."""

from __future__ import annotations

from fractions import Fraction

from agents.credit import state
from agents.credit.case import Case
from agents.credit.positions import order_extent
from schemas.events import Minor


class Overreach(Exception):  # noqa: N818  what it is, not that something broke
    """The authority does not reach: the reason and field of the refusal, and a sentence."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field


def check_authority(case: Case, order_id: str, order: state.Order, release: state.Override) -> None:
    """Compare what the order has come to with what the policy lets the person release.

    Raises `Overreach`. A policy that names no roles and no amount for four eyes lets everybody.
    """
    policy = case.policy
    if not policy.authority and policy.four_eyes_above is None:
        return
    if not case.is_valued(order.currency):
        raise Overreach(
            "fx_rate_missing",
            "order_id",
            f"order {order_id} is in {order.currency}, which no rate values today, so nobody's "
            "authority can be compared with it",
        )
    amount = case.exact(order_extent(order), order.currency)
    if policy.authority:
        if release.role not in policy.authority:
            named = (
                "no role is named" if release.role is None else f"role {release.role!r} has none"
            )
            raise Overreach(
                "authority_missing",
                "role",
                f"order {order_id}: the policy asks for authority to release, {named}",
            )
        text = policy.authority[release.role]
        _compare(
            case,
            amount,
            text,
            "authority_exceeded",
            "role",
            f"order {order_id}: role {release.role!r} may release up to {text}",
        )
    if policy.four_eyes_above is not None and release.confirmed_by in (None, release.by):
        text = policy.four_eyes_above
        _compare(
            case,
            amount,
            text,
            "second_person_missing",
            "confirmed_by",
            f"order {order_id}: above {text} another person than {release.by!r} confirms",
        )


def _compare(
    case: Case, amount: Minor | Fraction, text: str, reason: str, field: str, detail: str
) -> None:
    most = case.policy_amount(text)
    if most is None or amount > most:
        raise Overreach(reason, field, detail)
