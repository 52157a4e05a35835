"""CloudEvents in headers: what goes out says what it is, and what comes in may."""

from __future__ import annotations

from contracts.event_strategies import example

from schemas.events import BY_NAME, OrderPlaced
from streams.cloud_events import Attributes, headers_of, read

_ORDER = OrderPlaced(
    event_id="e-17",
    occurred_at=1_772_443_800_000_000,
    customer_id="C-1",
    order_id="O-9",
    amount=125_000,
    currency="EUR",
)


def test_headers_are_those_of_the_binary_mode() -> None:
    assert headers_of("credit")(_ORDER) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-17"),
        ("ce_type", b"headroom.OrderPlaced"),
        ("ce_source", b"/headroom/credit"),
        ("ce_time", b"2026-03-02T09:30:00Z"),
        ("content-type", b"application/avro"),
    ]


def test_headers_that_are_written_read_back_for_every_event() -> None:
    write = headers_of("intake")
    for name, kind in BY_NAME.items():
        event = example(kind)
        assert read(write(event)) == Attributes(
            specversion="1.0",
            id=event.event_id,
            type=f"headroom.{name}",
            source="/headroom/intake",
            time="2026-03-02T09:30:00Z",
        )


def test_headers_can_be_added_to_without_changing_the_next_ones() -> None:
    write = headers_of("intake")
    write(_ORDER).append(("headroom_origin", b"x"))
    assert "headroom_origin" not in dict(write(_ORDER))


def test_what_is_no_cloud_event_reads_as_none() -> None:
    assert read(None) is None
    assert read([]) is None
    assert read([("ce_id", b"1")]) is None


def test_strange_headers_do_no_harm() -> None:
    """Bytes that are no text, nulls, repeats: the last of a name counts."""
    found = read(
        [("ce_specversion", b"1.0"), ("ce_id", b"\xff"), ("ce_type", None), ("x", b"y"),
         ("ce_source", b"/a"), ("ce_source", b"/b")]
    )  # fmt: skip
    assert found == Attributes(specversion="1.0", source="/b")
