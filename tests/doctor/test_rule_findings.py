"""What is said of policy, dunning, laws and letters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agents.core.policy import PolicyBook
from agents.doctor.examination import examine
from agents.doctor.rules import (
    dunning_findings,
    letter_findings,
    policy_findings,
    rate_findings,
    version_finding,
)
from agents.law_files import load_laws
from agents.policy_file import load_policy
from agents.procedure_files import load_procedures
from schemas.dates import parse_day
from streams.errors import ConfigurationError
from streams.settings import Settings

MakeSettings = Callable[..., Settings]
TODAY = parse_day("2026-06-01")
SHIPPED = Path(__file__).parents[2] / "agents" / "dunning" / "procedures"


def test_the_version_of_the_policy_that_is_in_force_and_the_next(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        "\n".join(
            f'[[versions]]\nversion = "{name}"\nvalid_from = {day}\n'
            for name, day in (("old", "2026-01-01"), ("new", "2026-09-01"))
        )
    )
    book = load_policy(policy)
    assert isinstance(book, PolicyBook)
    now = version_finding(book, TODAY)
    assert (now.verdict, now.text) == (
        "ok", "version old is in force; new follows on 2026-09-01",
    )  # fmt: skip
    last = version_finding(book, parse_day("2026-09-01"))
    assert last.text == "version new is in force"


def test_a_policy_that_cannot_be_used_is_wrong(make_settings: MakeSettings, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("nonsense = 1\n")
    found = examine(make_settings(policy_file=policy))
    (told,) = (one for one in found if one.check == "policy")
    assert told.verdict == "wrong"
    assert str(policy) in told.text
    assert told.do.startswith("`headroom policy check`")
    assert [one.verdict for one in policy_findings(make_settings(), TODAY)] == ["ok"]


def test_procedures_are_counted_and_their_faults_are_told(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    (nobody,) = dunning_findings(make_settings(), TODAY)
    assert nobody.verdict == "ok"
    found = list(dunning_findings(make_settings(procedures_dir=SHIPPED), TODAY))
    count = len(load_procedures(SHIPPED).procedures)
    assert found[0].text == f"{count} procedures"
    with pytest.raises(ConfigurationError, match="no procedures"):
        list(dunning_findings(make_settings(procedures_dir=tmp_path), TODAY))


def test_rates_that_end_are_told_before_and_after() -> None:
    laws = load_laws(None)
    first_end = min(law.interest.rates.known_until for law in laws.laws.values())
    assert [one.verdict for one in rate_findings(laws, first_end - 14)] == ["ok"]
    soon = next(rate_findings(laws, first_end - 13))
    assert soon.verdict == "warning"
    assert "not possible" not in soon.text
    over = next(rate_findings(laws, first_end + 1))
    assert over.verdict == "warning"
    assert over.text.endswith(": steps that ask for interest are not possible")
    assert "known_until" in over.do


def test_letters_without_a_sender_are_wrong(make_settings: MakeSettings) -> None:
    with pytest.raises(ConfigurationError, match="HEADROOM_CREDITOR_NAME"):
        list(letter_findings(make_settings()))
    settings = make_settings(creditor_name="Acme BV", creditor_email="ar@acme.example")
    assert [one.text for one in letter_findings(settings)] == ["Acme BV writes them"]
