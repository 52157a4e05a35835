"""Facts that replace each other: the one that arose last at its source counts, whenever it
arrives.
"""

from __future__ import annotations

from agents.credit import state
from schemas.events import Event


def supersedes(stamp: state.Stamp, event: Event) -> bool:
    """Whether the event is newer than what stands, and from now on stands. A repeat is not."""
    if event.occurred_at < stamp.at:
        return False
    if event.occurred_at == stamp.at:
        if event.event_id in stamp.event_ids:
            return False
        stamp.event_ids.append(event.event_id)
        return True
    stamp.at = event.occurred_at
    stamp.event_ids = [event.event_id]
    return True
