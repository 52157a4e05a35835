"""The whole pipeline under faults, run by run: whatever chance brings, what docs/guarantees.md
promises is kept. docs/decisions/0019-simulation.md says what of it is real.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from simulation import sabotage
from simulation.long import run_many
from simulation.run import GUARANTEES, Outcome, simulate

_RUNS = 300
_LOTS = 10


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("lot", range(_LOTS))
def test_nothing_is_lost_doubled_or_contradicted_whatever_happens(lot: int, guarantee: str) -> None:
    runs = _RUNS // len(GUARANTEES) // _LOTS
    for seed in range(lot * runs, (lot + 1) * runs):
        outcome = simulate(seed, guarantee)
        assert not outcome.violations, str(outcome)


@pytest.mark.long
def test_nor_in_thousands_of_runs() -> None:
    assert run_many() == 0


def test_without_faults_all_is_as_the_rules_say() -> None:
    for guarantee in GUARANTEES:
        outcome = simulate(0, guarantee, faults=0)
        assert not outcome.violations, str(outcome)
        assert outcome.diary == []


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_seed_goes_the_same_way_each_time(guarantee: str) -> None:
    """Also in a process that hashes otherwise: a run that failed in one place fails in another."""
    first, again = _course(simulate(7, guarantee)), _course(simulate(7, guarantee))
    assert first == again
    assert first != _course(simulate(8, guarantee))
    program = (
        "from simulation.run import simulate; from simulation.test_simulation import _course;"
        f"print(_course(simulate(7, {guarantee!r})))"
    )
    path = {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == first


def _course(outcome: Outcome) -> str:
    return f"{outcome.steps} {outcome.digest} {outcome.diary}"


_SEEDS_TO_NOTICE = 150


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "guarantee"),
    [
        (sabotage.nobody_is_fenced, "effectively_once"),
        (sabotage.nobody_is_fenced, "exactly_once"),
        (sabotage.offsets_before_events, "effectively_once"),
        (sabotage.repeats_count_twice, "effectively_once"),
        (sabotage.commits_behind_a_failed_one, "effectively_once"),
        (sabotage.commits_behind_a_failed_one, "exactly_once"),
        (sabotage.a_state_that_is_not_restored, "effectively_once"),
        (sabotage.answers_beside_the_transaction, "exactly_once"),
        (sabotage.failed_commits_passed_over, "exactly_once"),
        (sabotage.a_step_that_failed_counts, "effectively_once"),
    ],
)
def test_a_broken_product_is_noticed(break_it: sabotage.Sabotage, guarantee: str) -> None:
    """A simulation that notices nothing proves nothing."""
    with break_it():
        assert any(simulate(seed, guarantee).violations for seed in range(_SEEDS_TO_NOTICE))
