"""What may follow from an event in the credit room."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agents.core.refusal import Refusal
from schemas.events import CreditLimitAlert, Event, Minor, OrderDecision


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


class AccountLeft(msgspec.Struct, frozen=True, gc=False):
    """The account is kept elsewhere from now on: this partition no longer speaks for it."""

    account_id: str
    before: Standing


class GroupTouched(msgspec.Struct, frozen=True, gc=False):
    """The group's figures may have changed: the next commit publishes them."""

    group_id: str


class Forward(msgspec.Struct, frozen=True, gc=False):
    """The event is to be applied where the account is kept.

    `key` says where, in the journal: the id of a group (then `seat` is that id too) or of a
    customer. The event is the one that came, or one that carries the account there.
    """

    key: str
    seat: str
    event: Event


Effect: TypeAlias = (
    OrderDecision
    | CreditLimitAlert
    | Refusal
    | AccountTouched
    | AccountLeft
    | GroupTouched
    | Forward
)
