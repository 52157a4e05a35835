"""The trace context in headers: read as the W3C says, and the same for work that is done again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.trace_context import TraceContext, begun_at, context_in, span_id_of

_TRACE, _SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_PARENT = f"00-{_TRACE}-{_SPAN}-01".encode()


def test_a_context_is_read_and_passed_on_with_what_systems_say_to_themselves() -> None:
    headers = [("ce_id", b"1"), ("traceparent", _PARENT), ("tracestate", b"v=1"), ("x", None)]
    context = context_in(headers)
    assert context == TraceContext(_TRACE, _SPAN, True, b"v=1")
    assert context.headers() == [("traceparent", _PARENT), ("tracestate", b"v=1")]


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True)]
)
def test_who_began_the_trace_says_whether_it_is_kept(flags: str, sampled: bool) -> None:
    context = context_in([("traceparent", f"00-{_TRACE}-{_SPAN}-{flags}".encode())])
    assert context is not None
    assert context.sampled is sampled
    again = context_in(context.headers())
    assert again == context


@pytest.mark.parametrize(
    "parent",
    [
        None,
        b"",
        b"\xff",
        _PARENT[:-1],
        _PARENT + b"-more",
        _PARENT.upper(),
        b"ff" + _PARENT[2:],
        f"00-{'0' * 32}-{_SPAN}-01".encode(),
        f"00-{_TRACE}-{'0' * 16}-01".encode(),
        _PARENT + b"\n",
    ],
)
def test_what_is_malformed_counts_as_none(parent: bytes | None) -> None:
    assert context_in([("traceparent", parent)]) is None


def test_a_later_version_may_say_more() -> None:
    assert context_in([("traceparent", b"01" + _PARENT[2:] + b"-more")]) is not None


def test_without_a_parent_there_is_no_context_and_a_long_state_is_not_passed_on() -> None:
    assert context_in([]) is None
    assert context_in([("tracestate", b"v=1")]) is None
    context = context_in([("traceparent", _PARENT), ("tracestate", b"v=" + b"1" * 600)])
    assert context is not None
    assert context.state == b""


@given(st.binary(max_size=80))
def test_any_bytes_can_stand_there(raw: bytes) -> None:
    context = context_in([("traceparent", raw)])
    assert context is None or len(context.trace_id) == 32


def test_the_share_is_traced_and_a_place_keeps_its_answer() -> None:
    places = [f"credit.orders.v1@id:{n % 4}:{n}" for n in range(4000)]
    kept = {place for place in places if begun_at(place, 0.1) is not None}
    assert 300 < len(kept) < 500
    assert kept == {place for place in places if begun_at(place, 0.1) is not None}
    assert kept < {place for place in places if begun_at(place, 0.2) is not None}
    assert not [place for place in places if begun_at(place, 0.0) is not None]
    assert all(begun_at(place, 1.0) is not None for place in places)


def test_the_same_work_has_the_same_span_and_other_work_another() -> None:
    context = TraceContext(_TRACE, _SPAN, True)
    same = span_id_of(context, "credit", "journal:0:7")
    assert same == span_id_of(context, "credit", "journal:0:7")
    others = {
        span_id_of(context, "credit", "journal:0:8"),
        span_id_of(context, "sink insert", "journal:0:7"),
        span_id_of(context._replace(span_id=same), "credit", "journal:0:7"),
        span_id_of(context._replace(trace_id=_TRACE[::-1]), "credit", "journal:0:7"),
    }
    assert len(others) == 4
    assert same not in others
