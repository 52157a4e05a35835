"""Thousands of simulated runs on all cores, or one of them again: `make simulation`.

make simulation                                                 2,000 runs of each guarantee
make simulation ARGS="--runs 20000"                             more of them
make simulation ARGS="--seed 17 --guarantee exactly_once"       one again, with the worker's log
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time

from simulation.run import GUARANTEES, Outcome, simulate

_RUNS = 2_000
_FIRST_SEED = 1_000_000
"""Others than those of the usual tests."""


def main() -> int:
    asked = _arguments()
    if asked.seed is not None:
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
        outcome = simulate(asked.seed, asked.guarantee)
        print(outcome)
        return bool(outcome.violations)
    return bool(run_many(asked.first, asked.runs))


def run_many(first: int = _FIRST_SEED, runs: int = _RUNS) -> int:
    """Run so many of each guarantee, tell which failed, and how many."""
    logging.disable(logging.CRITICAL)  # crashes are wanted here
    begun, failed, done = time.monotonic(), 0, 0
    work = [(seed, guarantee) for seed in range(first, first + runs) for guarantee in GUARANTEES]
    with multiprocessing.Pool() as pool:
        for outcome in pool.imap_unordered(_run, work, chunksize=20):
            done += 1
            if outcome.violations:
                failed += 1
                print(outcome, flush=True)
            if done % 500 == 0:
                print(f"{done} of {len(work)} runs, {failed} failed", flush=True)
    seconds = time.monotonic() - begun
    print(f"{done} runs in {seconds:.0f} s, {failed} failed, first seed {first}")
    return failed


def _run(what: tuple[int, str]) -> Outcome:
    return simulate(*what)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=_RUNS, help="of each guarantee")
    parser.add_argument("--first", type=int, default=_FIRST_SEED, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this one only, and tell what happens")
    parser.add_argument("--guarantee", choices=GUARANTEES, default=GUARANTEES[0])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
