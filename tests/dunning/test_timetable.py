"""When each step is due: working days, gaps, and what an outage does."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agents.dunning.law import is_working_day
from agents.dunning.procedure import Procedure
from agents.dunning.procedure_text import parse_procedures
from agents.dunning.timetable import due_day, timetable
from agents.procedure_files import load_procedures
from agents.working_days import holidays_of
from schemas.dates import format_day, parse_day
from schemas.events import Day

SHIPPED = load_procedures(None).procedures
NONE: frozenset[Day] = frozenset()
DUE = st.integers(parse_day("2025-01-01"), parse_day("2030-12-31"))
PROCEDURES = st.sampled_from(SHIPPED)
HOLIDAYS = st.frozensets(st.integers(0, 60), max_size=25)


def procedure(*steps: tuple[int, bool], gap: int = 7) -> str:
    return f'kind = "b2b"\nmin_days_between = {gap}\n' + "".join(
        f'[[steps]]\ndays = {days}\nfrom_sent = {str(from_sent).lower()}\nchannels = ["email"]\n'
        'template = "t"\n'
        for days, from_sent in steps
    )


def days(text: str, due: str, holidays: frozenset[Day] = NONE) -> list[str]:
    (one,) = parse_procedures({"p": text}).procedures
    return [format_day(day) for _, day in timetable(one, parse_day(due), holidays)]


def test_days_count_from_the_due_date_and_move_to_a_working_day() -> None:
    """31 January 2026 is a Saturday."""
    assert days(procedure((-3, False), (7, False), (14, False)), "2026-01-31") == [
        "2026-01-28",
        "2026-02-09",
        "2026-02-16",
    ]


def test_holidays_of_the_country_count() -> None:
    """26 December 2025 is Boxing Day in the Netherlands, and a day like others in Belgium."""
    text = procedure((1, False))
    assert days(text, "2025-12-25", holidays_of("NL", 2025)) == ["2025-12-29"]
    assert days(text, "2025-12-25", holidays_of("BE", 2025)) == ["2025-12-26"]


def test_a_step_may_count_from_the_one_before() -> None:
    assert days(procedure((1, False), (14, True)), "2026-02-02") == ["2026-02-03", "2026-02-17"]


def test_steps_keep_their_distance() -> None:
    assert days(procedure((1, False), (3, False)), "2026-02-02") == ["2026-02-03", "2026-02-10"]


def test_after_an_outage_no_level_is_skipped_and_the_gap_is_kept() -> None:
    (one,) = parse_procedures(
        {"p": procedure((1, False), (10, False), (20, False), (60, False))}
    ).procedures
    due_on = parse_day("2026-02-02")
    late = parse_day("2026-03-16")  # the first step, six weeks late
    second = due_day(one, one.steps[1], due_on, late, NONE)
    third = due_day(one, one.steps[2], due_on, second, NONE)
    last = due_day(one, one.steps[3], due_on, third, NONE)
    assert [format_day(day) for day in (second, third, last)] == [
        "2026-03-23",
        "2026-03-30",
        "2026-04-06",
    ]


@given(one=PROCEDURES, due_on=DUE, closed=HOLIDAYS)
def test_every_level_comes_once_in_its_order_on_working_days_with_the_gap_between(
    one: Procedure, due_on: Day, closed: frozenset[int]
) -> None:
    holidays = frozenset(due_on + day for day in closed)
    taken = list(timetable(one, due_on, holidays))
    assert [step.level for step, _ in taken] == list(range(1, len(one.steps) + 1))
    for step, day in taken:
        assert is_working_day(day, holidays)
        assert step.from_sent or day >= due_on + step.days
    for (_, before), (step, day) in pairwise(taken):
        assert day - before >= (step.days if step.from_sent else one.min_days_between)


@given(one=PROCEDURES, due_on=DUE, delay=st.integers(0, 400), closed=HOLIDAYS)
def test_a_delay_never_makes_a_step_earlier(
    one: Procedure, due_on: Day, delay: int, closed: frozenset[int]
) -> None:
    holidays = frozenset(due_on + day for day in closed)
    taken = list(timetable(one, due_on, holidays))
    for (_, before), (step, day) in pairwise(taken):
        later = due_day(one, step, due_on, before + delay, holidays)
        assert later >= day
        assert later - (before + delay) >= one.min_days_between
