"""Notices of alerts as a trade: when each leaves, with which others, and when not at all. Pure.

told at once      with the recipient's digest, outside their quiet hours unless it is urgent
escalated         the same, when its time has come and nobody acknowledged the alert, nor has
what it is about ended by itself
snoozed           not before the snooze ends
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.alerts.notice import Answered, Bundle, Notice, Over, Said, Snoozed
from agents.alerts.routes import Recipient
from agents.alerts.timing import AT_ONCE, due_at, is_quiet
from agents.notify.outbox import Known, Now
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, Instant

_LATE = MICROSECONDS_PER_DAY
"""A notice that could not leave for a day after it was due does not leave any more."""
_REMEMBERED_DAYS = 8
"""How long is known what became of a notice, and what people did."""
_ANSWERED = "answered!"
_SNOOZED = "snoozed!"


class Notices:
    """Those of one partition.

    Args:
        recipients: by their names. Whoever is not there any more cannot be told.
    """

    queue_max = 2_000

    def __init__(self, recipients: Mapping[str, Recipient]) -> None:
        self._recipients = recipients
        self._answered: set[str] = set()
        self._snoozed: dict[str, Instant] = {}
        """Until when, by alert or, behind a blank, by customer."""

    # ── what is heard ───────────────────────────────────────────────────────────────────────────

    def hear(self, offset: int, said: Said) -> Mapping[str, Known] | None:
        match said:
            case Answered():
                self._answered.add(said.alert_id)
                until = said.at // MICROSECONDS_PER_DAY + _REMEMBERED_DAYS
                known = Known(offset, until, result=said.by, at=said.at)
                return {f"{_ANSWERED}{said.alert_id}": known}
            case Snoozed():
                what = _snoozed_by(said.alert_id, said.customer_id)
                self._snoozed[what] = said.until
                until = said.until // MICROSECONDS_PER_DAY + 1
                known = Known(offset, until, result=said.by, at=said.until)
                return {f"{_SNOOZED}{what}": known}
            case Over():
                return {}
            case _:
                return None

    def recall(self, key: str, known: Known) -> None:
        if key.startswith(_ANSWERED):
            self._answered.add(key.removeprefix(_ANSWERED))
        elif key.startswith(_SNOOZED):
            self._snoozed[key.removeprefix(_SNOOZED)] = known.at

    def errand(self, said: Said) -> Notice | None:
        return said if isinstance(said, Notice) else None

    def is_off(self, said: Said | None, errand: Notice) -> bool:
        """Only an escalation can be: who is told first is told in any case."""
        if not errand.level:
            return False
        if isinstance(said, Over):
            return said.subject == errand.alert.subject and errand.alert.at <= said.at
        return errand.alert.alert_id in self._answered

    # ── when it leaves ──────────────────────────────────────────────────────────────────────────

    def due(self, errand: Notice) -> Instant:
        at = max(errand.not_before, self._snoozed_until(errand))
        recipient = self._recipients.get(errand.recipient)
        if errand.urgent or recipient is None:
            return at
        return due_at(at, recipient.zone, errand.digest, recipient.quiet)

    def may_leave(self, errand: Notice, now: Now) -> bool:
        """What was due before the quiet hours and could not leave waits for their end."""
        recipient = self._recipients.get(errand.recipient)
        if (
            errand.urgent
            or recipient is None
            or not is_quiet(now.at, recipient.zone, recipient.quiet)
        ):
            return True
        return self.is_late(errand, now)

    def is_late(self, errand: Notice, now: Now) -> bool:
        return now.at > self.due(errand) + _LATE

    def _snoozed_until(self, errand: Notice) -> Instant:
        alert = errand.alert
        return max(
            self._snoozed.get(_snoozed_by(alert.alert_id, ""), 0),
            self._snoozed.get(_snoozed_by("", alert.customer_id), 0),
        )

    # ── how it leaves ───────────────────────────────────────────────────────────────────────────

    def key_of(self, errand: Notice) -> str:
        return errand.key

    def way_of(self, errand: Notice) -> str:
        """All mails take the same server; of what has a URL each has a queue of its own."""
        recipient = self._recipients.get(errand.recipient)
        if recipient is None:
            return ""
        return "email" if recipient.channel == "email" else f"to {recipient.name}"

    def until(self, errand: Notice) -> Day:
        return errand.not_before // MICROSECONDS_PER_DAY + _REMEMBERED_DAYS

    def gathers(self, errand: Notice) -> str:
        if errand.urgent or errand.digest == AT_ONCE or errand.recipient not in self._recipients:
            return ""
        return errand.recipient

    def message(self, errands: Sequence[Notice]) -> Bundle:
        return Bundle(self._recipients[errands[0].recipient], tuple(errands))

    def channel_of(self, errand: Notice) -> str:
        """The channel, for figures."""
        recipient = self._recipients.get(errand.recipient)
        return "none" if recipient is None else recipient.channel


def _snoozed_by(alert_id: str, customer_id: str) -> str:
    return alert_id or f" {customer_id}"
