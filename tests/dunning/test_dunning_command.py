"""`headroom dunning claim` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.test_cli import headroom

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_environment")]


def test_a_claim_is_told_sum_by_sum_with_its_sources() -> None:
    done = headroom(
        "dunning", "claim", "10000.00@2025-05-31", "--country", "NL", "--on", "2025-08-15"
    )
    assert done.returncode == 0, done.stderr
    assert "2025-07-01 to 2025-08-15, 46 days at 10.15 % on 10000.00" in done.stdout
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:6]] == [
        "10000.00", "91.64", "127.92", "875.00", "11094.56",
    ]  # fmt: skip
    assert "art. 6:119a" in done.stdout


def test_a_program_reads_the_same() -> None:
    done = headroom(
        "dunning", "claim", "200@2026-01-15", "300@2026-01-20", "100@2026-02-01",
        "--country", "NL", "--kind", "b2c", "--on", "2026-03-18", "--notice", "2026-03-02",
        "--json",
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["costs"] is None
    assert told["without_costs"].endswith("2026-03-05 to 2026-03-18 to pay without costs")
    assert (told["principal"], told["total"]) == ("600.00", "603.72")
    assert [one["amount"] for one in told["interest"]] == ["1.36", "1.87", "0.49"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["10@2026-01-31", "--country", "US"], "no table of laws for 'US', b2b"),
        (["10@2026-01-31", "--country", "ZZ"], "no table of laws for 'ZZ', b2b"),
        (["10", "--country", "NL"], "'10': write amount@due day, as in 1250.00@2026-01-31"),
        (["10.001@2026-01-31", "--country", "NL"], "'10.001@2026-01-31': '10.001' has more digits"),
        (["-0@2026-01-31", "--country", "NL"], "the amount must be above zero"),
        (["10@2026-02-31", "--country", "NL"], "'10@2026-02-31': '2026-02-31' is no day"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], told: str) -> None:
    invoice, *options = arguments
    done = headroom("dunning", "claim", "--on", "2026-03-01", *options, "--", invoice)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_procedures_are_shown_step_by_step() -> None:
    done = headroom("dunning", "procedures")
    assert done.returncode == 0, done.stderr
    assert "consumer-nl: b2c in NL, at least 7 days between" in done.stdout
    assert (
        "  3  18 days after the step before: final_notice by email, else letter, from 10.00 on,"
        " asks for interest, asks for costs, blocks orders\n"
    ) in done.stdout


def test_faults_of_procedures_are_told_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('kind = "b2b"\nsteps = []\n', "utf-8")
    done = headroom("dunning", "procedures", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("headroom: mine.toml: steps: ")


def test_the_days_of_an_unpaid_invoice_are_told() -> None:
    done = headroom(
        "dunning", "timetable", "2025-12-22", "--country", "NL", "--kind", "b2c"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "consumer-nl, due 2025-12-22"
    assert [line.split()[1] for line in lines[1:]] == [
        "2025-12-29", "2026-01-05", "2026-01-23", "2026-02-13",
    ]  # fmt: skip
