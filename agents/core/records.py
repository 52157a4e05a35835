"""What every room's records in a store have in common."""

from __future__ import annotations

import msgspec

from schemas.events import Instant


class Record(msgspec.Struct, array_like=True, kw_only=False, omit_defaults=False, gc=False):
    """Fields are stored by place: add new ones at the end, with a default, and old values still
    read.

    The collector of cycles does not look at records: they hold none, and there are many.
    """


class Stamp(Record):
    """When a fact that replaces its predecessor arose at its source, and the events that said so
    then.
    """

    at: Instant = -(2**63)
    event_ids: list[str] = []
