"""What may follow from an event in the credit room."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agents.core.refusal import Refusal
from schemas.events import CreditLimitAlert, Minor, OrderDecision


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What an account adds to its portfolio; exposure in minor units."""

    currency: str
    exposure: Minor
    held_orders: int


class AccountTouched(msgspec.Struct, frozen=True, gc=False):
    """The account's figures may have changed: the next commit publishes them."""

    account_id: str
    before: Standing
    after: Standing


Effect: TypeAlias = OrderDecision | CreditLimitAlert | Refusal | AccountTouched
