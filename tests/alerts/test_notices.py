"""Whatever people do and whenever it is looked: each notice leaves once, none in quiet hours unless
it is urgent, and none is lost in a digest.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from alerts.told import AMSTERDAM, AT, HOUR, MINUTE, alert, decision, limit_alert, notice, recipient
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.alerts.notice import Answered, Notice, Over, Said, Snoozed, again, decode, encode
from agents.alerts.timing import AT_ONCE, Digest, Quiet, is_quiet
from agents.notify.notices import Notices
from agents.notify.outbox import Known, Now, Outbox, Waiting
from schemas.dates import MICROSECONDS_PER_DAY

_NIGHT = Quiet(20 * 60, 7 * 60)
_PEOPLE = {
    one.name: one
    for one in (
        recipient("ann", zone=AMSTERDAM, quiet=_NIGHT),
        recipient("ben", zone=AMSTERDAM, digest=Digest(every=30), quiet=_NIGHT),
        recipient("cis", digest=Digest(daily=480)),
        recipient("erp", "webhook", address="https://erp.example/hook"),
        recipient("desk", "chat", address="https://chat.example/hook", digest=Digest(every=60)),
    )
}


def now(at: int) -> Now:
    return Now(at, at // MICROSECONDS_PER_DAY)


class Post:
    """A worker that tells, in small: what it was told, what was written, what has left."""

    def __init__(self, people: dict[str, Any] | None = None) -> None:
        self._people = _PEOPLE if people is None else people
        self.log: list[Said] = []
        self.written: dict[str, Known] = {}
        self.position = 0
        self.left: list[tuple[int, list[Notice]]] = []
        self.results: Counter[str] = Counter()
        self.outbox = Outbox(Notices(self._people), {})

    def hear(self, said: Said, at: int) -> None:
        self.log.append(decode(encode(said)))
        self.outbox.take(len(self.log) - 1, 1, self.log[-1], now(at))

    def look(self, at: int) -> None:
        """Let leave all that may."""
        while things := self.outbox.next(lambda _: True, now(at)):
            late = self.outbox.trade.is_late(things[0].errand, now(at))
            result = "failed" if things[0].refused else "late" if late else "sent"
            if result == "sent":
                self.left.append((at, [one.errand for one in things]))
            self.results[result] += len(things)
            self._write(self.outbox.settled(things, result, at))

    def restart(self, at: int) -> None:
        """Another worker takes over, with what was written."""
        self.outbox = Outbox(Notices(self._people), self.written)
        for offset in range(self.position, len(self.log)):
            self.outbox.take(offset, 1, self.log[offset], now(at))

    def _write(self, settled: dict[str, Known]) -> None:
        self.position = self.outbox.position(len(self.log))
        self.written |= {**self.outbox.notes(), **settled}

    @property
    def told(self) -> Counter[str]:
        return Counter(one.key for _, together in self.left for one in together)


def test_a_digest_holds_all_that_came_until_then_and_is_one_message() -> None:
    post = Post()
    ben = _PEOPLE["ben"]
    for number in range(3):
        about = alert(decision(f"O-{number}"), AT + (number + 1) * MINUTE)
        post.hear(notice(ben, about), AT + HOUR // 2 - MINUTE)
    post.look(AT + 29 * MINUTE)
    assert post.left == []
    post.look(AT + 30 * MINUTE)
    ((_, together),) = post.left
    assert [one.alert.said["order_id"] for one in together] == ["O-0", "O-1", "O-2"]


def test_who_has_not_acknowledged_in_time_has_somebody_else_told() -> None:
    ann, head = _PEOPLE["ann"], recipient("head")
    people = {"ann": ann, "head": head}
    later: dict[str, Any] = {"level": 1, "not_before": AT + HOUR}
    for act, told_in_time, told_later in (
        (None, 2, 2),
        (Answered("d-O-9-held", "ann", AT), 1, 1),
        (Answered("another", "ann", AT), 2, 2),
        (Over("order O-9 of C-1", AT + MINUTE), 1, 1),
        (Over("order O-9 of C-1", AT - MINUTE), 2, 2),  # it was held again after that
        (Snoozed("C-1", "d-O-9-held", "ann", AT, AT + 3 * HOUR), 0, 2),
    ):
        post = Post(people)
        for said in (act, notice(ann), notice(head, **later), act):
            # What ends by itself is told in its order; what people do may come before the notice.
            if said is not None and not (isinstance(said, Over) and not post.log):
                post.hear(said, AT)
        post.restart(AT)
        post.look(AT + HOUR)
        assert sum(post.told.values()) == told_in_time, act
        post.look(AT + 3 * HOUR)
        assert sum(post.told.values()) == told_later, act


def test_what_is_urgent_comes_through_at_night_and_the_rest_in_the_morning() -> None:
    post = Post()
    night = AT + 12 * HOUR  # 22:30 there
    post.hear(notice(_PEOPLE["ann"], alert(decision("O-1"), night)), night)
    post.hear(notice(_PEOPLE["ann"], alert(decision("O-2"), night), urgent=True), night)
    post.look(night)
    assert [one.alert.said["order_id"] for _, told in post.left for one in told] == ["O-2"]
    post.look(night + 8 * HOUR + 29 * MINUTE)
    assert len(post.left) == 1
    post.look(night + 8 * HOUR + 30 * MINUTE)
    assert len(post.left) == 2


def test_what_could_not_leave_before_the_night_waits_for_its_end() -> None:
    post = Post()
    evening = AT + 9 * HOUR + 29 * MINUTE  # 19:59 there
    post.hear(notice(_PEOPLE["ann"], alert(decision("O-1"), evening)), evening)
    post.look(evening + 2 * MINUTE)
    assert post.left == []
    post.look(evening + 12 * HOUR)
    assert len(post.left) == 1


def test_a_notice_is_good_for_a_day() -> None:
    post = Post()
    post.hear(notice(_PEOPLE["erp"]), AT)
    post.look(AT + 24 * HOUR + 1)
    assert (post.left, post.results) == ([], Counter(late=1))


def test_a_customer_can_be_left_alone_for_a_while() -> None:
    post = Post()
    post.hear(Snoozed("C-1", "", "ann", AT, AT + 2 * HOUR), AT)
    post.restart(AT)
    post.hear(notice(_PEOPLE["erp"]), AT)
    other = alert(limit_alert(customer_id="C-2"))
    post.hear(notice(_PEOPLE["erp"], other), AT)
    post.look(AT + HOUR)
    assert list(post.told) == [f"{other.alert_id}>erp"]
    post.look(AT + 2 * HOUR)
    assert len(post.told) == 2


def test_a_queue_has_an_end_and_what_comes_behind_is_told_to_have_failed() -> None:
    post = Post()
    for number in range(Notices.queue_max + 2):
        post.hear(notice(_PEOPLE["erp"], alert(decision(f"O-{number}"))), AT)
    post.hear(notice(_PEOPLE["desk"], digest=AT_ONCE), AT)
    refused = [one.key for one in post.outbox._waiting.values() if one.refused]
    assert refused == [f"d-O-{n}-held>erp" for n in (Notices.queue_max, Notices.queue_max + 1)]
    post.look(AT)
    assert post.results == Counter(sent=Notices.queue_max + 1, failed=2)


def test_what_did_not_get_through_can_be_sent_again() -> None:
    post = Post()
    post.hear(notice(_PEOPLE["erp"]), AT)
    post.look(AT)
    said = decode(again(encode(notice(_PEOPLE["erp"])), AT + HOUR))
    assert isinstance(said, Notice)
    post.hear(said, AT + HOUR)
    post.look(AT + HOUR)
    assert list(post.told) == ["d-O-9-held>erp", "d-O-9-held>erp#2"]


def test_one_way_keeps_nothing_waiting_on_another() -> None:
    post = Post()
    post.hear(notice(_PEOPLE["erp"]), AT)
    post.hear(notice(_PEOPLE["ann"]), AT)

    def free(waiting: Waiting) -> bool:
        return waiting.way != "to erp"

    assert [one.way for one in post.outbox.next(free, now(AT))] == ["email"]


_WHO = st.sampled_from(sorted(_PEOPLE))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("told"), _WHO, st.integers(0, 3), st.booleans()),
        st.tuples(st.just("escalated"), _WHO, st.integers(0, 3), st.integers(1, 90)),
        st.tuples(st.just("acknowledged"), st.integers(0, 3)),
        st.tuples(st.just("over"), st.integers(0, 3)),
        st.tuples(st.just("snoozed"), st.integers(0, 3), st.integers(1, 600), st.booleans()),
        st.tuples(st.just("later"), st.integers(1, 400)),
        st.tuples(st.just("restart")),
        st.tuples(st.just("read again"), st.integers(0, 40)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_each_leaves_once_whatever_the_order_of_acts_and_looks(steps: list[Any]) -> None:
    post, at = Post(), AT
    first: dict[str, Notice] = {}
    acted: set[str] = set()
    for step in steps:
        match step:
            case ("told", str(who), int(number), bool(urgent)):
                one = notice(_PEOPLE[who], alert(decision(f"O-{number}"), at), urgent=urgent)
                first.setdefault(one.key, one)
                post.hear(one, at)
            case ("escalated", str(who), int(number), int(minutes)):
                one = notice(
                    _PEOPLE[who], alert(decision(f"O-{number}"), at), level=1,
                    not_before=at + minutes * MINUTE, digest=AT_ONCE,
                )  # fmt: skip
                first.setdefault(one.key, one)
                post.hear(one, at)
            case ("acknowledged", int(number)):
                acted.add(f"O-{number}")
                post.hear(Answered(f"d-O-{number}-held", "ann", at), at)
            case ("over", int(number)):
                acted.add(f"O-{number}")
                post.hear(Over(f"order O-{number} of C-1", at), at)
            case ("snoozed", int(number), int(minutes), bool(whole)):
                about = "" if whole else f"d-O-{number}-held"
                post.hear(Snoozed("C-1", about, "ann", at, at + minutes * MINUTE), at)
            case ("later", int(minutes)):
                at += minutes * MINUTE
                post.look(at)
            case ("restart",):
                post.restart(at)
            case ("read again", int(offset)) if offset < len(post.log):
                post.hear(post.log[offset], at)
    for _ in range(100):
        at += HOUR
        post.look(at)
    for key, one in first.items():
        may_be_off = one.level and one.alert.said["order_id"] in acted
        assert post.told[key] == 1 or (may_be_off and post.told[key] == 0), key
    assert not post.told.keys() - first.keys()
    assert post.results["late"] == post.results["failed"] == 0
    for when, together in post.left:
        to = _PEOPLE[together[0].recipient]
        assert {one.recipient for one in together} == {to.name}
        assert all(first[one.key].not_before <= when for one in together)
        if not together[0].urgent:
            assert not is_quiet(when, to.zone, to.quiet)
