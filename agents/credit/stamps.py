"""Facts that replace each other: the one that arose last at its source counts, whenever it
arrives.
"""

from __future__ import annotations

from agents.core.records import Stamp
from schemas.events import Event


def is_news(stamp: Stamp, event: Event) -> bool:
    """Whether the event is newer than what stands. Of one instant the later one to arrive is; a
    repeat is not.
    """
    if event.occurred_at == stamp.at:
        return event.event_id not in stamp.event_ids
    return event.occurred_at > stamp.at


def supersedes(stamp: Stamp, event: Event) -> bool:
    """The same, and from now on the event is what stands."""
    if not is_news(stamp, event):
        return False
    if event.occurred_at > stamp.at:
        stamp.at = event.occurred_at
        stamp.event_ids = []
    stamp.event_ids.append(event.event_id)
    return True
