"""What waits is never read past; what has left is never let go again while it could still leave."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st
from notify.letters import a_step

from agents.notify.letters import LETTERS, Letters, is_late, key_of, last_day
from agents.notify.outbox import Known, Now, Outbox, Waiting
from schemas.dates import parse_day
from schemas.events import DunningStep, DunningStepSettled, HandoverChanged

_DAY = parse_day("2026-04-08")
_NOW = Now(_DAY * 86_400_000_000, _DAY)


def outbox_of(known: Mapping[str, Known], carried: Collection[str] = LETTERS) -> Outbox:
    return Outbox(Letters(carried), known)


def take(outbox: Outbox, offset: int, size: int, said: object) -> None:
    outbox.take(offset, size, said, _NOW)


def oldest(outbox: Outbox) -> Waiting | None:
    found = outbox.next(lambda _: True, _NOW)
    return found[0] if found else None


def settle(outbox: Outbox, waiting: Waiting) -> Known:
    return outbox.settled([waiting])[waiting.key]


def step(number: int, **changes: object) -> DunningStep:
    return a_step(step_id=f"S-{number}", **changes)


def changed(event_id: str, channel: str = "agency") -> HandoverChanged:
    return HandoverChanged(
        event_id=event_id,
        occurred_at=0,
        customer_id="C-1",
        step_id="S-0",
        channel=channel,
        kind="amounts",
        currency="EUR",
        invoices=[],
        on=_DAY,
    )


def settled(number: int, outcome: str = "withdrawn") -> DunningStepSettled:
    return DunningStepSettled(
        event_id="x",
        occurred_at=0,
        customer_id="C-1042",
        step_id=f"S-{number}",
        level=1,
        outcome=outcome,
        channel="email",
        attempt=1,
        on=_DAY,
    )


def everything(outbox: Outbox) -> list[str]:
    found = []
    while (one := oldest(outbox)) is not None:
        found.append(one.key)
        settle(outbox, one)
    return found


def test_steps_leave_in_their_order_and_once() -> None:
    outbox = outbox_of({})
    for offset in range(3):
        take(outbox, offset, 100, step(offset))
    take(outbox, 3, 100, step(1))  # again, with the same bytes
    assert outbox.position(4) == 0
    assert everything(outbox) == ["S-0#1", "S-1#1", "S-2#1"]
    assert (outbox.position(4), outbox.size, len(outbox)) == (4, 0, 0)
    take(outbox, 4, 100, step(1))
    assert everything(outbox) == []


def test_another_attempt_is_another_letter() -> None:
    outbox = outbox_of({})
    take(outbox, 0, 1, step(0))
    everything(outbox)
    take(outbox, 1, 1, step(0, attempt=2))
    assert everything(outbox) == ["S-0#2"]


def test_what_is_withdrawn_or_not_for_us_does_not_wait() -> None:
    outbox = outbox_of({})
    take(outbox, 0, 1, step(0))
    take(outbox, 1, 1, settled(0))
    take(outbox, 2, 1, step(1, proposed=True))
    take(outbox, 3, 1, step(2, channel="phone"))
    take(outbox, 4, 1, step(3, channel="agency"))
    take(outbox, 5, 1, step(0))  # again, and what withdrew it is still to come again
    assert everything(outbox) == []
    assert outbox.position(6) == 6


def test_what_is_about_to_leave_is_not_withdrawn_any_more() -> None:
    outbox = outbox_of({})
    take(outbox, 0, 1, step(0))
    waiting = oldest(outbox)
    assert waiting is not None
    assert outbox.begun([waiting], "m") == {"S-0#1": Known(0, _DAY, "m")}
    take(outbox, 1, 1, settled(0))
    assert len(outbox) == 1


def test_who_comes_after_knows_what_was_about_to_leave() -> None:
    outbox = outbox_of({"S-0#1": Known(0, _DAY, "m"), "S-1#1": Known(1, _DAY)})
    for offset in range(3):
        take(outbox, offset, 1, step(offset))
    first = oldest(outbox)
    assert first is not None
    assert (first.key, first.mark) == ("S-0#1", "m")
    assert everything(outbox) == ["S-0#1", "S-2#1"]


def test_a_notice_leaves_on_its_day_and_any_other_until_it_is_to_be_paid() -> None:
    notice = a_step()
    assert last_day(notice) == _DAY
    assert last_day(a_step(costs_to_come=None)) == notice.pay_by


def test_a_letter_is_remembered_until_it_could_leave_no_more() -> None:
    outbox = outbox_of({})
    take(outbox, 0, 1, step(0))
    everything(outbox)
    assert outbox.forget(1, _DAY) == []
    assert outbox.forget(0, _DAY + 1) == []
    assert outbox.forget(1, _DAY + 1) == ["S-0#1"]


def test_a_claim_goes_where_there_is_somewhere_and_its_changes_follow_however_late() -> None:
    outbox = outbox_of({}, {*LETTERS, "agency"})
    take(outbox, 0, 1, step(0, channel="agency"))
    take(outbox, 1, 1, changed("h-1"))
    take(outbox, 2, 1, changed("h-2", channel="legal"))  # a person sees to it
    take(outbox, 3, 1, settled(0, "recalled"))
    take(outbox, 4, 1, changed("h-1"))  # again
    assert everything(outbox) == ["S-0!h-1"]
    assert not is_late(changed("h-1"), _DAY + 10_000)
    assert is_late(step(0), _DAY + 10_000)


_ACTS = st.lists(st.tuples(st.sampled_from(["step", "withdraw", "leave"]), st.integers(0, 5)))


@given(_ACTS)
def test_reading_again_from_the_position_finds_all_that_has_not_left(
    acts: list[tuple[str, int]],
) -> None:
    """Wherever it is stopped, a successor with what was written lets leave what had not, once."""
    log: list[DunningStep | DunningStepSettled] = []
    written: dict[str, Known] = {}
    left: list[str] = []
    outbox = outbox_of({})
    position = 0
    for act, number in acts:
        if act == "leave":
            waiting = oldest(outbox)
            if waiting is not None:
                left.append(waiting.key)
                written |= {waiting.key: settle(outbox, waiting), **outbox.notes()}
                position = outbox.position(len(log))
            continue
        log.append(step(number) if act == "step" else settled(number))
        take(outbox, len(log) - 1, 1, log[-1])
    successor = outbox_of(written)
    for offset in range(position, len(log)):
        take(successor, offset, 1, log[offset])
    rest = []
    while (one := oldest(outbox)) is not None:
        rest.append(one.key)
        settle(outbox, one)
    assert everything(successor) == rest
    assert len({*left, *rest}) == len(left) + len(rest)
    assert {key_of(one) for one in log if isinstance(one, DunningStep)} >= {*left, *rest}
