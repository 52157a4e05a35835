"""What may follow from an event in the credit room."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agents.core.refusal import Refusal
from schemas.events import (
    CreditLimitAlert,
    Day,
    DunningStep,
    DunningStepSettled,
    Event,
    HandoverChanged,
    Minor,
    OrderDecision,
    RiskSignal,
)


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


class Sent(msgspec.Struct, frozen=True, gc=False):
    """How an event was forwarded: to which group (empty: to a customer), and under which customers'
    ids it came before, the first one first.
    """

    group_id: str = ""
    aliases: tuple[str, ...] = ()


class Forward(msgspec.Struct, frozen=True, gc=False):
    """The event is to be applied where the account is kept.

    `key` says where, in the journal: the id of a group or of a customer. The event is the one that
    came, or one that carries the account there.
    """

    key: str
    sent: Sent
    event: Event


class Continuation(msgspec.Struct, frozen=True, gc=False):
    """The dunning run of the day goes on in this partition, behind what has come meanwhile."""

    day: Day
    number: int


Effect: TypeAlias = (
    OrderDecision
    | CreditLimitAlert
    | RiskSignal
    | Refusal
    | AccountTouched
    | AccountLeft
    | GroupTouched
    | Forward
    | DunningStep
    | DunningStepSettled
    | HandoverChanged
    | Continuation
)
