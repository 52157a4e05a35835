"""Wrong use of `import`, `replay`, `check` and `tail` is told before any broker is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.cli.check import check
from agents.cli.import_ import import_
from agents.cli.replay import replay
from agents.cli.tail import tail
from streams.errors import ConfigurationError


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"topics": ["credit.nothing.v1"]}, "no topic credit.nothing.v1"),
        ({"topics": ["headroom-credit-changelog"]}, "no topic headroom-credit-changelog"),
        ({"topics": ["all"], "types": ["Nothing"]}, "there is no event Nothing"),
        ({"topics": ["all"], "where": ["amount"]}, "'amount' is not FIELD=VALUE"),
        ({"topics": ["all"], "since": "yesterday"}, "--since: "),
    ],
)
def test_what_cannot_be_followed(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        tail(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"amount": "1.001", "currency": "EUR"}, "AMOUNT or CURRENCY: "),
        ({"amount": "1.00", "currency": "EUX"}, "AMOUNT or CURRENCY: "),
        ({"amount": "1.00", "currency": "EUR", "deliver_on": "soon"}, "--deliver-on: "),
    ],
)
def test_what_cannot_be_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        check("C-1", **options)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.jsonl: "):
        import_(tmp_path / "nowhere.jsonl")


def test_a_history_of_which_nothing_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text("no json\n")
    with pytest.raises(ConfigurationError, match="there is no event to send"):
        replay(tmp_path / "history.jsonl")
