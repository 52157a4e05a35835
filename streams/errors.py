"""What goes wrong, by whose fault it is.

A bad message is parked, a bad transport is tried again, a bad configuration refuses to start, a
broken invariant stops the worker. What the business refuses is a value (`agents.core.refusal`),
not an error.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

MessageFault: TypeAlias = Literal["undecodable", "unknown_schema", "too_large", "unknown_type"]
"""Why bytes are no event; stands in the dead letter's headers and in the metrics."""


class HeadroomError(Exception):
    """The root of our errors: its text is one clear line for the person who reads it.

    Attributes:
        loggable: whether the text may stand in the log, where nothing of what events say may be.
    """

    loggable: ClassVar[bool] = True


class InvalidMessage(HeadroomError):  # noqa: N818  says what it is about, not that it is an error
    """These bytes are no event and never will be: park them, do not try again.

    Attributes:
        reason: the fault, one of a closed list.
        detail: what exactly is wrong, without the content of the message.
        schema_id: the id in the message's first bytes, where it has one.
        type: the event's type, where the id tells it.
    """

    loggable = False

    def __init__(
        self,
        reason: MessageFault,
        detail: str,
        *,
        schema_id: int | None = None,
        type: str | None = None,  # noqa: A002  the contract's word
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: MessageFault = reason
        self.detail = detail
        self.schema_id = schema_id
        self.type = type


class TransportError(HeadroomError):
    """Something we depend on does not answer: try again after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConfigurationError(HeadroomError):
    """A setting is wrong or missing; the message names it. Nothing is started."""


class InvariantViolated(HeadroomError):  # noqa: N818
    """The program contradicts itself. Nobody catches this: the worker stops."""

    loggable = False
