"""The alerts that somebody was or is to be told of, with what became of each notice and what people
did. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agents.alerts.alert import Alert
from agents.alerts.notice import Answered, Notice, Over, Said, Snoozed
from agents.notify.outbox import Known
from schemas.events import Instant

WAITING = "waiting"
LEAVING = "leaving"


@dataclass
class ToldOf:
    """One recipient of an alert.

    Attributes:
        state: `waiting`, `leaving`, or what became of it: `sent`, `withdrawn`, `failed`, `bounced`,
            `late`, `uncertain`; empty when it is too long ago to be known.
        at: when that was; of what waits, the earliest time at which it leaves.
    """

    recipient: str
    level: int
    state: str
    at: Instant


@dataclass
class OpenAlert:
    """An alert. `ended`: what it is about has ended by itself."""

    alert: Alert
    name: str
    told: list[ToldOf] = field(default_factory=list)
    acknowledged_by: str = ""
    acknowledged_at: Instant = 0
    snoozed_until: Instant = 0
    ended: bool = False

    @property
    def is_open(self) -> bool:
        """Whether somebody should see to it: what only informs has no subject."""
        return bool(self.alert.subject) and not self.acknowledged_by and not self.ended


class AlertBook:
    """Made from all partitions of the notices."""

    def __init__(self) -> None:
        self._alerts: dict[str, OpenAlert] = {}
        self._answers: dict[str, Answered] = {}
        self._snoozes: dict[str, Snoozed] = {}
        self._over: dict[str, Instant] = {}

    def read(
        self, records: Iterable[tuple[int, Said]], known: Mapping[str, Known], position: int
    ) -> None:
        """Take in a partition.

        Args:
            records: with their offsets.
            known: what the changelog says of its notices.
            position: before which all is settled.
        """
        told: set[str] = set()
        for offset, said in records:
            match said:
                case Notice() if said.key not in told:
                    told.add(said.key)
                    one = self._alerts.setdefault(
                        said.alert.alert_id, OpenAlert(said.alert, said.name)
                    )
                    one.told.append(_told_of(said, offset, known.get(said.key), position))
                case Answered():
                    self._answers[said.alert_id] = said
                case Snoozed():
                    what = said.alert_id or f" {said.customer_id}"
                    before = self._snoozes.get(what)
                    if before is None or said.at >= before.at:
                        self._snoozes[what] = said
                case Over():
                    self._over[said.subject] = max(said.at, self._over.get(said.subject, 0))

    def alerts(self) -> Iterator[OpenAlert]:
        """The oldest first."""
        for one in sorted(
            self._alerts.values(), key=lambda one: (one.alert.at, one.alert.alert_id)
        ):
            alert = one.alert
            answer = self._answers.get(alert.alert_id)
            if answer is not None:
                one.acknowledged_by, one.acknowledged_at = answer.by, answer.at
            snoozes = (self._snoozes.get(w) for w in (alert.alert_id, f" {alert.customer_id}"))
            one.snoozed_until = max((s.until for s in snoozes if s is not None), default=0)
            one.ended = bool(alert.subject) and self._over.get(alert.subject, -1) >= alert.at
            one.told.sort(key=lambda told: (told.level, told.at, told.recipient))
            yield one

    def find(self, alert_id: str) -> OpenAlert | None:
        return self._alerts.get(alert_id)


def _told_of(notice: Notice, offset: int, known: Known | None, position: int) -> ToldOf:
    if known is None:
        state = WAITING if offset >= position else ""
        return ToldOf(notice.recipient, notice.level, state, notice.not_before)
    if known.mark:
        return ToldOf(notice.recipient, notice.level, LEAVING, notice.not_before)
    return ToldOf(notice.recipient, notice.level, known.result, known.at)
