"""What the dead letters' topic says of a letter, and what is sent when somebody settles one."""

from __future__ import annotations

import msgspec
import pytest
from alerts.told import notice, recipient
from worker.test_worker_process import order

from agents.alerts.notice import decode, encode
from agents.dlq.letters import (
    Letter,
    NoSuchLetterError,
    NotRetriedError,
    event_of,
    find,
    letters_in,
    sent_again,
    settled,
)
from schemas import events as ev
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from streams.cloud_events import ORIGIN
from streams.codec import Codec
from streams.dead_letters import DISCARDED, Settled, dead_letter
from streams.fast_lane.outlet import Outgoing
from streams.record import Record
from streams.registry import LockedSchemaIds

CODEC = Codec(LockedSchemaIds())
ORDERS = topic_of("OrderPlaced")
GOOD = CODEC.encode(order("C-1", "O-1", 100))


def refused(
    offset: int, value: bytes | None = b"hello", topic: str = ORDERS, reason: str = "undecodable"
) -> Outgoing:
    record = Record(topic, 1, offset, 1234, b"C-1", value, [("mine", b"kept")])
    return dead_letter(record, reason=reason, fault_class="message", detail="no event")


def topic(*written: Outgoing) -> list[Record]:
    """Partition 2 of the dead letters, with these records."""
    return [
        Record(DEAD_LETTERS, 2, offset, 5678, one.key, one.value, one.headers)
        for offset, one in enumerate(written)
    ]


def read(*written: Outgoing) -> list[Letter]:
    return letters_in(topic(*written))


def test_a_letter_says_where_it_came_from_and_why_it_was_refused() -> None:
    (letter,) = read(refused(7))
    assert (letter.id, letter.topic, letter.partition, letter.offset) == ("2:0", ORDERS, 1, 7)
    assert (letter.reason, letter.fault_class, letter.detail) == (
        "undecodable",
        "message",
        "no event",
    )
    assert letter.is_open
    assert event_of(letter, CODEC) is None


def test_what_was_refused_again_after_a_crash_is_one_letter_and_settled_as_one() -> None:
    first, again = refused(7), refused(7)
    (letter,) = read(first, again)
    assert letter.id == "2:0"
    (_, later) = letters_in(topic(refused(6), refused(7)))
    (_, settled_one) = read(refused(6), refused(7), settled(later, "retried", "ann", "mended"))
    assert settled_one.settlement is not None
    assert not settled_one.is_open


def test_the_first_settlement_counts() -> None:
    (letter,) = read(refused(7))
    written = refused(7), *(settled(letter, how, by, "r") for how, by in _ACTS)
    (found,) = read(*written)
    assert found.settlement is not None
    assert (found.settlement.how, found.settlement.by) == ("discarded", "ann")


_ACTS: tuple[tuple[Settled, str], ...] = (("discarded", "ann"), ("retried", "bob"))


def test_a_settlement_of_nothing_and_headers_of_others_do_no_harm() -> None:
    stray = Outgoing(DEAD_LETTERS, b"k", None, [("headroom_settled", b"x")])
    foreign = Outgoing(DEAD_LETTERS, None, None, [("headroom_original_offset", b"\xff")])
    (letter,) = read(stray, foreign)
    assert (letter.id, letter.offset, letter.topic) == ("2:1", -1, "")


def test_an_event_that_somebody_discarded_is_not_open() -> None:
    (letter,) = read(refused(7, GOOD, reason=DISCARDED))
    assert not letter.is_open


def test_letters_are_found_in_the_order_in_which_they_came_in() -> None:
    found = find(read(refused(9), refused(8), refused(7)), ["2:0", "2:2", "2:0"])
    assert [letter.offset for letter in found] == [7, 9]


def test_a_letter_that_is_not_there_or_settled_is_named() -> None:
    (letter,) = read(refused(7))
    with pytest.raises(NoSuchLetterError, match="no dead letter 2:5"):
        find([letter], ["2:0", "2:5"])
    done = read(refused(7), settled(letter, "discarded", "ann", "a test"))
    with pytest.raises(NoSuchLetterError, match="2:0 was discarded by ann: a test"):
        find(done, ["2:0"])


def test_a_letter_is_sent_as_it_came() -> None:
    (letter,) = read(refused(7, GOOD))
    assert sent_again(letter, CODEC, 0) == Outgoing(ORDERS, b"C-1", GOOD, [("mine", b"kept")])
    (unread,) = read(refused(7))
    assert sent_again(unread, CODEC, 0) == Outgoing(ORDERS, b"C-1", b"hello", [("mine", b"kept")])


def test_an_event_goes_to_its_own_topic_wherever_it_was_refused() -> None:
    """One that waited is refused with the place of the event that ended its waiting."""
    record = Record(JOURNAL, 0, 3, 1234, b"C-1", GOOD, [(ORIGIN, b"other@u:1:5")])
    (letter,) = read(dead_letter(record, reason="r", fault_class="rule", detail="d"))
    assert sent_again(letter, CODEC, 0) == Outgoing(ORDERS, b"C-1", GOOD, [])


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"hello", JOURNAL),
        (
            CODEC.encode(ev.BusinessDayStarted(event_id="d", occurred_at=0, date=20_000)),
            "BusinessDayStarted",
        ),
    ],
)
def test_what_is_not_sent_to_headroom_is_not_sent_again(value: bytes, what: str) -> None:
    (letter,) = read(refused(7, value, JOURNAL))
    with pytest.raises(NotRetriedError, match=what):
        sent_again(letter, CODEC, 0)


def test_a_notice_of_an_alert_is_sent_again_as_another_attempt_that_is_due_now() -> None:
    said = notice(recipient("erp", "webhook"), level=1)
    (letter,) = read(refused(7, encode(said), "mine-alert-notices"))
    outgoing = sent_again(letter, CODEC, 99)
    assert (outgoing.topic, outgoing.key) == ("mine-alert-notices", b"C-1")
    expected = msgspec.structs.replace(said, attempt=2, not_before=99, level=0)
    assert decode(outgoing.value) == expected
    (nonsense,) = read(refused(8, b"{}", "mine-alert-notices"))
    with pytest.raises(NotRetriedError, match="is no notice"):
        sent_again(nonsense, CODEC, 99)
