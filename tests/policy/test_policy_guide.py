"""`docs/policy.md` says what is so: every setting with its default, examples that can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from policy.policy_texts import policy

from agents.core.policy_changes import Value, settings
from agents.core.policy_text import OF_ONE_SEGMENT, PolicyError
from agents.policy_file import example_names

GUIDE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
SHIPPED = settings(policy("").versions[0].base)


def test_the_guide_has_every_setting_in_its_order_with_its_default() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \| .+ \|$", GUIDE, re.MULTILINE)
    assert rows == [(setting, _default(value)) for setting, value in SHIPPED.items()]


def _default(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else str(value)


@pytest.mark.parametrize(
    "text", re.findall(r"^```toml\n(.+?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
)
def test_every_file_in_the_guide_can_be_used(text: str) -> None:
    assert policy(text).versions[0].version == "retail-2026"


def test_the_guide_names_the_sections_that_a_segment_can_have() -> None:
    *others, last = (f"`{section}`" for section in OF_ONE_SEGMENT)
    assert f"A segment can have the sections {', '.join(others)} and {last}." in GUIDE
    for_everybody = {name.partition(".")[0] for name in SHIPPED if "." in name}
    for section in for_everybody - set(OF_ONE_SEGMENT):
        assert f"`{section}`" in GUIDE


def test_the_guide_leads_to_every_example() -> None:
    found = re.findall(r"^\| \[`(\w+)`\]\(\.\./agents/policy/(.+?)\) \|", GUIDE, re.MULTILINE)
    assert sorted(found) == sorted(
        [("default", "default.toml")]
        + [(name, f"examples/{name}.toml") for name in example_names()]
    )


def test_the_guide_shows_faults_as_they_are_told() -> None:
    text = """\
version = "retail-2026"

# Fourteen days
# and no more.
[overdue]
max_overdue_day = 14

[release.authority]
manager = 100000

[segments.key_account.overdue]
max_overdue_days = 30

[[versions]]
version = "retail-2027"
"""
    with pytest.raises(PolicyError) as raised:
        policy(text)
    told = "".join(f"    {fault}\n" for fault in raised.value.faults)
    assert f"\n{told}\n" in GUIDE
