"""What takes letters to people, and what can become of one.

A carrier is asked in two steps, so that it can be written down in between that the letter is about
to leave: `begin` does all that can still be taken back, `finish` what cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from schemas.events import DunningStep, HandoverChanged

Errand: TypeAlias = DunningStep | HandoverChanged
"""What is to be taken to somebody: a step, or what has changed of a claim that was handed over."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt: `result` is as in `DunningStepReported`."""

    result: str
    detail: str | None = None


@dataclass(frozen=True)
class Words:
    """What a letter says, to be kept: `html` is empty where only the text goes out, `to` where the
    carrier knows the address.
    """

    to: str
    language: str
    subject: str
    text: str
    html: str


class CarrierAwayError(Exception):
    """The carrier cannot be reached; no letter can go this way now.

    The text stands in the log: codes, not what was answered, which may name a person. So it is with
    `NotNowError`.
    """


class NotNowError(Exception):
    """The carrier does not take this letter now, and may later. It has not left."""


class RefusedError(Exception):
    """It will never be taken: `result` is `bounced` or `failed`. It has not left.

    Attributes:
        outcome: what is reported, with what was answered.
        code: of the answer, where there was one.
    """

    def __init__(self, result: str, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.outcome = Outcome(result, detail)
        self.code = code


class InDoubtError(Exception):
    """Nobody knows whether the letter has left."""


class Leaving(Protocol):
    """A letter with one foot out of the door; `words` is None for what is no letter."""

    @property
    def words(self) -> Words | None: ...

    def finish(self) -> str:
        """Let it go; what the carrier said.

        Raises `CarrierAwayError`, `NotNowError`, `RefusedError`, `InDoubtError`.
        """
        ...

    def drop(self) -> None:
        """It stays."""
        ...


class Carrier(Protocol):
    """One way to people. Belongs to one thread at a time."""

    repeatable: bool
    """Whether the same letter can be given to it twice and leaves once."""

    def begin(self, errand: Any) -> Leaving:
        """Do all that does not commit to anything yet: for a letter an `Errand`, for alerts a
        `Bundle`.

        Raises `CarrierAwayError`, `NotNowError`, `RefusedError`, and `MissingTextError` for a step
        whose text nobody wrote.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def step_of(errand: Errand) -> DunningStep:
    """The step, for a carrier that takes letters.

    Raises:
        RefusedError: it is no letter.
    """
    if isinstance(errand, DunningStep):
        return errand
    raise RefusedError("failed", f"{errand.channel} takes letters only")
