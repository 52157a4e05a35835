"""The W3C trace context in a record's headers: which trace it belongs to, and the span behind it.

Pure, and without OpenTelemetry: every record is looked at, few belong to a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from streams.cloud_events import Headers

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
_STATE_BYTES_MAX = 512
"""What has to be passed on at least; of a longer one nothing is (Trace Context, 3.3.1.5)."""
_SAMPLED = 1
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_INVALID_VERSION = b"ff"
_FIRST_VERSION = b"00"


class TraceContext(NamedTuple):
    """Where a record stands in a trace. Ids as lower-case hexadecimal digits.

    Attributes:
        trace_id: of the trace, 32 digits.
        span_id: of the span behind the record, 16 digits; empty where the trace begins.
        sampled: whether spans are kept of it; whoever began the trace has decided.
        state: what tracing systems say to themselves, passed on as it came.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: bytes = b""

    def headers(self) -> Headers:
        """How it stands on a record that follows."""
        parent = f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"
        carried: Headers = [(TRACEPARENT, parent.encode())]
        if self.state:
            carried.append((TRACESTATE, self.state))
        return carried


def context_in(headers: Iterable[tuple[str, bytes | None]]) -> TraceContext | None:
    """The context that a record carries; None without one, or with one that is malformed."""
    said = dict(headers)  # faster than to look at one after the other; the last one counts
    parent = said.get(TRACEPARENT)
    if parent is None:
        return None
    found = _PARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _INVALID_VERSION or (version == _FIRST_VERSION and more is not None):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    state = said.get(TRACESTATE) or b""
    kept = state if len(state) <= _STATE_BYTES_MAX else b""
    return TraceContext(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED), kept)


def begun_at(place: str, share: float) -> TraceContext | None:
    """A trace that begins with the record at a place; None if that is not one of the share of
    records that are traced. The same place gives the same answer.
    """
    digest = blake2b(place.encode(), digest_size=16)
    # The last eight bytes are what samplers look at that follow OpenTelemetry's.
    if int.from_bytes(digest.digest()[8:], "big") >= share * (1 << 64):
        return None
    return TraceContext(digest.hexdigest(), "", sampled=True)


def span_id_of(context: TraceContext, name: str, place: str) -> str:
    """The id of what `name` does with the record at a place. It is the same when the work is done
    again, so that what goes out is the same, headers included.
    """
    said = f"{context.trace_id}\0{context.span_id}\0{name}\0{place}"
    return blake2b(said.encode(), digest_size=8).hexdigest()
