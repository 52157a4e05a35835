"""What a comparison says: differences with their causes, what it compared, what it could not."""

from __future__ import annotations

from collections import Counter
from typing import Literal, TypeAlias

import msgspec

Against: TypeAlias = Literal["live_state", "exposures", "clickhouse"]
"""What the journal was compared with."""
NAMES: dict[Against, str] = {
    "live_state": "live state",
    "exposures": "published",
    "clickhouse": "ClickHouse",
}


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as the journal gives it.

    Attributes:
        against: what differs from the journal.
        account_id: the customer or group that it is about; empty when it is about none.
        what: the document, index or row.
        field: of it; empty when it is missing, or there without reason, as a whole.
        found: what stands there.
        expected: what the journal gives.
        cause: how that can have come about.
        place: where to look.
    """

    against: Against
    account_id: str
    what: str
    field: str
    found: str
    expected: str
    cause: str
    place: str

    def __str__(self) -> str:
        about = ", ".join(part for part in (self.account_id, self.what, self.field) if part)
        return (
            f"{about}: {NAMES[self.against]} {self.found}, journal {self.expected}"
            f" [{self.place}]: {self.cause}"
        )


class Note(msgspec.Struct, frozen=True):
    """What has to be known of a comparison that is no difference; `incomplete`: something could not
    be compared at all.
    """

    text: str
    incomplete: bool = False


class Tally:
    """Counts what was compared and what was found."""

    def __init__(self) -> None:
        self.accounts = 0
        self.records = 0
        self.rows = 0
        self.differences: Counter[Against] = Counter()
        self.incomplete = 0

    def count(self, finding: Difference | Note) -> None:
        if isinstance(finding, Difference):
            self.differences[finding.against] += 1
        elif finding.incomplete:
            self.incomplete += 1

    @property
    def is_clean(self) -> bool:
        return not self.differences.total() and not self.incomplete

    def __str__(self) -> str:
        return f"{self.differences.total():,} differences in {self.accounts:,} accounts"
